//! From records to channels: what a log says of each, once it has been read.
//!
//! It owns the rules of the fold: the last record of a channel is its state, another epoch ends what
//! was before, of an offset that comes twice the later place counts. What is kept of a publication is
//! the reader's choice. It refuses to know files, and who goes on with the channels.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use campanile_protocol::{Epoch, Publication};

use super::record::{KeyRecord, LogTime, Place, Record, StreamState};
use crate::channel::ChannelName;

/// What of one channel is no longer needed is dropped once there is so much more than it keeps.
const SLACK: usize = 64;

/// The channels of a log, as far as it has been read.
#[derive(Debug)]
pub struct Fold<K> {
    /// Every channel with a record, also those past their time.
    pub(crate) channels: HashMap<ChannelName, Found<K>>,
    /// The epoch of streams that begin, and when it ends.
    pub(crate) era: Option<(Epoch, LogTime)>,
}

/// One channel, as far as the log has been read.
#[derive(Debug)]
pub(crate) struct Found<K> {
    pub(crate) state: StreamState,
    /// In the order of the log, of this epoch; with what is no longer needed.
    pub(crate) kept: Vec<(u64, K)>,
    keys: HashMap<Box<str>, KeyRecord>,
    /// The segment with its newest record.
    pub(crate) segment: u32,
}

/// What a record changed beside the state of its channel.
#[derive(Debug)]
pub(crate) struct Taken<K> {
    /// No longer needed.
    pub(crate) dropped: Vec<K>,
    /// Whether it is the first record that its channel has in its segment.
    pub(crate) is_newcomer: bool,
}

impl<K> Default for Fold<K> {
    fn default() -> Self {
        Self {
            channels: HashMap::new(),
            era: None,
        }
    }
}

impl<K> Fold<K> {
    /// Takes in the next record of the log; `keep` makes of its publication what is kept of it.
    pub(crate) fn take(
        &mut self,
        record: Record,
        place: Place,
        keep: impl FnOnce(Publication) -> K,
    ) -> Taken<K> {
        let mut taken = Taken {
            dropped: Vec::new(),
            is_newcomer: false,
        };
        match record {
            Record::Channel {
                channel,
                state,
                publication,
                keys,
            } => {
                let found = self.channels.entry(channel).or_insert_with(|| Found {
                    state: state.clone(),
                    kept: Vec::new(),
                    keys: HashMap::new(),
                    segment: u32::MAX,
                });
                taken.is_newcomer = found.segment != place.segment;
                found.segment = place.segment;
                found.proceed(state, keys, &mut taken.dropped);
                if let Some(publication) = publication {
                    let offset = publication.offset;
                    found.kept.push((offset, keep(publication)));
                    found.tidy(&mut taken.dropped);
                }
            }
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
        taken
    }

    /// What there is at `now`, ordered by name.
    pub fn settle(self, now: LogTime) -> Vec<(ChannelName, Settled<K>)> {
        let channels = self.channels.into_iter();
        let mut settled: Vec<_> = channels
            .filter_map(|(channel, found)| Some((channel, found.settle(now)?)))
            .collect();
        settled.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        settled
    }
}

impl<K> Found<K> {
    fn proceed(&mut self, state: StreamState, keys: Vec<KeyRecord>, dropped: &mut Vec<K>) {
        // A rebirth gives its epoch to streams too that are past their time: one that begins again
        // after it shows only in its top.
        if self.state.epoch != state.epoch || self.state.top > state.top {
            dropped.extend(self.kept.drain(..).map(|(_, kept)| kept));
            self.keys.clear();
        }
        self.state = state;
        for key in keys {
            self.keys.insert(key.key.clone(), key);
        }
    }

    fn tidy(&mut self, dropped: &mut Vec<K>) {
        let kept = (self.state.top.saturating_add(1)).saturating_sub(self.state.floor);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if self.kept.len() > kept.saturating_mul(2).saturating_add(SLACK) {
            let floor = self.state.floor;
            let old = self.kept.extract_if(.., |(offset, _)| *offset < floor);
            dropped.extend(old.map(|(_, kept)| kept));
        }
    }

    /// What there is of the channel at `now`; `None` when everything of it is past its time.
    pub(crate) fn settle(self, now: LogTime) -> Option<Settled<K>> {
        let Self {
            mut state,
            mut kept,
            keys,
            ..
        } = self;
        let mut keys: Vec<KeyRecord> = keys.into_values().collect();
        keys.retain(|key| key.expires > now);
        keys.sort_by(|one, other| (one.expires, &one.key).cmp(&(other.expires, &other.key)));
        if keys.is_empty() && state.meta_expires.is_none_or(|expires| expires <= now) {
            return None;
        }
        if state.history_expires <= now {
            state.floor = state.top.saturating_add(1);
        }
        kept.retain(|(offset, _)| *offset >= state.floor);
        kept.sort_by_key(|(offset, _)| *offset);
        // Of the same offset, the later one in the log.
        kept.reverse();
        kept.dedup_by_key(|(offset, _)| *offset);
        kept.reverse();
        Some(Settled { state, kept, keys })
    }
}

/// What a whole log says of one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled<K> {
    /// Where it stands. Its floor is behind its top when its history has expired.
    pub state: StreamState,
    /// What is kept of its publications, by ascending offset from the floor on.
    pub kept: Vec<(u64, K)>,
    /// The keys that it remembers, the first to expire first.
    pub keys: Vec<KeyRecord>,
}

impl<K> Settled<K> {
    /// Whether everything from the floor to the top is there, and nothing else.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let offsets = self.kept.iter().map(|(offset, _)| *offset);
        (self.state.floor..=self.state.top).eq(offsets)
    }

    /// The offsets from the floor to the top that are not there.
    #[must_use]
    pub fn missing(&self) -> Vec<RangeInclusive<u64>> {
        let mut missing = Vec::new();
        let mut expected = self.state.floor;
        let offsets = self.kept.iter().map(|(offset, _)| *offset);
        for offset in offsets.chain([self.state.top.saturating_add(1)]) {
            if offset > expected {
                missing.push(expected..=offset - 1);
            }
            expected = offset.saturating_add(1).max(expected);
        }
        missing
    }
}
