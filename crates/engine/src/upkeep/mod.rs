//! What is done to a log while no broker has it: looking at it, making it smaller, saving what is
//! left of it, moving it.
//!
//! It owns these operations and what each leaves behind when it is interrupted. It refuses to know
//! command lines and how anything is printed, and everything about bytes: what is read and written
//! goes through [`crate::store`].
//!
//! The rule that all of them keep: no offset that anybody has seen ever names another publication.
//! Whatever may have lost a stream's newest publications, or brings older ones back, gives the stream
//! a new epoch.

mod compact;
mod examine;
mod import;
mod renew;
mod repair;
mod writing;

use std::{fmt, io};

use crate::channel::ChannelName;
use crate::store::{AppendError, LogTime, OpenError, ReadError};

pub use compact::{Compacted, compact};
pub use examine::Examination;
pub use import::{ImportError, Imported, Importer, NewStream, merge};
pub use renew::{Renewed, renew};
pub use repair::{Loss, Repaired, repair};

/// When and where something is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Circumstances {
    /// The wall clock's time.
    pub wall_now: LogTime,
    /// What tells this start of the machine from another, where that can be known.
    pub boot_id: Option<String>,
    /// About how large a file that is written becomes.
    pub segment_bytes: u64,
}

/// Channels that a message names.
const CHANNELS_SHOWN: usize = 10;

/// Why something could not be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpkeepError {
    /// The log cannot be opened as it is.
    Open(OpenError),
    /// The log is without publications of this channel that it says it has.
    Incomplete(ChannelName),
    /// These channels are there already.
    Taken(Vec<ChannelName>),
    /// A record could be read before, and now cannot.
    Read(ReadError),
    /// The log cannot be written.
    Append(AppendError),
    /// The disk refused something else.
    Io(io::Error),
}

impl fmt::Display for UpkeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Incomplete(channel) => write!(
                f,
                "the log is without publications of channel {channel:?} that it says it has"
            ),
            Self::Taken(channels) => {
                let (shown, more) = channels.split_at(channels.len().min(CHANNELS_SHOWN));
                write!(f, "these channels are there already: {shown:?}")?;
                match more.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Read(error) => error.fmt(f),
            Self::Append(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UpkeepError {}

impl From<OpenError> for UpkeepError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<ReadError> for UpkeepError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<AppendError> for UpkeepError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<io::Error> for UpkeepError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
