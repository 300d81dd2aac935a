//! The broker that keeps everything in memory: for tests, for caches, and for those who do not
//! mind that a restart forgets. A restart makes new epochs, so it is always noticed.
//!
//! Streams are striped over several locks, held for one operation each and never across an await.
//! Lock order: one stripe at a time; the era's lock inside a stripe's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use campanile_protocol::{Epoch, Position, Publication};

use super::stream::{Stream, key_bytes, publication_bytes};
use super::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use crate::budget::MemoryBudget;
use crate::channel::ChannelName;
use crate::delivery::{Admission, Delivery, Event, Inboxes, ShardId};
use crate::limits::{ENTRY_OVERHEAD_BYTES, IDEMPOTENCY_KEYS_MAX};
use crate::time::{Clock, Moment};

/// Locks that streams are spread over: enough that a few dozen workers seldom meet.
const STRIPES: usize = 64;

/// Streams looked at in one stripe by one sweep, so that none holds its lock for long.
const SWEEP_MAX: usize = 1024;

/// See the [module](self).
pub struct MemoryBroker {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    era: Mutex<Era>,
    inboxes: Inboxes,
    budget: Arc<MemoryBudget>,
    clock: Arc<dyn Clock>,
}

/// The epoch of every stream that begins now. It changes at least once within the shortest
/// lifetime of a stream's metadata, so that a stream which was forgotten and begins again never
/// has the epoch that it had before; and subscribing to a name that was never published to needs
/// to store nothing.
struct Era {
    epoch: Epoch,
    ends: Moment,
    lifetime: Duration,
}

#[derive(Default)]
struct Stripe {
    /// Boxed, so that the table's free places are small.
    entries: HashMap<ChannelName, Box<Entry>>,
    /// When to look at which channel again.
    due: BinaryHeap<Reverse<(Moment, ChannelName)>>,
}

struct Entry {
    stream: Stream,
    /// The shards with subscribers, as [`ShardId::bit`]s.
    shards: u64,
    /// The one entry of [`Stripe::due`] that counts for this channel; others are passed over.
    due: Option<Moment>,
    /// Whether the budget knows of it: not while there are subscribers and nothing else.
    is_charged: bool,
}

impl MemoryBroker {
    /// A broker that delivers to `inboxes`. `meta_ttl_min` is the shortest lifetime of metadata
    /// that any channel is configured with.
    #[must_use]
    pub fn new(
        inboxes: Inboxes,
        budget: Arc<MemoryBudget>,
        clock: Arc<dyn Clock>,
        meta_ttl_min: Duration,
    ) -> Self {
        let now = clock.now().moment;
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            era: Mutex::new(Era {
                epoch: random_epoch(),
                ends: now + meta_ttl_min,
                lifetime: meta_ttl_min,
            }),
            inboxes,
            budget,
            clock,
        }
    }

    fn stripe(&self, channel: &ChannelName) -> MutexGuard<'_, Stripe> {
        let hash = self.hasher.hash_one(channel);
        let index = usize::try_from(hash % STRIPES as u64).expect("below STRIPES");
        lock(&self.stripes[index])
    }

    fn era_epoch(&self, now: Moment) -> Epoch {
        let mut era = lock(&self.era);
        if era.ends <= now {
            era.epoch = random_epoch();
            era.ends = now + era.lifetime;
        }
        era.epoch
    }

    fn publish_now(&self, new: NewPublication) -> Result<Published, BrokerError> {
        let now = self.clock.now().moment;
        let mut stripe = self.stripe(&new.channel);
        let entry = stripe.entries.get(&new.channel);
        if let Some(entry) = entry
            && let Some(published) = entry.suppressed(&new, now)?
        {
            return Ok(published);
        }
        let key_cost = new.idempotency_key.as_deref().map_or(0, key_bytes);
        if entry.is_none() && new.retention.is_none() && key_cost == 0 {
            return Ok(Published {
                position: None,
                is_suppressed: false,
            });
        }
        let mut publication = Publication {
            offset: 0,
            data: new.data,
            info: new.info,
            tags: new.tags,
        };
        let name_cost = if entry.is_some_and(|entry| entry.is_charged) {
            0
        } else {
            entry_bytes(&new.channel)
        };
        let content = new.retention.map_or(0, |_| publication_bytes(&publication));
        let cost = if key_cost + content > 0 {
            key_cost + content + name_cost
        } else {
            0
        };
        if cost > 0 && !self.budget.store(cost) {
            return Err(BrokerError::OutOfMemory);
        }
        let entry = stripe.entry(&new.channel, || self.era_epoch(now));
        entry.is_charged |= cost > 0;
        if new.retention.is_some() {
            publication.offset = entry.stream.next_offset();
        }
        let publication = Arc::new(publication);
        let mut previous = None;
        if let Some(retention) = new.retention {
            // Before it makes room: a history of one is enough for deltas.
            previous = entry.stream.latest(now).filter(|_| new.wants_delta);
            let kept = Arc::clone(&publication);
            let freed = entry.stream.append(kept, retention, now);
            self.budget.release(freed);
            if let Some(version) = new.version {
                entry.stream.set_version(version);
            }
        }
        let published = Published {
            position: new.retention.map(|_| entry.stream.top()),
            is_suppressed: false,
        };
        if let Some(key) = new.idempotency_key {
            entry.stream.remember_key(key, published, now);
        }
        let event = Event::Publication {
            publication,
            epoch: entry.stream.top().epoch,
            previous,
        };
        self.hand_off(entry.shards, &new.channel, event, new.admission);
        stripe.schedule(&new.channel);
        Ok(published)
    }

    fn hand_off(&self, shards: u64, channel: &ChannelName, event: Event, admission: Admission) {
        if shards != 0 {
            let delivery = Delivery {
                channel: channel.clone(),
                event,
                admission,
            };
            self.inboxes.deliver(shards, &Arc::new(delivery));
        }
    }

    fn page_now(&self, channel: &ChannelName, query: HistoryQuery) -> HistoryPage {
        let now = self.clock.now().moment;
        let stripe = self.stripe(channel);
        match stripe.entries.get(channel) {
            Some(entry) => entry.stream.page(query, now),
            None => Stream::new(self.era_epoch(now)).page(query, now),
        }
    }
}

impl Broker for MemoryBroker {
    fn publish(
        &self,
        publication: NewPublication,
    ) -> BoxFuture<'_, Result<Published, BrokerError>> {
        Box::pin(async move { self.publish_now(publication) })
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let stripe = self.stripe(channel);
            if let Some(entry) = stripe.entries.get(channel) {
                let event = match attendance {
                    Attendance::Join(info) => Event::Join(info),
                    Attendance::Leave(info) => Event::Leave(info),
                };
                self.hand_off(entry.shards, channel, event, admission);
            }
            Ok(())
        })
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        Box::pin(async move {
            let now = self.clock.now().moment;
            let mut stripe = self.stripe(channel);
            let entry = stripe.entry(channel, || self.era_epoch(now));
            entry.shards |= shard.bit();
            Ok(entry.stream.top())
        })
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let now = self.clock.now().moment;
            let mut stripe = self.stripe(channel);
            if let Some(entry) = stripe.entries.get_mut(channel) {
                entry.shards &= !shard.bit();
                let freed = stripe.forget_if_idle(channel, now);
                self.budget.release(freed);
            }
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        Box::pin(async move { Ok(self.page_now(channel, query)) })
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let mut stripe = self.stripe(channel);
            if let Some(entry) = stripe.entries.get_mut(channel) {
                self.budget.release(entry.stream.clear());
            }
            Ok(())
        })
    }

    fn sweep(&self) {
        let now = self.clock.now().moment;
        for stripe in &self.stripes {
            let freed = lock(stripe).sweep(now);
            self.budget.release(freed);
        }
    }
}

impl Entry {
    /// The outcome of a publish that repeats an earlier one or brings an older state.
    fn suppressed(
        &self,
        new: &NewPublication,
        now: Moment,
    ) -> Result<Option<Published>, BrokerError> {
        if let Some(key) = new.idempotency_key.as_deref() {
            if let Some(published) = self.stream.published_with(key, now) {
                return Ok(Some(published));
            }
            if self.stream.key_count() >= IDEMPOTENCY_KEYS_MAX {
                return Err(BrokerError::TooManyKeys);
            }
        }
        let is_old = |version| new.retention.is_some() && self.stream.has_seen(version);
        Ok(new.version.as_ref().is_some_and(is_old).then(|| Published {
            position: Some(self.stream.top()),
            is_suppressed: true,
        }))
    }
}

impl Stripe {
    fn entry(&mut self, channel: &ChannelName, epoch: impl FnOnce() -> Epoch) -> &mut Entry {
        let new = || {
            Box::new(Entry {
                stream: Stream::new(epoch()),
                shards: 0,
                due: None,
                is_charged: false,
            })
        };
        self.entries.entry(channel.clone()).or_insert_with(new)
    }

    /// Makes a sweep look at `channel` when something of it expires.
    fn schedule(&mut self, channel: &ChannelName) {
        let Some(entry) = self.entries.get_mut(channel) else {
            return;
        };
        let Some(at) = entry.stream.next_expiry() else {
            return;
        };
        // A later expiry is found when the filed one comes, so that a busy channel is filed once.
        if entry.due.is_none_or(|due| at < due) {
            entry.due = Some(at);
            self.due.push(Reverse((at, channel.clone())));
        }
    }

    /// Forgets what is past its time; returns its bytes.
    fn sweep(&mut self, now: Moment) -> usize {
        let mut freed = 0;
        for _ in 0..SWEEP_MAX {
            if self.due.peek().is_none_or(|Reverse((at, _))| *at > now) {
                break;
            }
            let Some(Reverse((at, channel))) = self.due.pop() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&channel) else {
                continue;
            };
            if entry.due != Some(at) {
                continue;
            }
            entry.due = None;
            freed += entry.stream.expire(now);
            freed += self.forget_if_idle(&channel, now);
            // With subscribers left, the epoch that they were told stays theirs.
            if self
                .entries
                .get(&channel)
                .is_some_and(|entry| !entry.stream.is_forgettable(now))
            {
                self.schedule(&channel);
            }
        }
        freed
    }

    /// Removes a channel without subscribers and without anything to remember; returns its bytes.
    fn forget_if_idle(&mut self, channel: &ChannelName, now: Moment) -> usize {
        let Some(entry) = self.entries.get_mut(channel) else {
            return 0;
        };
        if !entry.stream.is_forgettable(now) {
            return 0;
        }
        let charged = std::mem::take(&mut entry.is_charged);
        let freed = entry.stream.bytes() + if charged { entry_bytes(channel) } else { 0 };
        if entry.shards == 0 {
            self.entries.remove(channel);
        } else {
            // What is left of it is its subscribers', not the store's.
            entry.stream.clear();
        }
        freed
    }
}

/// What a stored channel takes of memory beside its publications and keys: it outlives them.
fn entry_bytes(channel: &ChannelName) -> usize {
    ENTRY_OVERHEAD_BYTES + channel.as_str().len()
}

/// Locks although another thread panicked inside: operations leave an entry as they found it or
/// whole, and a node that stopped publishing for one panic would be the greater harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Eight random letters: 48 bits, chosen once an era.
fn random_epoch() -> Epoch {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the system has random numbers");
    let text: String = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 63)]))
        .collect();
    Epoch::new(&text)
}
