//! The stream of one channel, in memory: its position, its recent publications, its keys.
//!
//! Pure: told what time it is, it says what changed. Locks, shards and budgets are its owner's.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use campanile_protocol::{Epoch, Position, Publication};

use super::{HistoryPage, HistoryQuery, IDEMPOTENCY_TTL, Published, Retention, Version};
use crate::limits::PUBLICATION_OVERHEAD_BYTES;
use crate::time::Moment;

/// The stream of one channel.
#[derive(Debug)]
pub(super) struct Stream {
    epoch: Epoch,
    top: u64,
    history: VecDeque<Arc<Publication>>,
    history_expires: Moment,
    /// `None` until the first publication is stored: then there is nothing to outlive anybody.
    meta_expires: Option<Moment>,
    /// Boxed, since few channels have any of it.
    extras: Option<Box<Extras>>,
}

#[derive(Debug, Default)]
struct Extras {
    version: Option<Version>,
    keys: HashMap<Box<str>, (Published, Moment)>,
    /// The keys in the order in which they expire.
    keys_by_age: VecDeque<Box<str>>,
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

/// What an idempotency key takes of memory: its text twice, and two entries.
pub(super) fn key_bytes(key: &str) -> usize {
    2 * key.len() + PUBLICATION_OVERHEAD_BYTES
}

impl Stream {
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
        let (published, expires) = self.extras.as_ref()?.keys.get(key)?;
        (now < *expires).then_some(Published {
            is_suppressed: true,
            ..*published
        })
    }

    pub(super) fn key_count(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.keys.len())
    }

    pub(super) fn remember_key(&mut self, key: Box<str>, published: Published, now: Moment) {
        let extras = self.extras.get_or_insert_default();
        extras.keys_by_age.push_back(key.clone());
        extras.keys.insert(key, (published, now + IDEMPOTENCY_TTL));
    }

    /// Whether `version` is older than what was published already. A publish without a version in
    /// between changes nothing about that.
    pub(super) fn has_seen(&self, version: &Version) -> bool {
        let seen = self
            .extras
            .as_ref()
            .and_then(|extras| extras.version.as_ref());
        seen.is_some_and(|seen| {
            (version.epoch.is_empty() || version.epoch == seen.epoch)
                && version.number <= seen.number
        })
    }

    pub(super) fn set_version(&mut self, version: Version) {
        self.extras.get_or_insert_default().version = Some(version);
    }

    /// The offset that [`Stream::append`] wants next.
    pub(super) fn next_offset(&self) -> u64 {
        self.top + 1
    }

    /// The publication at the top, while it is kept.
    pub(super) fn latest(&self, now: Moment) -> Option<Arc<Publication>> {
        let latest = self.history.back().filter(|_| now < self.history_expires);
        latest.map(Arc::clone)
    }

    /// Appends a publication with the next offset; returns the bytes of those that made room.
    pub(super) fn append(
        &mut self,
        publication: Arc<Publication>,
        retention: Retention,
        now: Moment,
    ) -> usize {
        debug_assert_eq!(publication.offset, self.next_offset());
        let expired = self.history_expires <= now;
        let freed = self.trim_to(if expired { 0 } else { retention.size - 1 });
        self.top = publication.offset;
        self.history.push_back(publication);
        self.history_expires = now + retention.ttl;
        self.meta_expires = Some(now + retention.meta_ttl);
        freed
    }

    /// Forgets all publications; returns their bytes.
    pub(super) fn clear(&mut self) -> usize {
        let freed = self.trim_to(0);
        self.history.shrink_to_fit();
        freed
    }

    /// Forgets what is past its time; returns its bytes.
    pub(super) fn expire(&mut self, now: Moment) -> usize {
        let mut freed = 0;
        if self.history_expires <= now {
            freed += self.clear();
        }
        if let Some(extras) = &mut self.extras {
            while let Some(key) = extras.keys_by_age.front() {
                let expires = extras.keys.get(key).map_or(now, |(_, expires)| *expires);
                if expires > now {
                    break;
                }
                freed += key_bytes(key);
                extras.keys.remove(key);
                extras.keys_by_age.pop_front();
            }
        }
        freed
    }

    /// Whether nothing in it is worth keeping once nobody is subscribed.
    pub(super) fn is_forgettable(&self, now: Moment) -> bool {
        self.meta_expires.is_none_or(|expires| expires <= now) && self.key_count() == 0
    }

    /// The bytes of everything that is kept.
    pub(super) fn bytes(&self) -> usize {
        let keys = self.extras.iter().flat_map(|extras| &extras.keys_by_age);
        self.history
            .iter()
            .map(|publication| publication_bytes(publication))
            .sum::<usize>()
            + keys.map(|key| key_bytes(key)).sum::<usize>()
    }

    /// When [`Stream::expire`] or [`Stream::is_forgettable`] will next change its answer.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let history = (!self.history.is_empty()).then_some(self.history_expires);
        let key = self.extras.as_ref().and_then(|extras| {
            let oldest = extras.keys_by_age.front()?;
            extras.keys.get(oldest).map(|(_, expires)| *expires)
        });
        // Metadata outlives the keys: while there are any, its own end would change nothing.
        let rest = key.or(self.meta_expires);
        [history, rest].into_iter().flatten().min()
    }

    pub(super) fn page(&self, query: HistoryQuery, now: Moment) -> HistoryPage {
        let mut page = HistoryPage {
            publications: Vec::new(),
            top: self.top(),
        };
        if self.history_expires <= now {
            return page;
        }
        let mut bytes_left = query.bytes;
        let mut take = |publication: &Arc<Publication>| {
            let bytes = publication_bytes(publication);
            let fits = page.publications.len() < query.limit && bytes <= bytes_left;
            if fits {
                bytes_left -= bytes;
                page.publications.push(Arc::clone(publication));
            }
            fits
        };
        if query.reverse {
            let end = match query.since {
                None => self.history.len(),
                // A start that is no longer kept has nothing known to be older than it.
                Some(since) if since <= self.top && !self.is_kept(since) => 0,
                Some(since) => self.index_of(since),
            };
            self.history.range(..end).rev().all(&mut take);
        } else {
            let start = query
                .since
                .map_or(0, |since| self.index_of(since.saturating_add(1)));
            self.history.range(start..).all(take);
        }
        page
    }

    /// The index of the first kept publication whose offset is at least `offset`.
    fn index_of(&self, offset: u64) -> usize {
        let Some(first) = self.history.front() else {
            return 0;
        };
        let index = offset.saturating_sub(first.offset);
        usize::try_from(index).map_or(self.history.len(), |index| index.min(self.history.len()))
    }

    fn is_kept(&self, offset: u64) -> bool {
        self.history
            .front()
            .is_some_and(|first| (first.offset..=self.top).contains(&offset))
    }

    fn trim_to(&mut self, size: usize) -> usize {
        let excess = self.history.len().saturating_sub(size);
        self.history
            .drain(..excess)
            .map(|publication| publication_bytes(&publication))
            .sum()
    }
}
