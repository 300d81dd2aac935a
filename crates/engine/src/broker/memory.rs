//! The broker that keeps everything in memory: for tests, for caches, and for those who do not
//! mind that a restart forgets. A restart makes new epochs, so it is always noticed.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{Position, Publication};

use super::stream::{Bounds, Footprint, Kept, Remembered, key_footprint};
use super::streams::{Entry, Era, Streams, entry_footprint};
use super::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use crate::budget::MemoryBudget;
use crate::channel::ChannelName;
use crate::delivery::{Admission, Event, Inboxes, ShardId};
use crate::limits::IDEMPOTENCY_KEYS_MAX;
use crate::time::{Clock, Moment};

/// See the [module](self).
pub struct MemoryBroker {
    streams: Streams<Arc<Publication>>,
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
        let era = Era::begin(clock.now().moment, meta_ttl_min);
        Self {
            streams: Streams::new(inboxes, budget, clock, era),
        }
    }

    fn publish_now(&self, new: NewPublication) -> Result<Published, BrokerError> {
        let streams = &self.streams;
        let now = streams.now();
        let mut stripe = streams.stripe(&new.channel);
        let entry = stripe.get(&new.channel);
        if let Some(entry) = entry
            && let Some(published) = suppressed(entry, &new, now)?
        {
            return Ok(published);
        }
        if entry.is_none() && new.retention.is_none() && new.idempotency_key.is_none() {
            return Ok(Published {
                position: None,
                is_suppressed: false,
            });
        }
        let is_stored = entry.is_some_and(|entry| entry.is_stored);
        let bounds = new.retention.map(|retention| {
            let bounds = entry.map_or_else(Bounds::default, |entry| entry.stream.bounds());
            bounds.advance(retention, now)
        });
        let publication = Arc::new(Publication {
            offset: bounds.map_or(0, |bounds| bounds.top),
            data: new.data,
            info: new.info,
            tags: new.tags,
        });
        let mut cost = Footprint::default();
        if let Some(key) = &new.idempotency_key {
            cost += key_footprint(key);
        }
        if bounds.is_some() {
            cost += publication.footprint();
        }
        let stores = cost != Footprint::default();
        if stores && !is_stored {
            cost += entry_footprint(&new.channel);
        }
        if !streams.take(cost) {
            return Err(BrokerError::OutOfMemory);
        }
        let entry = stripe.entry(&new.channel, || streams.era(now).epoch);
        entry.is_stored |= stores;
        let mut previous = None;
        if let Some(bounds) = bounds {
            // Before it makes room: a history of one is enough for deltas.
            let latest = entry.stream.latest(now).filter(|_| new.wants_delta);
            previous = latest.map(Arc::clone);
            streams.release(entry.stream.append(Arc::clone(&publication), bounds, now));
            if let Some(version) = new.version {
                entry.stream.set_version(version);
            }
        }
        let published = Published {
            position: bounds.map(|_| entry.stream.top()),
            is_suppressed: false,
        };
        if let Some(key) = new.idempotency_key {
            let remembered = Remembered::new(published, now, 0);
            entry.stream.remember_key(key, remembered);
        }
        let event = Event::Publication {
            publication,
            epoch: entry.stream.top().epoch,
            previous,
        };
        streams.hand_off(entry.shards, &new.channel, event, new.admission);
        stripe.schedule(&new.channel);
        Ok(published)
    }
}

/// The outcome of a publish that repeats an earlier one or brings an older state.
fn suppressed(
    entry: &Entry<Arc<Publication>>,
    new: &NewPublication,
    now: Moment,
) -> Result<Option<Published>, BrokerError> {
    if let Some(published) = entry.repeated(new, now) {
        return Ok(Some(published));
    }
    if new.idempotency_key.is_some() && entry.stream.key_count() >= IDEMPOTENCY_KEYS_MAX {
        return Err(BrokerError::TooManyKeys);
    }
    Ok(entry.outdated(new, now))
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
            self.streams.announce(channel, attendance, admission);
            Ok(())
        })
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        Box::pin(async move { Ok(self.streams.subscribe(shard, channel)) })
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.streams.unsubscribe(shard, channel) })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        Box::pin(async move {
            let (publications, top) = self.streams.select(channel, query);
            Ok(HistoryPage { publications, top })
        })
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let mut stripe = self.streams.stripe(channel);
            if let Some(entry) = stripe.get_mut(channel) {
                self.streams.release(entry.stream.clear());
            }
            Ok(())
        })
    }

    fn sweep(&self) {
        self.streams.sweep();
    }
}
