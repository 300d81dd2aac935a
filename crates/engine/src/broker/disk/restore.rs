//! From the records of a log to the streams that they are of.

use std::sync::Arc;

use campanile_protocol::Epoch;

use super::OpenError;
use super::residents::Residents;
use super::slot::Slot;
use super::status::Recovered;
use crate::broker::Published;
use crate::broker::stream::{
    Bounds, Footprint, Kept, Remembered, key_footprint, publication_bytes,
};
use crate::broker::streams::{Era, Streams, entry_footprint};
use crate::store::{Fold, LogTime, Place, Record, Settled, StreamState};
use crate::time::Moment;

/// What is known while the log is read.
pub(super) struct Restoring {
    fold: Fold<Slot>,
    residents: Residents,
    /// Bytes of publications in memory.
    cached: usize,
    cache_bytes: usize,
    hot_from: u32,
}

/// The clocks: the same present in both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) moment: Moment,
    pub(super) time: LogTime,
}

impl Present {
    fn moment_of(self, time: LogTime) -> Moment {
        let ahead = std::time::Duration::from_millis(time.saturating_sub(self.time));
        if time <= self.time {
            // Past is past.
            Moment::START
        } else {
            self.moment + ahead
        }
    }
}

impl Restoring {
    pub(super) fn new(cache_bytes: usize) -> Self {
        Self {
            fold: Fold::default(),
            residents: Residents::default(),
            cached: 0,
            cache_bytes,
            hot_from: 0,
        }
    }

    /// Takes in the next record.
    pub(super) fn fold(&mut self, record: Record, place: Place) {
        let channel = match &record {
            Record::Channel { channel, .. } => Some(channel.clone()),
            Record::Era { .. } => None,
        };
        let mut added = 0;
        let taken = self.fold.take(record, place, |publication| {
            added = publication_bytes(&publication);
            Slot {
                place,
                hot: Some(Arc::new(publication)),
            }
        });
        self.cached += added;
        self.cached -= taken.dropped.iter().map(cached).sum::<usize>();
        if taken.is_newcomer
            && let Some(channel) = channel
        {
            self.residents.add(place.segment, channel);
        }
        while self.cached > self.cache_bytes && self.hot_from < place.segment {
            self.cool(self.hot_from);
            self.hot_from += 1;
        }
    }

    fn cool(&mut self, segment: u32) {
        for channel in self.residents.of(segment) {
            let found = self.fold.channels.get_mut(channel);
            let found = found.expect("residents are known");
            for (_, slot) in &mut found.kept {
                if slot.place.segment <= segment {
                    self.cached -= slot.cool().cached;
                }
            }
        }
    }

    /// The era, where the log has one that lasts and may go on: not beyond the shortest lifetime of
    /// metadata, which may have become shorter since it began.
    pub(super) fn era(&self, present: Present, lifetime: std::time::Duration) -> Option<Era> {
        let (epoch, ends) = self.fold.era.filter(|(_, ends)| *ends > present.time)?;
        let ends = present.moment_of(ends);
        (ends <= present.moment + lifetime).then_some(Era {
            epoch,
            ends,
            lifetime,
        })
    }

    /// Fills `streams`; `rebirth` is the epoch of all of them if what they were seen as may be lost.
    ///
    /// # Errors
    /// The log has not all that it says it has.
    pub(super) fn finish(
        self,
        streams: &Streams<Slot>,
        present: Present,
        rebirth: Option<Epoch>,
        recovered: &mut Recovered,
    ) -> Result<Residents, OpenError> {
        for (channel, found) in self.fold.channels {
            let segment = found.segment;
            let Some(settled) = found.settle(present.time) else {
                continue;
            };
            if !settled.is_whole() {
                return Err(OpenError::Incomplete(channel));
            }
            let restored = Restored::of(settled, present, rebirth);
            recovered.channels += 1;
            recovered.publications += restored.slots.len() as u64;
            streams.restore(&channel, |entry| {
                let mut taken: Footprint = restored.slots.iter().map(Kept::footprint).sum();
                taken += entry_footprint(&channel);
                entry.segment = segment;
                entry.stream.restore(
                    restored.epoch,
                    restored.bounds,
                    restored.slots,
                    restored.version,
                );
                for (key, remembered) in restored.keys {
                    taken += key_footprint(&key);
                    entry.stream.remember_key(key, remembered);
                }
                taken
            });
        }
        Ok(self.residents)
    }
}

struct Restored {
    epoch: Epoch,
    bounds: Bounds,
    slots: Vec<Slot>,
    version: Option<crate::broker::Version>,
    keys: Vec<(Box<str>, Remembered)>,
}

impl Restored {
    fn of(settled: Settled<Slot>, present: Present, rebirth: Option<Epoch>) -> Self {
        let StreamState {
            epoch,
            top,
            floor,
            history_expires,
            meta_expires,
            version,
        } = settled.state;
        let epoch = rebirth.unwrap_or(epoch);
        let published = |offset: Option<u64>| Published {
            position: offset.map(|offset| campanile_protocol::Position { epoch, offset }),
            is_suppressed: false,
        };
        let keys = settled.keys.into_iter().map(|key| {
            let remembered = Remembered {
                published: published(key.offset),
                expires: present.moment_of(key.expires),
                // Not newer than any.
                segment: 0,
            };
            (key.key, remembered)
        });
        Self {
            epoch,
            bounds: Bounds {
                top,
                floor,
                history_expires: present.moment_of(history_expires),
                meta_expires: meta_expires.map(|at| present.moment_of(at)),
            },
            slots: settled.kept.into_iter().map(|(_, slot)| slot).collect(),
            version,
            keys: keys.collect(),
        }
    }
}

fn cached(slot: &Slot) -> usize {
    slot.hot.as_deref().map_or(0, publication_bytes)
}
