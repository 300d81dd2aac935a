//! What one record says. How it is spelled is said in [`super::codec`].

use std::fmt;

use campanile_protocol::{Epoch, Publication};

use crate::broker::Version;
use crate::bytes;
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

/// A [`Record`] that is about to be written, made of what its writer has at hand.
#[derive(Clone, Copy, Debug)]
pub enum RecordRef<'a> {
    /// Of one channel.
    Channel {
        /// Which.
        channel: &'a str,
        /// Its state.
        state: &'a StreamState,
        /// A publication that it keeps.
        publication: Option<&'a Publication>,
        /// Keys that it remembers from here on.
        keys: &'a [KeyRecord],
    },
    /// Of all channels.
    Era {
        /// The epoch of streams that begin from here on.
        epoch: Epoch,
        /// When the next one begins.
        ends: LogTime,
        /// Whether every stream that there is has it from here on.
        is_rebirth: bool,
    },
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> Self {
        match record {
            Record::Channel {
                channel,
                state,
                publication,
                keys,
            } => Self::Channel {
                channel: channel.as_str(),
                state,
                publication: publication.as_ref(),
                keys,
            },
            Record::Era {
                epoch,
                ends,
                is_rebirth,
            } => Self::Era {
                epoch: *epoch,
                ends: *ends,
                is_rebirth: *is_rebirth,
            },
        }
    }
}

/// Bytes that are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes are no record")
    }
}

impl std::error::Error for Malformed {}

impl From<bytes::Malformed> for Malformed {
    fn from(_: bytes::Malformed) -> Self {
        Self
    }
}
