//! Where streams are kept.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::nats::Nats;
use super::redis::Redis;

/// `engine`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// In a directory, which the next process goes on with.
    Disk(Disk),
    /// In memory, until the process ends.
    Memory,
    /// In NATS, where other nodes have them too.
    Nats(Box<Nats>),
    /// In Redis, where other nodes have them too.
    Redis(Box<Redis>),
}

impl Engine {
    /// Whether no other node can have these streams while this one has them. Then clients gain
    /// nothing from being sent away one after the other.
    #[must_use]
    pub const fn is_of_one_node(&self) -> bool {
        match self {
            Self::Disk(_) | Self::Memory => true,
            Self::Nats(_) | Self::Redis(_) => false,
        }
    }
}

/// `engine.disk`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The directory, from the working directory unless it is absolute.
    pub path: PathBuf,
    /// What an acknowledgement waits for.
    pub durability: Durability,
    /// Bytes on disk from which on nothing more is taken in; `None` for no limit.
    pub size_limit: Option<NonZeroU64>,
    /// Bytes of the newest publications that are kept in memory too.
    pub cache_size: usize,
}

/// `engine.disk.durability`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// For the system to have what was written: it survives the process, whatever its end.
    Relaxed {
        /// How often it is synced: what a power cut may take.
        sync_interval: Duration,
    },
    /// For the device to have it: it survives a power cut.
    Sync,
}
