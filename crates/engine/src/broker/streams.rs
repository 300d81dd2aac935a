//! All streams of a node, and which shards hear them.
//!
//! It owns the table of channels, their subscribed shards, the era and what is forgotten when. What
//! a broker keeps of a publication, and where, is the broker's. Streams are striped over several
//! locks, held for one operation each and never across an await or a disk. Lock order: one stripe at
//! a time; the era's lock inside a stripe's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use campanile_protocol::{Epoch, Position};
use foldhash::fast::RandomState;

use super::stream::{Footprint, Kept, Stream};
use super::{Attendance, HistoryQuery, NewPublication, Published};
use crate::budget::MemoryBudget;
use crate::channel::ChannelName;
use crate::delivery::{Admission, Delivery, Event, Inboxes, ShardId};
use crate::limits::{ENTRY_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES};
use crate::time::{Clock, Moment};

/// Locks that streams are spread over: enough that a few dozen workers seldom meet.
const STRIPES: usize = 64;

/// Streams looked at in one stripe by one sweep, so that none holds its lock for long.
const SWEEP_MAX: usize = 1024;

/// See the [module](self).
pub(super) struct Streams<K> {
    stripes: Box<[Mutex<Stripe<K>>]>,
    /// Chooses the stripe. A fast one: whoever found names for one stripe alone would gain little.
    hasher: RandomState,
    era: Mutex<Era>,
    inboxes: Inboxes,
    budget: Arc<MemoryBudget>,
    clock: Arc<dyn Clock>,
    /// Bytes of memory that could be had from the log again.
    cached: AtomicU64,
    /// Bytes of the log that are needed.
    logged: AtomicU64,
}

/// The epoch of every stream that begins now. It changes at least once within the shortest
/// lifetime of a stream's metadata, so that a stream which was forgotten and begins again never
/// has the epoch that it had before; and subscribing to a name that was never published to needs
/// to store nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era {
    pub(super) epoch: Epoch,
    pub(super) ends: Moment,
    pub(super) lifetime: Duration,
}

impl Era {
    /// One that begins now.
    pub(super) fn begin(now: Moment, lifetime: Duration) -> Self {
        Self {
            epoch: random_epoch(),
            ends: now + lifetime,
            lifetime,
        }
    }
}

pub(super) struct Stripe<K> {
    /// Boxed, so that the table's free places are small.
    entries: HashMap<ChannelName, Box<Entry<K>>>,
    /// When to look at which channel again.
    due: BinaryHeap<Reverse<(Moment, ChannelName)>>,
}

pub(super) struct Entry<K> {
    pub(super) stream: Stream<K>,
    /// The shards with subscribers, as [`ShardId::bit`]s.
    pub(super) shards: u64,
    /// The one entry of [`Stripe::due`] that counts for this channel; others are passed over.
    due: Option<Moment>,
    /// Whether budget and log know of it: not while there are subscribers and nothing else.
    pub(super) is_stored: bool,
    /// Whether an operation that has begun counts on the stream as it is: nothing is forgotten.
    pub(super) is_held: bool,
    /// The segment with the channel's newest record, once there is one.
    pub(super) segment: u32,
}

impl<K: Kept> Streams<K> {
    pub(super) fn new(
        inboxes: Inboxes,
        budget: Arc<MemoryBudget>,
        clock: Arc<dyn Clock>,
        era: Era,
    ) -> Self {
        let stripe = || Stripe {
            entries: HashMap::new(),
            due: BinaryHeap::new(),
        };
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(stripe())).collect(),
            hasher: RandomState::default(),
            era: Mutex::new(era),
            inboxes,
            budget,
            clock,
            cached: AtomicU64::new(0),
            logged: AtomicU64::new(0),
        }
    }

    /// The present.
    pub(super) fn now(&self) -> Moment {
        self.clock.now().moment
    }

    /// The stripe of `channel`, locked.
    pub(super) fn stripe(&self, channel: &ChannelName) -> MutexGuard<'_, Stripe<K>> {
        let hash = self.hasher.hash_one(channel);
        let index = usize::try_from(hash % STRIPES as u64).expect("below STRIPES");
        lock(&self.stripes[index])
    }

    /// The era of `now`, which begins here if the last one is over.
    pub(super) fn era(&self, now: Moment) -> Era {
        let mut era = lock(&self.era);
        if era.ends <= now {
            *era = Era::begin(now, era.lifetime);
        }
        *era
    }

    /// Takes what `footprint` says; `false`, and nothing is taken, when memory is used up.
    #[must_use]
    pub(super) fn take(&self, footprint: Footprint) -> bool {
        if footprint.memory > 0 && !self.budget.store(footprint.memory) {
            return false;
        }
        self.count(footprint);
        true
    }

    /// Takes what `footprint` says, whatever memory is left.
    pub(super) fn hold(&self, footprint: Footprint) {
        if footprint.memory > 0 {
            self.budget.hold(footprint.memory);
        }
        self.count(footprint);
    }

    /// Only what is not zero, which most of it is: a count in an atomic costs as much as a look-up.
    fn count(&self, footprint: Footprint) {
        if footprint.cached > 0 {
            self.cached.fetch_add(footprint.cached as u64, Relaxed);
        }
        if footprint.logged > 0 {
            self.logged.fetch_add(footprint.logged, Relaxed);
        }
    }

    /// Bytes of memory that could be had from the log again.
    pub(super) fn cached(&self) -> u64 {
        self.cached.load(Relaxed)
    }

    /// Bytes of the log that are needed.
    pub(super) fn logged(&self) -> u64 {
        self.logged.load(Relaxed)
    }

    /// Ends the hold on a channel.
    pub(super) fn let_go(&self, channel: &ChannelName, now: Moment) {
        let freed = self.stripe(channel).let_go(channel, now);
        self.release(freed);
    }

    /// Puts back a channel that was stored; `fill` says what it takes up.
    pub(super) fn restore(
        &self,
        channel: &ChannelName,
        fill: impl FnOnce(&mut Entry<K>) -> Footprint,
    ) {
        let mut stripe = self.stripe(channel);
        let entry = stripe.entry(channel, || Epoch::EMPTY);
        entry.is_stored = true;
        self.hold(fill(entry));
        stripe.schedule(channel);
    }

    /// Gives back what [`Streams::take`] took.
    pub(super) fn release(&self, footprint: Footprint) {
        if footprint.memory > 0 {
            self.budget.release(footprint.memory);
        }
        if footprint.cached > 0 {
            self.cached.fetch_sub(footprint.cached as u64, Relaxed);
        }
        if footprint.logged > 0 {
            self.logged.fetch_sub(footprint.logged, Relaxed);
        }
    }

    /// Hands `event` to the shards in `shards`. To be called with the channel's stripe locked, since
    /// that makes the order.
    pub(super) fn hand_off(
        &self,
        shards: u64,
        channel: &ChannelName,
        event: Event,
        admission: Admission,
    ) {
        if shards != 0 {
            let delivery = Delivery {
                channel: channel.clone(),
                event,
                admission,
            };
            self.inboxes.deliver(shards, &Arc::new(delivery));
        }
    }

    /// See [`Broker::announce`](super::Broker::announce).
    pub(super) fn announce(
        &self,
        channel: &ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) {
        let stripe = self.stripe(channel);
        if let Some(entry) = stripe.entries.get(channel) {
            let event = match attendance {
                Attendance::Join(info) => Event::Join(info),
                Attendance::Leave(info) => Event::Leave(info),
            };
            self.hand_off(entry.shards, channel, event, admission);
        }
    }

    /// See [`Broker::subscribe`](super::Broker::subscribe).
    pub(super) fn subscribe(&self, shard: ShardId, channel: &ChannelName) -> Position {
        let now = self.now();
        let mut stripe = self.stripe(channel);
        let entry = stripe.entry(channel, || self.era(now).epoch);
        entry.shards |= shard.bit();
        entry.stream.top()
    }

    /// See [`Broker::unsubscribe`](super::Broker::unsubscribe).
    pub(super) fn unsubscribe(&self, shard: ShardId, channel: &ChannelName) {
        let now = self.now();
        let mut stripe = self.stripe(channel);
        if let Some(entry) = stripe.entries.get_mut(channel) {
            entry.shards &= !shard.bit();
            let freed = stripe.forget_if_idle(channel, now);
            self.release(freed);
        }
    }

    /// What is kept of the publications that `query` asks for, and the top.
    pub(super) fn select(&self, channel: &ChannelName, query: HistoryQuery) -> (Vec<K>, Position) {
        let now = self.now();
        let stripe = self.stripe(channel);
        match stripe.entries.get(channel) {
            Some(entry) => (entry.stream.select(query, now), entry.stream.top()),
            None => {
                let epoch = self.era(now).epoch;
                (Vec::new(), Position { epoch, offset: 0 })
            }
        }
    }

    /// See [`Broker::sweep`](super::Broker::sweep).
    pub(super) fn sweep(&self) {
        let now = self.now();
        for stripe in &self.stripes {
            let freed = lock(stripe).sweep(now);
            self.release(freed);
        }
    }
}

impl<K: Kept> Entry<K> {
    /// Whether a sweep will look at it in time. A later expiry is found when the filed one comes, so
    /// that a busy channel is filed once.
    pub(super) fn is_scheduled(&self) -> bool {
        match (self.stream.next_expiry(), self.due) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(at), Some(due)) => due <= at,
        }
    }

    /// The outcome of the publish that used the key of `new` first, if it is known.
    pub(super) fn repeated(&self, new: &NewPublication, now: Moment) -> Option<Published> {
        let key = new.idempotency_key.as_deref()?;
        self.stream.published_with(key, now)
    }

    /// The outcome of a publish that brings an older state.
    pub(super) fn outdated(&self, new: &NewPublication, now: Moment) -> Option<Published> {
        let version = new.version.as_ref().filter(|_| new.retention.is_some())?;
        self.stream.has_seen(version, now).then(|| Published {
            position: Some(self.stream.top()),
            is_suppressed: true,
        })
    }
}

impl<K: Kept> Stripe<K> {
    /// The entry of `channel`, if there is one.
    pub(super) fn get(&self, channel: &ChannelName) -> Option<&Entry<K>> {
        self.entries.get(channel).map(|entry| &**entry)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, channel: &ChannelName) -> Option<&mut Entry<K>> {
        self.entries.get_mut(channel).map(|entry| &mut **entry)
    }

    /// The entry of `channel`, which begins here with `epoch` if there is none.
    pub(super) fn entry(
        &mut self,
        channel: &ChannelName,
        epoch: impl FnOnce() -> Epoch,
    ) -> &mut Entry<K> {
        let new = || {
            Box::new(Entry {
                stream: Stream::new(epoch()),
                shards: 0,
                due: None,
                is_stored: false,
                is_held: false,
                segment: u32::MAX,
            })
        };
        self.entries.entry(channel.clone()).or_insert_with(new)
    }

    /// Makes a sweep look at `channel` when something of it expires. Not needed where the entry
    /// [is scheduled](Entry::is_scheduled).
    pub(super) fn schedule(&mut self, channel: &ChannelName) {
        let Some(entry) = self.entries.get_mut(channel) else {
            return;
        };
        if !entry.is_scheduled()
            && let Some(at) = entry.stream.next_expiry()
        {
            entry.due = Some(at);
            self.due.push(Reverse((at, channel.clone())));
        }
    }

    /// Ends the hold on a channel, which is forgotten if there is nothing of it; returns what that
    /// took up.
    pub(super) fn let_go(&mut self, channel: &ChannelName, now: Moment) -> Footprint {
        if let Some(entry) = self.get_mut(channel) {
            entry.is_held = false;
        }
        let freed = self.forget_if_idle(channel, now);
        self.schedule(channel);
        freed
    }

    /// Forgets what is past its time; returns what that took up.
    fn sweep(&mut self, now: Moment) -> Footprint {
        let mut freed = Footprint::default();
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
            if entry.is_held {
                // Whoever holds it files it again.
                continue;
            }
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

    /// Removes a channel without subscribers and without anything to remember; returns what that
    /// took up.
    pub(super) fn forget_if_idle(&mut self, channel: &ChannelName, now: Moment) -> Footprint {
        let Some(entry) = self.entries.get_mut(channel) else {
            return Footprint::default();
        };
        if entry.is_held || !entry.stream.is_forgettable(now) {
            return Footprint::default();
        }
        let mut freed = entry.stream.footprint();
        if std::mem::take(&mut entry.is_stored) {
            freed += entry_footprint(channel);
        }
        if entry.shards == 0 {
            self.entries.remove(channel);
        } else {
            // What is left of it is its subscribers', not the store's.
            entry.stream.forget();
        }
        freed
    }
}

/// What a stored channel takes up beside its publications and keys, which it outlives.
pub(super) fn entry_footprint(channel: &ChannelName) -> Footprint {
    Footprint {
        memory: ENTRY_OVERHEAD_BYTES + channel.as_str().len(),
        cached: 0,
        // One record without a publication, about.
        logged: RECORD_OVERHEAD_BYTES + channel.as_str().len() as u64,
    }
}

/// Locks although another thread panicked inside: operations leave an entry as they found it or
/// whole, and a node that stopped publishing for one panic would be the greater harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An epoch for a stream that begins now: 48 random bits.
#[must_use]
pub fn random_epoch() -> Epoch {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the system has random numbers");
    epoch_of(random)
}

/// The epoch of eight letters that the lowest six bits of each byte choose.
#[must_use]
pub fn epoch_of(bytes: [u8; 8]) -> Epoch {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte & 63)]));
    Epoch::new(&String::from_iter(letters))
}
