//! Writing channels into a log, a bounded group at a time.

use std::sync::Arc;

use campanile_protocol::{Epoch, Publication};

use super::{Circumstances, UpkeepError};
use crate::broker::random_epoch;
use crate::channel::ChannelName;
use crate::limits::GROUP_BYTES_MAX;
use crate::store::{
    Directory, Fold, Group, KeyRecord, Log, LogOptions, LogTime, Place, PlaceReader, Record,
    RecordRef, Segments, Settled, StreamState,
};

/// Keys in one record, so that none becomes larger than those of publications are.
const KEYS_PER_RECORD: usize = 64;

/// A log that is open for one of our operations.
pub(super) struct Writing {
    pub(super) log: Log,
    group: Group,
    pub(super) now: LogTime,
}

/// A log that is whole and can be written to.
pub(super) struct Opened {
    pub(super) writing: Writing,
    /// The channels that are not past their time, by name.
    pub(super) streams: Vec<(ChannelName, Settled<Place>)>,
    /// The epoch of streams that begin, and when it ends, if it has not.
    pub(super) era: Option<(Epoch, LogTime)>,
    /// Whether what the last run acknowledged may be lost, so that every stream has a new epoch.
    pub(super) is_reborn: bool,
}

/// Opens the log in `directory` like a broker, or begins one where there is none.
pub(super) fn open(
    directory: Arc<dyn Directory>,
    circumstances: &Circumstances,
) -> Result<Opened, UpkeepError> {
    let mut fold = Fold::default();
    let mut take = |_: LogTime, record: Record, place| {
        fold.take(record, place, |_| place);
    };
    let options = LogOptions {
        segment_bytes: circumstances.segment_bytes,
        // What is written here counts once the log is closed.
        is_relaxed: false,
        boot_id: circumstances.boot_id.clone(),
    };
    let (log, opening) = Log::open(directory, options, circumstances.wall_now, &mut take)?;
    let now = opening.now;
    let era = fold.era.filter(|(_, ends)| *ends > now);
    let streams = fold.settle(now);
    if let Some((channel, _)) = streams.iter().find(|(_, settled)| !settled.is_whole()) {
        return Err(UpkeepError::Incomplete(channel.clone()));
    }
    let mut opened = Opened {
        writing: Writing {
            log,
            group: Group::new(),
            now,
        },
        streams,
        era,
        is_reborn: opening.is_lossy,
    };
    if opening.is_lossy {
        opened.renew()?;
    }
    Ok(opened)
}

impl Opened {
    /// Gives every stream a new epoch, and ends the era: a stream that began in it and is not known
    /// here must not get its epoch again.
    pub(super) fn renew(&mut self) -> Result<(), UpkeepError> {
        let epoch = random_epoch();
        self.writing.push(RecordRef::Era {
            epoch,
            // How long an era lasts is configured; the broker begins one when it opens the log.
            ends: self.writing.now,
            is_rebirth: true,
        })?;
        self.writing.flush()?;
        self.era = None;
        for (_, settled) in &mut self.streams {
            settled.state.epoch = epoch;
        }
        Ok(())
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

    /// Adds a whole channel of another log. Wherever this is interrupted, what is there of the channel
    /// is a stream without holes.
    pub(super) fn stream(
        &mut self,
        channel: &ChannelName,
        settled: &Settled<Place>,
        reader: &mut PlaceReader<'_>,
    ) -> Result<(), UpkeepError> {
        let mut state = settled.state.clone();
        for (offset, place) in &settled.kept {
            state.top = *offset;
            let publication = reader.publication(*place)?;
            self.publication(channel, &state, &publication)?;
        }
        if settled.kept.is_empty() || !settled.keys.is_empty() {
            self.state(channel, &settled.state, &settled.keys)?;
        }
        Ok(())
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
