//! Streams that are kept elsewhere, by a sequencer that several nodes share.
//!
//! Here is what all such brokers have in common: which shards of this node want which channel, when
//! to begin and to end listening to it, what the node knows of each stream, and what to do when the
//! line was interrupted, fell behind or is down. How a sequencer is spoken to is the business of a
//! [`Link`]. Sessions, permissions and encodings are unknown here, as to any broker.
//!
//! ```text
//!            subscribe             listened, top read
//!    off ───────────────► joining ───────────────────► on ◄──┐ subscribe
//!     ▲                      │ failed                   │     │
//!     │◄─────────────────────┘                          ▼     │
//!     └──────────────────────────────────────────── leaving ──┘
//!              after LINGER, or when the line breaks
//! ```

mod hearing;
mod known;
mod link;
mod recent;
mod table;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::table::{Entry, Table};
use super::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use crate::channel::ChannelName;
use crate::delivery::{Admission, Event, Inboxes, ShardId};
use crate::flights::Flights;
use crate::limits::REMOTE_READS_MAX;
use crate::time::Clock;
use crate::turns::Turns;
use campanile_protocol::{Epoch, Position, Publication};

pub use hearing::Hearing;
pub use link::{Accepted, Generation, Link, Sighting};
pub use table::RemoteStatus;

/// See the [module](self).
pub struct RemoteBroker {
    link: Arc<dyn Link>,
    table: Arc<Table>,
    /// Who makes this node listen to a channel; whoever comes meanwhile waits for the outcome.
    joins: Turns<ChannelName>,
    /// Who waits for the same part of the same history is brought it by one read.
    flights: Flights<(ChannelName, HistoryQuery), Result<HistoryPage, BrokerError>>,
    /// So that a herd does not ask the sequencer everything at once.
    reads: Semaphore,
}

impl RemoteBroker {
    /// A broker that delivers to `inboxes` what the link that `connect` makes brings to its
    /// [`Hearing`].
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn new<L: Link, E>(
        inboxes: Inboxes,
        clock: Arc<dyn Clock>,
        connect: impl FnOnce(Hearing) -> Result<Arc<L>, E>,
    ) -> Result<Self, E> {
        let table = Arc::new(Table::new(inboxes, clock));
        let link = connect(Hearing::new(Arc::clone(&table)))?;
        Ok(Self {
            link,
            table,
            joins: Turns::default(),
            flights: Flights::default(),
            reads: Semaphore::new(REMOTE_READS_MAX),
        })
    }

    /// How it stands with the channels that are listened to.
    #[must_use]
    pub fn status(&self) -> RemoteStatus {
        self.table.status()
    }

    async fn publish_remotely(&self, new: NewPublication) -> Result<Published, BrokerError> {
        let seen = new.retention.and_then(|_| self.table.seen(&new.channel));
        let channel = new.channel.clone();
        let fallback =
            (new.is_local_if_unreachable && new.retention.is_none()).then(|| Fallback::of(&new));
        match self.link.publish(new, seen).await {
            Ok(accepted) => {
                if let Some(sighting) = accepted.sighting {
                    self.table.learn(&channel, seen, sighting);
                }
                Ok(accepted.published)
            }
            Err(BrokerError::Unreachable) if fallback.is_some() => {
                let event = fallback.expect("just seen").0;
                self.table.deliver_locally(&channel, event);
                Ok(Published {
                    position: None,
                    is_suppressed: false,
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn join(&self, shard: ShardId, channel: &ChannelName) -> Result<Position, BrokerError> {
        let (mut entry, top) = Entry::begin(self, shard, channel);
        if let Some(top) = top {
            entry.keep();
            return Ok(top);
        }
        let _turn = self.joins.take(channel.clone()).await;
        // Whoever was first has done it for all.
        if let Some(top) = self.table.top(channel) {
            entry.keep();
            return Ok(top);
        }
        if !self.table.is_heard(channel) {
            self.link.listen(channel).await?;
        }
        // Only now: what is published between would be neither heard nor read.
        let query = HistoryQuery::default();
        let (_, seen, sighting) = self.read(channel, query).await?;
        let top = self.table.enter(channel, seen, sighting);
        entry.keep();
        Ok(top)
    }

    /// A part of a history, what the sequencer was told that this node has seen, and what it said.
    async fn read(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
    ) -> Result<(HistoryPage, Option<Sighting>, Sighting), BrokerError> {
        let _place = self.reads.acquire().await.expect("never closed");
        let seen = self.table.seen(channel);
        let (page, sighting) = self.link.history(channel, query, seen).await?;
        Ok((page, seen, sighting))
    }
}

/// What is delivered to this node alone.
struct Fallback(Event);

impl Fallback {
    fn of(new: &NewPublication) -> Self {
        Self(Event::Publication {
            publication: Arc::new(Publication {
                offset: 0,
                data: new.data.clone(),
                info: new.info.clone(),
                tags: new.tags.clone(),
            }),
            epoch: Epoch::EMPTY,
            previous: None,
        })
    }
}

impl Broker for RemoteBroker {
    fn publish(&self, mut new: NewPublication) -> BoxFuture<'_, Result<Published, BrokerError>> {
        // Its share of the inboxes is taken when it is heard, as that of what others publish.
        drop(std::mem::take(&mut new.admission));
        Box::pin(self.publish_remotely(new))
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        drop(admission);
        self.link.announce(channel, attendance)
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        Box::pin(self.join(shard, channel))
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.table.leave(shard, channel, &*self.link) })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        Box::pin(
            self.flights
                .fly((channel.clone(), query), move || async move {
                    let (page, seen, sighting) = self.read(channel, query).await?;
                    self.table.learn(channel, seen, sighting);
                    Ok(page)
                }),
        )
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.link.remove_history(channel)
    }

    fn sweep(&self) {
        self.table.sweep(&*self.link);
    }
}
