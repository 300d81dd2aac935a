//! Bringing channels into a log from somewhere else.
//!
//! They are put together in a log of their own first, so that a mistake in the last line of what is
//! imported has changed nothing. Every stream gets a new epoch: wherever it was exported may have
//! gone on since.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use campanile_protocol::{Epoch, Publication};

use super::writing::{Writing, open};
use super::{Circumstances, Examination, UpkeepError};
use crate::broker::{Version, random_epoch};
use crate::channel::ChannelName;
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX};
use crate::store::{Directory, KeyRecord, LogTime, PlaceReader, StreamState};

/// The end of the year 9999: no time of ours is later, and nothing that is added to one overflows.
const TIME_MAX: LogTime = 253_402_300_799_999;
/// No stream comes to so many publications.
const OFFSET_MAX: u64 = 1 << 53;

/// A channel that is to be imported; its publications and keys follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewStream {
    /// Its name.
    pub channel: String,
    /// The newest offset.
    pub top: u64,
    /// The oldest offset that follows; `top + 1` when none does.
    pub floor: u64,
    /// When its publications expire.
    pub history_expires: LogTime,
    /// When its offsets expire; `None` for a channel that has only keys.
    pub meta_expires: Option<LogTime>,
    /// The newest version that was published.
    pub version: Option<Version>,
}

/// What was imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Channels.
    pub channels: usize,
    /// Publications in them.
    pub publications: usize,
    /// Keys that they remember.
    pub keys: usize,
    /// Channels that were left out, since everything of them is past its time.
    pub expired: usize,
}

/// Why something cannot be imported.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// A channel without a name.
    NoName,
    /// A channel comes twice.
    Repeated,
    /// A publication or a key comes before any channel.
    NoChannel,
    /// Offsets of a channel that make no sense together.
    Offsets,
    /// A time after the year 9999.
    Time,
    /// A publication that is not the next one.
    Order {
        /// The offset that should come; `None` when the channel is complete.
        expected: Option<u64>,
    },
    /// The channel before ends without this publication, and those behind it.
    Incomplete {
        /// The first that is missing.
        expected: u64,
    },
    /// A key that is empty, too long, or there already; or too many of them.
    Key,
    /// The log cannot be written.
    Upkeep(UpkeepError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("a channel needs a name"),
            Self::Repeated => f.write_str("this channel was there before"),
            Self::NoChannel => f.write_str("it belongs to another channel than the last one"),
            Self::Offsets => f.write_str("floor must be from 1 to top + 1"),
            Self::Time => f.write_str("times are milliseconds since 1970, before the year 10000"),
            Self::Order {
                expected: Some(expected),
            } => write!(f, "expected the publication with offset {expected}"),
            Self::Order { expected: None } => f.write_str("the channel's top was there before"),
            Self::Incomplete { expected } => write!(
                f,
                "the channel before ends without its publication with offset {expected}"
            ),
            Self::Key => write!(
                f,
                "keys are 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, different from each other, and at \
                 most {IDEMPOTENCY_KEYS_MAX} in a channel"
            ),
            Self::Upkeep(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<UpkeepError> for ImportError {
    fn from(error: UpkeepError) -> Self {
        Self::Upkeep(error)
    }
}

/// Puts a log together from channels, publications and keys, in this order for each channel.
pub struct Importer {
    writing: Writing,
    epoch: Epoch,
    names: HashSet<ChannelName>,
    current: Option<Current>,
    imported: Imported,
}

impl fmt::Debug for Importer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Importer")
            .field("imported", &self.imported)
            .finish_non_exhaustive()
    }
}

struct Current {
    channel: ChannelName,
    /// Its top is that of the last publication that was there.
    state: StreamState,
    top: u64,
    keys: Vec<KeyRecord>,
    key_names: HashSet<Box<str>>,
    is_expired: bool,
}

impl Importer {
    /// Begins a log in `directory`, which is empty.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(
        directory: Arc<dyn Directory>,
        circumstances: &Circumstances,
    ) -> Result<Self, UpkeepError> {
        Ok(Self {
            writing: open(directory, circumstances)?.writing,
            epoch: random_epoch(),
            names: HashSet::new(),
            current: None,
            imported: Imported::default(),
        })
    }

    /// The next channel.
    ///
    /// # Errors
    /// It makes no sense, or the one before is not complete.
    pub fn channel(&mut self, stream: NewStream) -> Result<(), ImportError> {
        self.end_channel()?;
        let NewStream {
            channel,
            top,
            floor,
            history_expires,
            meta_expires,
            version,
        } = stream;
        if channel.is_empty() {
            return Err(ImportError::NoName);
        }
        if top > OFFSET_MAX || floor == 0 || floor > top + 1 {
            return Err(ImportError::Offsets);
        }
        if history_expires.max(meta_expires.unwrap_or(0)) > TIME_MAX {
            return Err(ImportError::Time);
        }
        let channel = ChannelName::trusted(&channel);
        if !self.names.insert(channel.clone()) {
            return Err(ImportError::Repeated);
        }
        let now = self.writing.now;
        self.current = Some(Current {
            channel,
            state: StreamState {
                epoch: self.epoch,
                top: floor - 1,
                floor,
                history_expires,
                meta_expires,
                version,
            },
            top,
            keys: Vec::new(),
            key_names: HashSet::new(),
            is_expired: meta_expires.is_some_and(|expires| expires <= now),
        });
        Ok(())
    }

    /// The next publication of the channel, by ascending offset.
    ///
    /// # Errors
    /// It is not the next one, or the log cannot be written.
    pub fn publication(
        &mut self,
        channel: &str,
        publication: &Publication,
    ) -> Result<(), ImportError> {
        let current = of(&mut self.current, channel)?;
        let expected = current.state.top + 1;
        if expected > current.top || publication.offset != expected {
            let expected = (expected <= current.top).then_some(expected);
            return Err(ImportError::Order { expected });
        }
        current.state.top = expected;
        if !current.is_expired {
            self.imported.publications += 1;
            self.writing
                .publication(&current.channel, &current.state, publication)?;
        }
        Ok(())
    }

    /// A key of the channel.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn key(&mut self, channel: &str, key: KeyRecord) -> Result<(), ImportError> {
        let now = self.writing.now;
        let current = of(&mut self.current, channel)?;
        if key.expires > TIME_MAX {
            return Err(ImportError::Time);
        }
        if key.offset.is_some_and(|offset| offset > current.top) {
            return Err(ImportError::Offsets);
        }
        let is_sound = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.key.len())
            && current.key_names.len() < IDEMPOTENCY_KEYS_MAX
            && current.key_names.insert(key.key.clone());
        if !is_sound {
            return Err(ImportError::Key);
        }
        if key.expires > now {
            current.keys.push(key);
        }
        Ok(())
    }

    fn end_channel(&mut self) -> Result<(), ImportError> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if current.state.top < current.top {
            let expected = current.state.top + 1;
            return Err(ImportError::Incomplete { expected });
        }
        let is_empty = current.state.meta_expires.is_none() && current.keys.is_empty();
        if current.is_expired || is_empty {
            self.imported.expired += 1;
            return Ok(());
        }
        self.imported.channels += 1;
        self.imported.keys += current.keys.len();
        self.writing
            .state(&current.channel, &current.state, &current.keys)?;
        Ok(())
    }

    /// Ends the log.
    ///
    /// # Errors
    /// The last channel is not complete, or the log cannot be written.
    pub fn finish(mut self) -> Result<Imported, ImportError> {
        self.end_channel()?;
        self.writing.close()?;
        Ok(self.imported)
    }
}

fn of<'a>(current: &'a mut Option<Current>, channel: &str) -> Result<&'a mut Current, ImportError> {
    current
        .as_mut()
        .filter(|current| current.channel.as_str() == channel)
        .ok_or(ImportError::NoChannel)
}

/// Adds all channels of the log in `from`, which an [`Importer`] has made, to the log in `into`, in
/// place of channels with the same names if that is wanted. If it is interrupted, each channel is what
/// it was, or what it becomes, or the beginning of that: doing it again completes it.
///
/// # Errors
/// Channels are there already, and nothing was changed; or one of the logs failed.
pub fn merge(
    from: &dyn Directory,
    into: Arc<dyn Directory>,
    replaces: bool,
    circumstances: &Circumstances,
) -> Result<(), UpkeepError> {
    let added = Examination::of(from, None, circumstances.wall_now)?;
    let opened = open(into, circumstances)?;
    let there: HashSet<_> = opened.streams.iter().map(|(channel, _)| channel).collect();
    let names = added.streams.iter().map(|(channel, _)| channel);
    let taken: Vec<_> = names.filter(|one| there.contains(one)).cloned().collect();
    let mut writing = opened.writing;
    if !taken.is_empty() && !replaces {
        writing.close()?;
        return Err(UpkeepError::Taken(taken));
    }
    let mut reader = PlaceReader::new(from);
    for (channel, settled) in &added.streams {
        writing.stream(channel, settled, &mut reader)?;
    }
    writing.close()
}
