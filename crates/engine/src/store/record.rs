//! What one record says.

use campanile_protocol::{Epoch, Publication};

use crate::broker::Version;
use crate::channel::ChannelName;

/// Milliseconds since 1970 by the log's clock, which goes on at the pace of the machine's
/// monotonic clock while the log is open and never goes back between two runs.
pub type LogTime = u64;

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The segment, counted from 0 over the life of the log.
    pub segment: u32,
    /// Of the record's first byte in the segment's file.
    pub offset: u32,
    /// The record's length in bytes, framing included.
    pub length: u32,
}

/// A channel after a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamState {
    /// The stream's epoch.
    pub epoch: Epoch,
    /// The newest offset.
    pub top: u64,
    /// The oldest offset that is kept; `top + 1` when none is.
    pub floor: u64,
    /// When what is kept expires.
    pub history_expires: LogTime,
    /// When epoch and offset expire; `None` for a stream that has only keys.
    pub meta_expires: Option<LogTime>,
    /// The newest version that was published.
    pub version: Option<Version>,
}

/// An idempotency key and what the publish with it came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// The key.
    pub key: Box<str>,
    /// The offset that the publish got, in the state's epoch; `None` outside of history.
    pub offset: Option<u64>,
    /// When it is forgotten.
    pub expires: LogTime,
}

/// What one record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Of one channel.
    Channel {
        /// Which.
        channel: ChannelName,
        /// Its state from here on. Another epoch than before ends everything before.
        state: StreamState,
        /// A publication that it keeps: the newest one, or an older one that was carried forward.
        publication: Option<Publication>,
        /// Keys that it remembers from here on.
        keys: Vec<KeyRecord>,
    },
    /// Of all channels: the epoch of streams that begin from here on.
    Era {
        /// The epoch.
        epoch: Epoch,
        /// When the next one begins.
        ends: LogTime,
        /// Whether every stream that there is has it from here on, since some of what was seen of
        /// them may be lost.
        is_rebirth: bool,
    },
}
