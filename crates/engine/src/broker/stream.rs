//! The stream of one channel: its position, what is kept of its recent publications, its keys.
//!
//! Pure: told what time it is, it says what changed. Locks, shards and budgets are its owner's. What
//! is kept of a publication is its broker's choice: the publication, or where to find it.

use std::collections::{HashMap, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;

use campanile_protocol::{Epoch, Position, Publication};

use super::{HistoryQuery, IDEMPOTENCY_TTL, Published, Retention, Version};
use crate::limits::{PUBLICATION_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
use crate::time::Moment;

/// What a broker keeps of one publication.
pub(super) trait Kept: Clone {
    /// What it takes up.
    fn footprint(&self) -> Footprint;

    /// What it takes of a page, overhead included.
    fn page_bytes(&self) -> usize;
}

/// What something takes up, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Footprint {
    /// Of the node's memory.
    pub(super) memory: usize,
    /// Of these, what could be had from the disk again.
    pub(super) cached: usize,
    /// Of the log.
    pub(super) logged: u64,
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.cached += other.cached;
        self.logged += other.logged;
    }
}

impl std::iter::Sum for Footprint {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.for_each(|one| sum += one);
        sum
    }
}

impl Kept for Arc<Publication> {
    fn footprint(&self) -> Footprint {
        Footprint {
            memory: publication_bytes(self),
            ..Footprint::default()
        }
    }

    fn page_bytes(&self) -> usize {
        publication_bytes(self)
    }
}

/// The stream of one channel.
#[derive(Debug)]
pub(super) struct Stream<K> {
    epoch: Epoch,
    top: u64,
    /// Without holes, up to the top.
    history: VecDeque<K>,
    history_expires: Moment,
    /// `None` until the first publication is stored: then there is nothing to outlive anybody.
    meta_expires: Option<Moment>,
    /// Boxed, since few channels have any of it.
    extras: Option<Box<Extras>>,
}

#[derive(Debug, Default)]
struct Extras {
    version: Option<Version>,
    keys: HashMap<Box<str>, Remembered>,
    /// The keys in the order in which they expire. One that was used again after its time is there
    /// twice.
    keys_by_age: VecDeque<(Moment, Box<str>)>,
}

/// What is known of an idempotency key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    /// What the publish came to that used it first.
    pub(super) published: Published,
    /// When it is forgotten.
    pub(super) expires: Moment,
    /// A segment that is not newer than the one with its newest record, where there is a log.
    pub(super) segment: u32,
}

impl Remembered {
    /// A key that is used now for the first time.
    pub(super) fn new(published: Published, now: Moment, segment: u32) -> Self {
        Self {
            published,
            expires: now + IDEMPOTENCY_TTL,
            segment,
        }
    }
}

/// What a publication takes of memory while it is kept.
pub(super) fn publication_bytes(publication: &Publication) -> usize {
    let tags = publication.tags.iter().flat_map(|tags| tags.iter());
    let tags: usize = tags
        .map(|(name, value)| name.len() + value.len() + TAG_OVERHEAD_BYTES)
        .sum();
    publication.data.len() + tags + PUBLICATION_OVERHEAD_BYTES
}

/// What one label takes beside its text: two strings in a tree's node.
const TAG_OVERHEAD_BYTES: usize = 64;

/// What an idempotency key takes up: of memory its text twice, and two entries; of a log one record.
pub(super) fn key_footprint(key: &str) -> Footprint {
    Footprint {
        memory: 2 * key.len() + PUBLICATION_OVERHEAD_BYTES,
        cached: 0,
        logged: RECORD_OVERHEAD_BYTES + key.len() as u64,
    }
}

impl<K: Kept> Stream<K> {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            top: 0,
            history: VecDeque::new(),
            history_expires: Moment::START,
            meta_expires: None,
            extras: None,
        }
    }

    pub(super) fn top(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    /// The outcome of the publish that first used `key`, while it is remembered.
    pub(super) fn published_with(&self, key: &str, now: Moment) -> Option<Published> {
        self.remembered(key, now).map(|remembered| Published {
            is_suppressed: true,
            ..remembered.published
        })
    }

    /// What is known of `key`, while it is remembered.
    pub(super) fn remembered(&self, key: &str, now: Moment) -> Option<&Remembered> {
        let remembered = self.extras.as_ref()?.keys.get(key)?;
        (now < remembered.expires).then_some(remembered)
    }

    pub(super) fn key_count(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.keys.len())
    }

    /// Remembers a key, which expires after all others.
    pub(super) fn remember_key(&mut self, key: Box<str>, remembered: Remembered) {
        let extras = self.extras.get_or_insert_default();
        let entry = (remembered.expires, key.clone());
        extras.keys_by_age.push_back(entry);
        extras.keys.insert(key, remembered);
    }

    /// Notes that the key has a record in `segment`.
    pub(super) fn move_key(&mut self, key: &str, segment: u32) {
        let extras = self.extras.as_mut();
        if let Some(remembered) = extras.and_then(|extras| extras.keys.get_mut(key)) {
            remembered.segment = segment;
        }
    }

    /// Whether `version` is older than what was published already. A publish without a version in
    /// between changes nothing about that.
    pub(super) fn has_seen(&self, version: &Version, now: Moment) -> bool {
        is_seen(self.version(now), version)
    }

    /// The newest version that was published, for as long as epoch and offset live.
    pub(super) fn version(&self, now: Moment) -> Option<&Version> {
        self.meta_expires.filter(|expires| now < *expires)?;
        self.extras.as_ref()?.version.as_ref()
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.extras.get_or_insert_default().version = Some(version);
    }

    /// The keys that are remembered.
    pub(super) fn keys(&self, now: Moment) -> impl Iterator<Item = (&str, &Remembered)> {
        let all = self.extras.iter().flat_map(|extras| &extras.keys);
        let all = all.map(|(key, remembered)| (&**key, remembered));
        all.filter(move |(_, remembered)| now < remembered.expires)
    }

    /// Whether what is kept has not expired.
    pub(super) fn history_is_alive(&self, now: Moment) -> bool {
        now < self.history_expires
    }

    /// What is kept, oldest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &K> {
        self.history.iter()
    }

    /// The same, to be changed.
    pub(super) fn kept_mut(&mut self) -> impl Iterator<Item = &mut K> {
        self.history.iter_mut()
    }

    /// What is kept of the publication with `offset`.
    pub(super) fn get(&self, offset: u64) -> Option<&K> {
        let index = offset.checked_sub(self.floor())?;
        self.history.get(usize::try_from(index).ok()?)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, offset: u64) -> Option<&mut K> {
        let index = offset.checked_sub(self.floor())?;
        self.history.get_mut(usize::try_from(index).ok()?)
    }

    /// Makes it what it was before the broker was closed. `history` is all from the floor on.
    pub(super) fn restore(
        &mut self,
        epoch: Epoch,
        bounds: Bounds,
        history: Vec<K>,
        version: Option<Version>,
    ) {
        debug_assert_eq!(bounds.top + 1, bounds.floor + history.len() as u64);
        self.epoch = epoch;
        self.top = bounds.top;
        self.history = history.into();
        self.history_expires = bounds.history_expires;
        self.meta_expires = bounds.meta_expires;
        if let Some(version) = version {
            self.set_version(version);
        }
    }

    /// Where it stands.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            top: self.top,
            floor: self.floor(),
            history_expires: self.history_expires,
            meta_expires: self.meta_expires,
        }
    }

    /// What is kept of the publication at the top.
    pub(super) fn latest(&self, now: Moment) -> Option<&K> {
        self.history.back().filter(|_| now < self.history_expires)
    }

    /// Appends a publication, which makes the stream stand at `bounds`; returns what those took up
    /// that made room.
    pub(super) fn append(&mut self, kept: K, bounds: Bounds, now: Moment) -> Footprint {
        debug_assert_eq!(bounds.top, self.top + 1, "a stream has no holes");
        if self.version(now).is_none()
            && let Some(extras) = &mut self.extras
        {
            // It does not come back with a new lifetime.
            extras.version = None;
        }
        let freed = self.forget_below(bounds.floor);
        self.top = bounds.top;
        self.history.push_back(kept);
        self.history_expires = bounds.history_expires;
        self.meta_expires = bounds.meta_expires;
        freed
    }

    /// Forgets all publications; returns what they took up.
    pub(super) fn clear(&mut self) -> Footprint {
        let freed = self.forget_below(self.top + 1);
        self.history.shrink_to_fit();
        freed
    }

    /// Forgets what is past its time; returns what that took up.
    pub(super) fn expire(&mut self, now: Moment) -> Footprint {
        let mut freed = Footprint::default();
        if self.history_expires <= now {
            freed += self.clear();
        }
        if let Some(extras) = &mut self.extras {
            let is_over = |(expires, _): &(Moment, Box<str>)| *expires <= now;
            while extras.keys_by_age.front().is_some_and(is_over) {
                let Some((expires, key)) = extras.keys_by_age.pop_front() else {
                    break;
                };
                freed += key_footprint(&key);
                let is_this = |known: &Remembered| known.expires == expires;
                if extras.keys.get(&key).is_some_and(is_this) {
                    extras.keys.remove(&key);
                }
            }
        }
        freed
    }

    /// Whether nothing in it is worth keeping once nobody is subscribed.
    pub(super) fn is_forgettable(&self, now: Moment) -> bool {
        self.meta_expires.is_none_or(|expires| expires <= now) && self.key_count() == 0
    }

    /// Forgets all but where it stands, which its subscribers have been told.
    pub(super) fn forget(&mut self) {
        self.clear();
        self.extras = None;
    }

    /// What everything in it takes up.
    pub(super) fn footprint(&self) -> Footprint {
        let mut sum: Footprint = self.history.iter().map(Kept::footprint).sum();
        let keys = self.extras.iter().flat_map(|extras| &extras.keys_by_age);
        keys.for_each(|(_, key)| sum += key_footprint(key));
        sum
    }

    /// When [`Stream::expire`] or [`Stream::is_forgettable`] will next change its answer.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let history = (!self.history.is_empty()).then_some(self.history_expires);
        let key = self.extras.as_ref().and_then(|extras| {
            let (expires, _) = extras.keys_by_age.front()?;
            Some(*expires)
        });
        // Metadata outlives the keys: while there are any, its own end would change nothing.
        let rest = key.or(self.meta_expires);
        [history, rest].into_iter().flatten().min()
    }

    /// What is kept of the publications that `query` asks for, in its order.
    pub(super) fn select(&self, query: HistoryQuery, now: Moment) -> Vec<K> {
        let mut selected = Vec::new();
        if self.history_expires <= now {
            return selected;
        }
        let mut bytes_left = query.bytes;
        let mut take = |kept: &K| {
            let bytes = kept.page_bytes();
            let fits = selected.len() < query.limit && bytes <= bytes_left;
            if fits {
                bytes_left -= bytes;
                selected.push(kept.clone());
            }
            fits
        };
        if query.reverse {
            let end = match query.since {
                None => self.history.len(),
                // A start that is no longer kept has nothing known to be older than it.
                Some(since) if since <= self.top && since < self.floor() => 0,
                Some(since) => self.index_of(since),
            };
            self.history.range(..end).rev().all(&mut take);
        } else {
            let start = query
                .since
                .map_or(0, |since| self.index_of(since.saturating_add(1)));
            self.history.range(start..).all(take);
        }
        selected
    }

    /// The oldest offset that is kept; the next one when none is.
    fn floor(&self) -> u64 {
        self.top + 1 - self.history.len() as u64
    }

    /// The index of the first kept publication whose offset is at least `offset`.
    fn index_of(&self, offset: u64) -> usize {
        let index = offset.saturating_sub(self.floor());
        usize::try_from(index).map_or(self.history.len(), |index| index.min(self.history.len()))
    }

    /// Forgets publications with offsets below `floor`; returns what they took up.
    pub(super) fn forget_below(&mut self, floor: u64) -> Footprint {
        let excess = self.index_of(floor);
        self.history
            .drain(..excess)
            .map(|kept| kept.footprint())
            .sum()
    }
}

/// Whether `version` is not newer than `seen`, which was published last.
pub(super) fn is_seen(seen: Option<&Version>, version: &Version) -> bool {
    seen.is_some_and(|seen| {
        (version.epoch.is_empty() || version.epoch == seen.epoch) && version.number <= seen.number
    })
}

/// Where a stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    /// The newest offset.
    pub(super) top: u64,
    /// The oldest offset that is kept; `top + 1` when none is.
    pub(super) floor: u64,
    /// When all that is kept expires.
    pub(super) history_expires: Moment,
    /// When epoch and offset expire; `None` before the first publication.
    pub(super) meta_expires: Option<Moment>,
}

impl Default for Bounds {
    /// Where a stream stands that begins.
    fn default() -> Self {
        Self {
            top: 0,
            floor: 1,
            history_expires: Moment::START,
            meta_expires: None,
        }
    }
}

impl Bounds {
    /// Where it stands after one more publication.
    pub(super) fn advance(self, retention: Retention, now: Moment) -> Self {
        let top = self.top + 1;
        let room_from = (top + 1).saturating_sub(retention.size as u64);
        Self {
            top,
            floor: if self.history_expires <= now {
                top
            } else {
                self.floor.max(room_from)
            },
            history_expires: now + retention.ttl,
            meta_expires: Some(now + retention.meta_ttl),
        }
    }
}
