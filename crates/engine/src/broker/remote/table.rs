//! The channels that this node listens to.
//!
//! A channel's place is changed under the lock of its stripe, and what is heard in it is handed to
//! the shards under that lock: this makes the order. Nothing here waits.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campanile_protocol::Position;
use foldhash::fast::RandomState;

use super::RemoteBroker;
use super::known::Known;
use super::link::{Generation, Link, Sighting};
use super::recent::Recent;
use crate::channel::ChannelName;
use crate::delivery::{Delivery, Event, Inboxes, ShardId, payload_bytes};
use crate::limits::{LEAVING_CHANNELS_MAX, LINGER};
use crate::time::{Clock, Moment};

const STRIPES: usize = 64;

/// See the [module](self).
pub(super) struct Table {
    stripes: Box<[Mutex<HashMap<ChannelName, Place>>]>,
    hasher: RandomState,
    /// What is known of streams that are not listened to.
    recent: Recent,
    inboxes: Inboxes,
    clock: Arc<dyn Clock>,
    /// Channels that nobody wants any more, and when to stop listening.
    leaving: Mutex<VecDeque<(Moment, ChannelName)>>,
    /// Channels of which the shards have yet to be told that something is missing.
    late: Mutex<Vec<ChannelName>>,
    lapses: AtomicU64,
    skipped: AtomicU64,
    dropped: AtomicU64,
}

/// How it stands with the channels that a node listens to. Counts begin at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RemoteStatus {
    /// Channels that are listened to, or about to be.
    pub channels: usize,
    /// How often shards were told to look whether something is missing in a channel.
    pub lapses: u64,
    /// Publications that were left to be read from the history, since there was no room for them.
    pub skipped: u64,
    /// Publications, joins and leaves that were lost for want of room: they are in no history.
    pub dropped: u64,
}

struct Place {
    name: ChannelName,
    /// The shards with subscribers, as [`ShardId::bit`]s.
    shards: u64,
    /// Whether the link listens to it.
    is_heard: bool,
    /// What is known of the stream.
    known: Known,
    /// Whether something may have been published that was not heard, so that whoever comes must ask
    /// where the stream is.
    is_stale: bool,
    /// Whether something was not handed on; until the shards know, nothing more with an offset is.
    is_late: bool,
}

impl Table {
    pub(super) fn new(inboxes: Inboxes, clock: Arc<dyn Clock>) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            recent: Recent::default(),
            inboxes,
            clock,
            leaving: Mutex::default(),
            late: Mutex::default(),
            lapses: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> RemoteStatus {
        RemoteStatus {
            channels: self.stripes.iter().map(|stripe| lock(stripe).len()).sum(),
            lapses: self.lapses.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }

    /// What the sequencer is to be told that this node has seen of a stream.
    pub(super) fn seen(&self, channel: &ChannelName) -> Option<Sighting> {
        match self.stripe(channel.as_str()).get(channel) {
            Some(place) => place.known.seen(),
            None => self.recent.seen(channel),
        }
    }

    /// Where the stream is, if that is known without asking.
    pub(super) fn top(&self, channel: &ChannelName) -> Option<Position> {
        self.stripe(channel.as_str()).get(channel)?.top()
    }

    pub(super) fn is_heard(&self, channel: &ChannelName) -> bool {
        let stripe = self.stripe(channel.as_str());
        stripe.get(channel).is_some_and(|place| place.is_heard)
    }

    /// Takes what the sequencer answered about a stream, when it was told of `seen`.
    pub(super) fn learn(&self, channel: &ChannelName, seen: Option<Sighting>, new: Sighting) {
        let mut stripe = self.stripe(channel.as_str());
        match stripe.get_mut(channel) {
            Some(place) => self.settle(place, seen, new),
            None => self.recent.learn(channel, seen, new),
        }
    }

    /// The link listens to the channel, and this is where its stream was then; returns where it is.
    pub(super) fn enter(
        &self,
        channel: &ChannelName,
        seen: Option<Sighting>,
        new: Sighting,
    ) -> Position {
        let mut stripe = self.stripe(channel.as_str());
        let Some(place) = stripe.get_mut(channel) else {
            return new.position;
        };
        place.is_heard = true;
        self.settle(place, seen, new);
        place.known.top().unwrap_or(new).position
    }

    fn settle(&self, place: &mut Place, seen: Option<Sighting>, new: Sighting) {
        place.is_stale = false;
        if place.known.learn(seen, new) {
            self.tell_lapse(place);
        }
    }

    /// Takes what happened in a channel.
    pub(super) fn hear(&self, channel: &str, event: Event, generation: Generation) {
        let mut stripe = self.stripe(channel);
        let Some(place) = stripe.get_mut(channel) else {
            return;
        };
        let position = position(&event);
        if let Some(position) = position
            && place.known.hear(Sighting {
                position,
                generation,
            })
        {
            self.tell_lapse(place);
        }
        if place.shards == 0 {
            return;
        }
        if position.is_some() && place.is_late {
            self.skipped.fetch_add(1, Relaxed);
        } else if !self.hand_over(place, event) {
            if position.is_some() {
                self.skipped.fetch_add(1, Relaxed);
                self.be_late(place);
            } else {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Hands an event to the shards of this node alone, if there are any.
    pub(super) fn deliver_locally(&self, channel: &ChannelName, event: Event) {
        let stripe = self.stripe(channel.as_str());
        if let Some(place) = stripe.get(channel)
            && place.shards != 0
            && !self.hand_over(place, event)
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Has the shards look whether something is missing in the channel.
    pub(super) fn lapse(&self, channel: &ChannelName) {
        if let Some(place) = self.stripe(channel.as_str()).get_mut(channel) {
            self.tell_lapse(place);
        }
    }

    /// All channels that are listened to, or about to be.
    pub(super) fn wanted(&self) -> Vec<ChannelName> {
        let mut wanted = Vec::new();
        for stripe in &self.stripes {
            wanted.extend(lock(stripe).keys().cloned());
        }
        wanted
    }

    /// Ends deliveries of the channel to `shard`.
    pub(super) fn leave(&self, shard: ShardId, channel: &ChannelName, link: &dyn Link) {
        let mut stripe = self.stripe(channel.as_str());
        let Some(place) = stripe.get_mut(channel) else {
            return;
        };
        place.shards &= !shard.bit();
        if place.shards != 0 {
            return;
        }
        let mut leaving = lock(&self.leaving);
        if place.is_heard && leaving.len() < LEAVING_CHANNELS_MAX {
            leaving.push_back((self.clock.now().moment + LINGER, channel.clone()));
        } else if place.is_heard {
            self.remove(&mut stripe, channel);
            link.ignore(channel);
        }
        // One that is being joined is looked after by whoever does that.
    }

    /// Ends listening to what nobody has wanted for a while, and tells shards what they could not be
    /// told before.
    pub(super) fn sweep(&self, link: &dyn Link) {
        let now = self.clock.now().moment;
        loop {
            let due = {
                let mut leaving = lock(&self.leaving);
                let is_due = |(at, _): &mut (Moment, ChannelName)| *at <= now;
                leaving.pop_front_if(is_due)
            };
            let Some((_, channel)) = due else { break };
            let mut stripe = self.stripe(channel.as_str());
            let is_idle = |place: &Place| place.shards == 0 && place.is_heard;
            if stripe.get(&channel).is_some_and(is_idle) {
                self.remove(&mut stripe, &channel);
                // With the stripe locked: whoever comes back listens after this.
                link.ignore(&channel);
            }
        }
        let late = std::mem::take(&mut *lock(&self.late));
        for channel in late {
            if let Some(place) = self.stripe(channel.as_str()).get_mut(&channel) {
                place.is_late = false;
                self.tell_lapse(place);
            }
        }
    }

    /// Forgets a channel, but not what is known of its stream.
    fn remove(&self, stripe: &mut HashMap<ChannelName, Place>, channel: &ChannelName) {
        if let Some(place) = stripe.remove(channel) {
            self.recent.put(channel, place.known);
        }
    }

    fn tell_lapse(&self, place: &mut Place) {
        place.is_stale = true;
        if place.shards == 0 || place.is_late {
            return;
        }
        if self.hand_over(place, Event::Lapse) {
            self.lapses.fetch_add(1, Relaxed);
        } else {
            self.be_late(place);
        }
    }

    fn be_late(&self, place: &mut Place) {
        if !place.is_late {
            place.is_late = true;
            lock(&self.late).push(place.name.clone());
        }
    }

    /// `false` when there is no room in the inboxes. To be called with the channel's stripe locked.
    fn hand_over(&self, place: &Place, event: Event) -> bool {
        let bytes = match &event {
            Event::Publication { publication, .. } => {
                payload_bytes(&publication.data, publication.tags.as_deref())
            }
            Event::Join(_) | Event::Leave(_) | Event::Lapse => 0,
        };
        let Some(admission) = self.inboxes.try_admit(bytes) else {
            return false;
        };
        let delivery = Delivery {
            channel: place.name.clone(),
            event,
            admission,
        };
        self.inboxes.deliver(place.shards, &Arc::new(delivery));
        true
    }

    fn stripe(&self, channel: &str) -> MutexGuard<'_, HashMap<ChannelName, Place>> {
        let hash = self.hasher.hash_one(channel);
        let index = usize::try_from(hash % STRIPES as u64).expect("below STRIPES");
        lock(&self.stripes[index])
    }
}

impl Place {
    const fn new(name: ChannelName, known: Known) -> Self {
        Self {
            name,
            shards: 0,
            is_heard: false,
            known,
            is_stale: false,
            is_late: false,
        }
    }

    /// Where the stream is, as far as can be known from what was heard.
    fn top(&self) -> Option<Position> {
        let is_sure = self.is_heard && !self.is_stale && !self.is_late;
        self.known.top().filter(|_| is_sure).map(|at| at.position)
    }
}

/// A shard's way into a channel: undone when it is dropped, unless it is kept.
pub(super) struct Entry<'a> {
    broker: &'a RemoteBroker,
    shard: ShardId,
    channel: &'a ChannelName,
    /// Whether there is anything to undo.
    is_new: bool,
}

impl<'a> Entry<'a> {
    /// From now on the shard has everything that is heard in the channel. Where its stream is comes
    /// along, if that is known without asking.
    pub(super) fn begin(
        broker: &'a RemoteBroker,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> (Self, Option<Position>) {
        let mut stripe = broker.table.stripe(channel.as_str());
        let new = || {
            let known = broker.table.recent.take(channel);
            Place::new(channel.clone(), known.unwrap_or_default())
        };
        let place = stripe.entry(channel.clone()).or_insert_with(new);
        let is_new = place.shards & shard.bit() == 0;
        place.shards |= shard.bit();
        let entry = Self {
            broker,
            shard,
            channel,
            is_new,
        };
        (entry, place.top())
    }

    /// The shard stays.
    pub(super) const fn keep(&mut self) {
        self.is_new = false;
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.is_new {
            return;
        }
        let mut stripe = self.broker.table.stripe(self.channel.as_str());
        let Some(place) = stripe.get_mut(self.channel) else {
            return;
        };
        place.shards &= !self.shard.bit();
        if place.shards == 0 {
            self.broker.table.remove(&mut stripe, self.channel);
            self.broker.link.ignore(self.channel);
        }
    }
}

/// The offset of an event and the epoch that it counts in, if it has them.
fn position(event: &Event) -> Option<Position> {
    match event {
        Event::Publication {
            publication, epoch, ..
        } if publication.offset != 0 => Some(Position {
            epoch: *epoch,
            offset: publication.offset,
        }),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
