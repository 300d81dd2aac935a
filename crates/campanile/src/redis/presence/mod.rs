//! Presence that many nodes share, in Redis.
//!
//! What a node's sessions do is in its mirror, in memory, at once; a task writes it to Redis in
//! batches, and whoever does it waits for that as long as Redis is there. Each node keeps a lease
//! (`membership`): its entries count as long as it does, and vanish together when it dies, before
//! another node has removed them (`purge`). It is the mirror that is right about this node's
//! sessions: whenever Redis may not have them (a lease lost, a Redis that is another one), all are
//! written again (`writer`).
//!
//! # While Redis is away
//! Joins succeed, and are written when it is back. Who is present is not answered: what this node
//! knows alone would be wrong.
//!
//! # Layout
//! | Key | Kind | Holds |
//! |---|---|---|
//! | `presence.entries.NODE.{channel}` | hash | client → entry, of one node |
//! | `presence.nodes.{channel}` | hash | node → how many entries |
//! | `presence.users.{channel}` | hash | user → its nodes, with sessions on each |
//! | `presence.sets.{channel}` | hash | combination of nodes → how many users are on just these |
//! | `presence.channels.{NODE}` | set | channels that a node has entries in |
//! | `presence.leases.{nodes}` | sorted set | node → when its lease ends |
//!
//! How many there are is in the second, and the length of the third; the fourth tells users of nodes
//! that live from those of dead ones until these are purged.

mod entry;
mod keys;
mod membership;
mod purge;
mod reading;
#[cfg(test)]
mod tests;
mod wishes;
mod writer;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use campanile_engine::broker::{Attendance, BoxFuture, BrokerError};
use campanile_engine::channel::ChannelName;
use campanile_engine::node::Node;
use campanile_engine::presence::{MemoryPresence, Presence, PresenceStats};
use campanile_engine::throttle::Throttle;
use campanile_protocol::{ClientId, ClientInfo};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use self::membership::{Found, Membership};
use self::wishes::Wishes;
use super::{Failure, Redis};
use crate::background::Running;
use crate::vitals::{Plain, Vitals};

/// Notices that nobody has taken yet; whoever has more to say waits.
const NOTICES_MAX: usize = 1024;

/// What Redis does not do, in the log.
static FAULTS: Throttle = Throttle::per_second(1);

/// A session of which its own node did not say that it came or left: to be announced, if the channel
/// wants that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Notice {
    /// Where.
    pub(crate) channel: Box<str>,
    /// Who.
    pub(crate) attendance: Attendance,
}

/// See the [module](self). Ends its tasks, but not its lease, when it is dropped.
pub(crate) struct RedisPresence {
    shared: Arc<Shared>,
    _tasks: [Running<()>; 4],
}

struct Shared {
    redis: Redis,
    mirror: MemoryPresence,
    membership: Membership,
    wishes: Wishes,
    /// Told when everything is to be written again.
    rewrite: Notify,
    /// Whether the last that was asked of Redis was done.
    is_reachable: AtomicBool,
    notices: mpsc::Sender<Notice>,
    purged: AtomicU64,
}

impl RedisPresence {
    /// Begins to take a lease. `lease`: how long entries of a node that died may be seen. What comes
    /// out of the receiver is for the node to announce.
    pub(crate) fn start(redis: &Redis, lease: Duration) -> (Arc<Self>, mpsc::Receiver<Notice>) {
        let (notices, noticed) = mpsc::channel(NOTICES_MAX);
        let shared = Arc::new(Shared {
            redis: redis.clone(),
            mirror: MemoryPresence::default(),
            membership: Membership::new(lease),
            wishes: Wishes::default(),
            rewrite: Notify::new(),
            is_reachable: AtomicBool::new(false),
            notices,
            purged: AtomicU64::new(0),
        });
        let spawner = redis.spawner();
        let at = || Arc::clone(&shared);
        let tasks = [
            spawner.spawn({
                let shared = at();
                async move { live(&shared).await }
            }),
            spawner.spawn({
                let shared = at();
                async move { writer::write(&shared).await }
            }),
            spawner.spawn({
                let shared = at();
                async move { writer::rewrite(&shared).await }
            }),
            spawner.spawn({
                let shared = at();
                async move { purge::purge(&shared).await }
            }),
        ];
        let presence = Arc::new(Self {
            shared,
            _tasks: tasks,
        });
        (presence, noticed)
    }

    /// Sessions that Redis has not been told of yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.shared.wishes.count()
    }

    /// Entries of dead nodes that this one has removed.
    pub(crate) fn purged(&self) -> u64 {
        self.shared.purged.load(Ordering::Relaxed)
    }

    /// Has a change written. Waits for it, if that can be expected soon.
    async fn changed(&self, channel: &ChannelName, client: ClientId) {
        let shared = &self.shared;
        if shared.is_reachable() && shared.membership.identity().is_some() {
            let written = shared.wishes.note(channel, client);
            // Who is released when Redis is lost is only who waits then.
            if shared.is_reachable() {
                let _ = written.await;
            }
        } else if shared.wishes.note_for_later(channel, client).is_err() {
            // All will be written, as another node: what is left of this one is purged.
            shared.wishes.clear();
            shared.membership.abandon();
        }
    }
}

impl Shared {
    fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
    }

    /// Redis did not do what was asked: nothing is written until it answers a beat.
    fn lost(&self, failure: &Failure) {
        self.is_reachable.store(false, Ordering::Relaxed);
        self.wishes.release();
        if let Some(unsaid) = FAULTS.pass() {
            tracing::warn!(%failure, unsaid, "presence is not written now");
        }
    }

    /// Has the node announce what no session of it says.
    async fn tell(&self, channel: &str, attendance: Attendance) {
        let notice = Notice {
            channel: channel.into(),
            attendance,
        };
        // Nobody listens any more when the node is stopping.
        let _ = self.notices.send(notice).await;
    }

    fn count_purged(&self, count: usize) {
        self.purged.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Has `node` announce what comes, until there is no such node any more.
pub(crate) async fn announce(mut notices: mpsc::Receiver<Notice>, node: Weak<Node>) {
    while let Some(notice) = notices.recv().await {
        let Some(node) = node.upgrade() else { return };
        node.announce_for(&notice.channel, notice.attendance).await;
    }
}

impl Vitals for RedisPresence {
    /// The broker has the same, and says it.
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        None
    }

    fn gauges(&self) -> Vec<Plain> {
        vec![(
            "redis_presence_unwritten",
            "Sessions whose presence Redis has not been told of yet",
            self.unwritten() as u64,
        )]
    }

    fn counters(&self) -> Vec<Plain> {
        vec![(
            "redis_presence_purged",
            "Entries of dead nodes that this one has removed",
            self.purged(),
        )]
    }
}

/// What a caller is told; the operator has the log.
fn unanswered(failure: Failure) -> BrokerError {
    if let Some(unsaid) = FAULTS.pass() {
        tracing::warn!(%failure, unsaid, "presence cannot be read now");
    }
    failure.into()
}

/// Keeps the lease.
async fn live(shared: &Shared) {
    loop {
        let next = Instant::now() + shared.membership.interval();
        match shared.membership.beat(&shared.redis).await {
            Ok(Found::Lost) => continue,
            Ok(found) => {
                if found != Found::Unchanged {
                    shared.rewrite.notify_one();
                }
                shared.is_reachable.store(true, Ordering::Relaxed);
                shared.wishes.noted.notify_one();
            }
            Err(failure) => shared.lost(&failure),
        }
        sleep_until(next).await;
    }
}

impl Presence for RedisPresence {
    fn add<'a>(
        &'a self,
        channel: &'a ChannelName,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let client = info.client;
            // Mostly it is a renewal, and the lease has done that.
            if self.shared.mirror.insert(channel, info) {
                self.changed(channel, client).await;
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, channel: &'a ChannelName, client: ClientId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.shared.mirror.take(channel, client) {
                self.changed(channel, client).await;
            }
        })
    }

    fn list<'a>(
        &'a self,
        channel: &'a ChannelName,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Arc<ClientInfo>>>, BrokerError>> {
        Box::pin(async move {
            let Shared {
                redis, membership, ..
            } = &*self.shared;
            let list = reading::list(redis, membership, channel.as_str(), max).await;
            list.map_err(unanswered)
        })
    }

    fn stats<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>> {
        Box::pin(async move {
            let Shared {
                redis, membership, ..
            } = &*self.shared;
            let stats = reading::stats(redis, membership, channel.as_str()).await;
            stats.map_err(unanswered)
        })
    }
}
