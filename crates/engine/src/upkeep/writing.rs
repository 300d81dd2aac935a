//! Writing channels into a log, a bounded group at a time.

use std::sync::Arc;

use campanile_protocol::{Epoch, Publication};

use super::UpkeepError;
use crate::broker::{DiskOptions, random_epoch};
use crate::channel::ChannelName;
use crate::limits::GROUP_BYTES_MAX;
use crate::store::{
    Directory, Fold, Group, KeyRecord, Log, LogOptions, LogTime, Place, Record, RecordRef,
    Segments, StreamState,
};

/// Keys in one record, so that none becomes larger than those of publications are.
const KEYS_PER_RECORD: usize = 64;

/// A log that is open for one of our operations.
pub(super) struct Writing {
    pub(super) log: Log,
    group: Group,
    pub(super) now: LogTime,
}

/// What is said of a log before it is written to.
pub(super) struct Opened {
    pub(super) writing: Writing,
    pub(super) fold: Fold<Place>,
    /// Whether what the last run acknowledged may be lost, so that every stream has a new epoch.
    pub(super) is_reborn: bool,
}

/// Opens the log in `directory` like a broker, or begins one where there is none.
pub(super) fn open(
    directory: Arc<dyn Directory>,
    boot_id: Option<String>,
    wall_now: LogTime,
) -> Result<Opened, UpkeepError> {
    let mut fold = Fold::default();
    let mut take = |_: LogTime, record: Record, place| {
        fold.take(record, place, |_| place);
    };
    let options = LogOptions {
        segment_bytes: DiskOptions::default().segment_bytes,
        // What is written here counts once the log is closed.
        is_relaxed: false,
        boot_id,
    };
    let (log, opening) = Log::open(directory, options, wall_now, &mut take)?;
    let mut opened = Opened {
        writing: Writing {
            log,
            group: Group::new(),
            now: opening.now,
        },
        fold,
        is_reborn: opening.is_lossy,
    };
    if opening.is_lossy {
        opened.renew()?;
    }
    Ok(opened)
}

impl Opened {
    /// Gives every stream a new epoch, and streams that begin later one that nobody has seen.
    pub(super) fn renew(&mut self) -> Result<Epoch, UpkeepError> {
        let epoch = random_epoch();
        // The broker begins an era of its own when it opens the log: how long it may last is
        // configured.
        let rebirth = Record::Era {
            epoch,
            ends: self.writing.now,
            is_rebirth: true,
        };
        self.writing.push(RecordRef::from(&rebirth))?;
        self.writing.flush()?;
        let nowhere = Place {
            segment: 0,
            offset: 0,
            length: 0,
        };
        self.fold.take(rebirth, nowhere, |_| nowhere);
        Ok(epoch)
    }
}

impl Writing {
    pub(super) fn segments(&self) -> &Segments {
        self.log.segments()
    }

    /// Adds a record to the group, which is written when it is large enough.
    pub(super) fn push(&mut self, record: RecordRef<'_>) -> Result<(), UpkeepError> {
        self.group.push(record);
        if self.group.len() >= GROUP_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds a publication of a channel that stands at `state`.
    pub(super) fn publication(
        &mut self,
        channel: &ChannelName,
        state: &StreamState,
        publication: &Publication,
    ) -> Result<(), UpkeepError> {
        self.push(RecordRef::Channel {
            channel: channel.as_str(),
            state,
            publication: Some(publication),
            keys: &[],
        })
    }

    /// Adds where a channel stands, and its keys.
    pub(super) fn state(
        &mut self,
        channel: &ChannelName,
        state: &StreamState,
        keys: &[KeyRecord],
    ) -> Result<(), UpkeepError> {
        let mut chunks = keys.chunks(KEYS_PER_RECORD);
        // Without keys, a record nevertheless.
        let mut chunk = chunks.next().unwrap_or_default();
        loop {
            self.push(RecordRef::Channel {
                channel: channel.as_str(),
                state,
                publication: None,
                keys: chunk,
            })?;
            match chunks.next() {
                Some(next) => chunk = next,
                None => return Ok(()),
            }
        }
    }

    /// Writes the group, also an empty one, which says what time it is.
    pub(super) fn flush(&mut self) -> Result<(), UpkeepError> {
        self.log.append(&mut self.group, self.now)?;
        self.group.clear();
        Ok(())
    }

    /// Writes what is left and makes all of it durable.
    pub(super) fn commit(&mut self) -> Result<(), UpkeepError> {
        if !self.group.is_empty() {
            self.flush()?;
        }
        self.segments().sync()?;
        Ok(())
    }

    /// Ends the log as a broker does.
    pub(super) fn close(mut self) -> Result<(), UpkeepError> {
        self.commit()?;
        Ok(self.log.close(self.now)?)
    }
}
