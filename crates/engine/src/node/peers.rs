//! The node among others: what it does so that they know it, and what it does for them.
//!
//! A node that is alone has nothing of this, and pays nothing for it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use campanile_protocol::UserId;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, oneshot};

use super::question::{Question, spell_attendance, spell_channels, spell_clients, spell_count};
use super::{Control, NameFilter, Node};
use crate::broker::BoxFuture;
use crate::cluster::{Cluster, Errand, NodeId, NodeInfo, Reply, Want};
use crate::limits::{CONTESTED_MAX, ERRANDS_MAX, LEASE};
use crate::session::{Claim, Order};
use crate::shard::{ShardReport, ShardStats, Target};
use crate::throttle::BROKER_FAULTS;

/// What the node keeps for its part in a cluster.
pub(super) struct Peers {
    pub(super) cluster: Arc<Cluster>,
    pulse: Mutex<Pulse>,
    /// Whose sessions on other nodes may not know yet that there is a newer one.
    contested: Mutex<BTreeMap<UserId, Claim>>,
    /// That it is time to tell them again.
    again: Notify,
    has_left: AtomicBool,
}

/// What the shards last told about themselves. They are asked without being waited for: a shard
/// that is slow must not make the others believe that the node is gone.
#[derive(Default)]
struct Pulse {
    asked: Vec<oneshot::Receiver<ShardReport>>,
    heard: ShardStats,
    stats: ShardStats,
}

impl Peers {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            pulse: Mutex::default(),
            contested: Mutex::default(),
            again: Notify::new(),
            has_left: AtomicBool::new(false),
        }
    }

    /// Has the sessions of a user on other nodes told again later.
    pub(super) fn contest(&self, user: &UserId, claim: Claim) {
        let mut contested = self.contested();
        if contested.len() < CONTESTED_MAX {
            let latest = contested.entry(user.clone()).or_insert(claim);
            *latest = claim.max(*latest);
        } else if let Some(unsaid) = BROKER_FAULTS.pass() {
            tracing::warn!(unsaid, "a user may have connections to several nodes");
        }
    }

    fn contested(&self) -> MutexGuard<'_, BTreeMap<UserId, Claim>> {
        self.contested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// Takes what the shards have said, and asks them again once all have.
    fn take(&mut self, ask: impl FnOnce() -> Vec<oneshot::Receiver<ShardReport>>) -> ShardStats {
        let heard = &mut self.heard;
        self.asked.retain_mut(|asked| match asked.try_recv() {
            Ok(report) => {
                heard.add(report.stats);
                false
            }
            Err(error) => error == oneshot::error::TryRecvError::Empty,
        });
        if self.asked.is_empty() {
            self.stats = std::mem::take(&mut self.heard);
            self.asked = ask();
        }
        self.stats
    }
}

impl Node {
    /// What the node is called by others.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.peers.as_ref().map(|peers| &peers.cluster)
    }

    /// Forgets nodes that are silent, and ends questions to them; to be called every tenth of a
    /// second.
    #[doc(hidden)] // For whoever runs the shards, like those below.
    pub fn tick(&self) {
        if let Some(peers) = &self.peers {
            peers.cluster.sweep();
        }
    }

    /// Says hello to the other nodes if it is time; to be called every tenth of a second, and apart
    /// from [`Node::tick`], since it waits for the bus.
    #[doc(hidden)]
    pub async fn beat(&self) {
        let Some(peers) = &self.peers else { return };
        if peers.has_left.load(Relaxed) || !peers.cluster.is_due() {
            return;
        }
        let hello = self.as_last_heard(peers);
        if let Err(error) = peers.cluster.say_hello(&hello).await
            && let Some(unsaid) = BROKER_FAULTS.pass()
        {
            tracing::warn!(%error, unsaid, "the other nodes do not hear this one");
        }
        peers.again.notify_one();
    }

    /// Tells the other nodes that this one ends. It says nothing more after that.
    #[doc(hidden)]
    pub async fn part(&self) {
        let Some(peers) = &self.peers else { return };
        peers.has_left.store(true, Relaxed);
        if let Err(error) = peers.cluster.say_goodbye().await {
            tracing::warn!(%error, "the other nodes were not told that this one ends");
        }
    }

    /// Does what other nodes want of this one, as long as it is polled.
    ///
    /// What they want is begun in its order, as what the application of this node wants is; what
    /// has begun goes on side by side.
    #[doc(hidden)]
    pub async fn obey_peers(&self) {
        let Some(peers) = &self.peers else { return };
        let mut errands = peers.cluster.errands().await;
        let mut beginning: Option<BoxFuture<'_, Option<BoxFuture<'_, ()>>>> = None;
        let mut open = FuturesUnordered::<BoxFuture<'_, ()>>::new();
        loop {
            let mut again = std::pin::pin!(peers.again.notified());
            let next = poll_fn(|context: &mut Context<'_>| {
                while let Poll::Ready(Some(())) = open.poll_next_unpin(context) {}
                if let Some(begun) = &mut beginning {
                    let Poll::Ready(begun) = begun.as_mut().poll(context) else {
                        return Poll::Pending;
                    };
                    beginning = None;
                    return Poll::Ready(Next::Begun(begun));
                }
                if open.len() >= ERRANDS_MAX {
                    return Poll::Pending;
                }
                if again.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Next::Again);
                }
                errands.poll_recv(context).map(Next::Heard)
            });
            match next.await {
                Next::Begun(begun) => open.extend(begun),
                Next::Heard(Some(errand)) => {
                    beginning = Some(Box::pin(self.begin(&peers.cluster, errand)));
                }
                Next::Heard(None) => return,
                Next::Again => {
                    open.extend(self.say_again(peers, ERRANDS_MAX - open.len()));
                }
            }
        }
    }

    /// Tells other nodes of claims that they may have missed: where telling them failed, and where
    /// they were away.
    fn say_again<'a>(&'a self, peers: &Peers, most: usize) -> Vec<BoxFuture<'a, ()>> {
        let mut all: Vec<BoxFuture<'a, ()>> = Vec::new();
        if let Some(missed) = peers.cluster.take_missed()
            && self.rules().settings.has_one_connection
        {
            let now = self.clock.now();
            let away = now.moment.since(missed) + LEASE;
            let away = i64::try_from(away.as_millis()).unwrap_or(i64::MAX);
            let since = u64::try_from(now.unix_millis.saturating_sub(away)).unwrap_or(0);
            all.push(Box::pin(async move {
                self.order(Target::Everybody, Order::Reclaim(since)).await;
            }));
        }
        while all.len() < most
            && let Some((user, Claim { at, client })) = peers.contested().pop_first()
        {
            all.push(Box::pin(async move {
                self.supersede(&user, client, Some(at)).await;
            }));
        }
        all
    }

    /// Brings an errand to the shards; returns what is left to be waited for.
    async fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        errand: Errand,
    ) -> Option<BoxFuture<'a, ()>> {
        match errand.want {
            Want::Emulate { secret, frame } => {
                self.bring_frame(secret, frame).await;
                None
            }
            Want::Question {
                asker,
                id,
                question,
            } => {
                let answer = self.begin_answer(&question).await;
                Some(Box::pin(async move {
                    let answer = match answer {
                        Some(answer) => answer.await,
                        None => None,
                    };
                    self.reply(cluster, asker, id, answer).await;
                }))
            }
        }
    }

    async fn reply(&self, cluster: &Cluster, asker: NodeId, id: u64, answer: Option<Vec<u8>>) {
        let reply = if answer.is_some() {
            Reply::Done
        } else {
            Reply::Refused
        };
        let answer = answer.unwrap_or_default();
        if let Err(error) = cluster.answer(asker, id, reply, &answer).await
            && let Some(unsaid) = BROKER_FAULTS.pass()
        {
            tracing::warn!(%asker, %error, unsaid, "another node has not got its answer");
        }
    }

    /// The answer to a question, once it comes; `None` in the end when there is none.
    async fn begin_answer(&self, question: &[u8]) -> Option<BoxFuture<'_, Option<Vec<u8>>>> {
        Some(match Question::decode(question).ok()? {
            Question::Order(target, order) => {
                if let Order::Yield(claim) = &order {
                    self.latest_claim.fetch_max(claim.at, Relaxed);
                }
                if let Order::Subscribe { channel, .. } = &order {
                    self.resolve(channel.as_str()).ok()?;
                }
                let counts = self.begin_order(target, order).await;
                Box::pin(async move { Some(spell_count(counts.sum().await)) })
            }
            Question::Channels(beginning) => Box::pin(async move {
                let channels = self
                    .channels_here(NameFilter::beginning_with(beginning))
                    .await;
                let channels = channels.iter();
                Some(spell_channels(
                    channels.map(|(name, members)| (name.as_str(), *members)),
                ))
            }),
            Question::Presence(channel, most) => Box::pin(async move {
                let clients = self.presence.here()?.attendees(&channel, most);
                Some(spell_clients(clients.as_deref()))
            }),
            Question::PresenceStats(channel) => Box::pin(async move {
                let (clients, users) = self.presence.here()?.users(&channel);
                Some(spell_attendance(clients, &users))
            }),
        })
    }

    /// What the node tells others about itself, without asking its shards and waiting for them.
    fn as_last_heard(&self, peers: &Peers) -> NodeInfo {
        let mut pulse = peers.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = pulse.take(|| {
            let mut asked = Vec::with_capacity(self.controls.len());
            for shard in &self.controls {
                let (done, answer) = oneshot::channel();
                if shard.try_send(Control::Report(done)).is_ok() {
                    asked.push(answer);
                }
            }
            asked
        });
        self.described(stats)
    }
}

/// What an obeying node does next.
enum Next<'a> {
    Begun(Option<BoxFuture<'a, ()>>),
    Heard(Option<Errand>),
    Again,
}
