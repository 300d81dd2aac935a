//! From the records of a log to the streams that they are of.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_protocol::{Epoch, Publication};

use super::OpenError;
use super::residents::Residents;
use super::slot::Slot;
use super::status::Recovered;
use crate::broker::Published;
use crate::broker::stream::{Bounds, Footprint, Kept, publication_bytes};
use crate::broker::streams::{Era, Streams, entry_footprint};
use crate::channel::ChannelName;
use crate::store::{KeyRecord, LogTime, Place, Record, StreamState};
use crate::time::Moment;

/// Places of one channel that are no longer kept are dropped once there are so many more than it
/// keeps.
const SLACK: usize = 64;

/// What is known while the log is read.
pub(super) struct Restoring {
    channels: HashMap<ChannelName, Found>,
    residents: Residents,
    era: Option<(Epoch, LogTime)>,
    cached: usize,
    cache_bytes: usize,
    hot_from: u32,
}

struct Found {
    state: StreamState,
    /// In the order of the log: an offset may come again, and then the later place counts.
    slots: Vec<(u64, Slot)>,
    keys: HashMap<Box<str>, KeyRecord>,
    segment: u32,
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
            channels: HashMap::new(),
            residents: Residents::default(),
            era: None,
            cached: 0,
            cache_bytes,
            hot_from: 0,
        }
    }

    /// Takes in the next record.
    pub(super) fn fold(&mut self, record: Record, place: Place) {
        match record {
            Record::Channel {
                channel,
                state,
                publication,
                keys,
            } => self.fold_channel(channel, state, publication, keys, place),
            Record::Era {
                epoch,
                ends,
                is_rebirth,
            } => {
                self.era = Some((epoch, ends));
                if is_rebirth {
                    for found in self.channels.values_mut() {
                        found.state.epoch = epoch;
                    }
                }
            }
        }
    }

    fn fold_channel(
        &mut self,
        channel: ChannelName,
        state: StreamState,
        publication: Option<Publication>,
        keys: Vec<KeyRecord>,
        place: Place,
    ) {
        let is_known = self.channels.contains_key(&channel);
        if !is_known {
            let found = Found {
                state: state.clone(),
                slots: Vec::new(),
                keys: HashMap::new(),
                segment: u32::MAX,
            };
            self.channels.insert(channel.clone(), found);
        }
        let found = self.channels.get_mut(&channel).expect("just looked");
        if found.segment != place.segment {
            found.segment = place.segment;
            self.residents.add(place.segment, channel);
        }
        if found.state.epoch != state.epoch {
            self.cached -= found
                .slots
                .drain(..)
                .map(|(_, slot)| cached(&slot))
                .sum::<usize>();
            found.keys.clear();
        }
        found.state = state;
        for key in keys {
            found.keys.insert(key.key.clone(), key);
        }
        let Some(publication) = publication else {
            return;
        };
        let (offset, hot) = (publication.offset, Arc::new(publication));
        self.cached += publication_bytes(&hot);
        let slot = Slot {
            place,
            hot: Some(hot),
        };
        found.slots.push((offset, slot));
        let kept = (found.state.top.saturating_add(1)).saturating_sub(found.state.floor);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if found.slots.len() > kept.saturating_mul(2).saturating_add(SLACK) {
            self.cached -= drop_below(&mut found.slots, found.state.floor);
        }
        while self.cached > self.cache_bytes && self.hot_from < place.segment {
            self.cool(self.hot_from);
            self.hot_from += 1;
        }
    }

    fn cool(&mut self, segment: u32) {
        for channel in self.residents.of(segment) {
            let found = self.channels.get_mut(channel).expect("residents are known");
            for (_, slot) in &mut found.slots {
                if slot.place.segment <= segment {
                    self.cached -= slot.cool().cached;
                }
            }
        }
    }

    /// The era, where the log has one that lasts.
    pub(super) fn era(&self, present: Present, lifetime: std::time::Duration) -> Option<Era> {
        let (epoch, ends) = self.era.filter(|(_, ends)| *ends > present.time)?;
        // Metadata may live shorter than when the era began, and an era never longer than that.
        let ends = present.moment_of(ends).min(present.moment + lifetime);
        Some(Era {
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
        mut self,
        streams: &Streams<Slot>,
        present: Present,
        rebirth: Option<Epoch>,
        recovered: &mut Recovered,
    ) -> Result<Residents, OpenError> {
        for (channel, found) in self.channels.drain() {
            let segment = found.segment;
            let Some(restored) = found.restore(&channel, present, rebirth)? else {
                continue;
            };
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
                for (key, published, expires) in restored.keys {
                    taken.memory += crate::broker::stream::key_bytes(&key);
                    entry.stream.restore_key(key, published, expires);
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
    keys: Vec<(Box<str>, Published, Moment)>,
}

impl Found {
    /// `None` when everything of it is past its time.
    fn restore(
        mut self,
        channel: &ChannelName,
        present: Present,
        rebirth: Option<Epoch>,
    ) -> Result<Option<Restored>, OpenError> {
        let StreamState {
            epoch,
            top,
            floor,
            history_expires,
            meta_expires,
            version,
        } = self.state;
        let epoch = rebirth.unwrap_or(epoch);
        let mut keys: Vec<KeyRecord> = self.keys.into_values().collect();
        keys.retain(|key| key.expires > present.time);
        keys.sort_by_key(|key| key.expires);
        if keys.is_empty() && meta_expires.is_none_or(|expires| expires <= present.time) {
            return Ok(None);
        }
        let mut bounds = Bounds {
            top,
            floor,
            history_expires: present.moment_of(history_expires),
            meta_expires: meta_expires.map(|at| present.moment_of(at)),
        };
        let mut slots = Vec::new();
        if history_expires > present.time {
            drop_below(&mut self.slots, floor);
            self.slots.sort_by_key(|(offset, _)| *offset);
            // Of the same offset, the later one in the log.
            self.slots.reverse();
            self.slots.dedup_by_key(|(offset, _)| *offset);
            self.slots.reverse();
            let expected = floor..=top;
            let found = self.slots.iter().map(|(offset, _)| *offset);
            if !expected.eq(found) {
                return Err(OpenError::Incomplete(channel.clone()));
            }
            slots = self.slots.into_iter().map(|(_, slot)| slot).collect();
        } else {
            bounds.floor = top + 1;
        }
        let published = |offset: Option<u64>| Published {
            position: offset.map(|offset| campanile_protocol::Position { epoch, offset }),
            is_suppressed: false,
        };
        let keys = keys.into_iter().map(|key| {
            let expires = present.moment_of(key.expires);
            (key.key, published(key.offset), expires)
        });
        Ok(Some(Restored {
            epoch,
            bounds,
            slots,
            version,
            keys: keys.collect(),
        }))
    }
}

fn cached(slot: &Slot) -> usize {
    slot.hot.as_deref().map_or(0, publication_bytes)
}

/// Drops slots of offsets below `floor`; returns the bytes that those had in memory.
fn drop_below(slots: &mut Vec<(u64, Slot)>, floor: u64) -> usize {
    let mut freed = 0;
    slots.retain(|(offset, slot)| {
        let stays = *offset >= floor;
        freed += if stays { 0 } else { cached(slot) };
        stays
    });
    freed
}
