//! One running server process: everything that its shards share.
//!
//! The node is the one place that knows brokers, presence, authority and shards at the same time.
//! It answers what sessions ask ([`Node::ask`]), does what they tell ([`Node::tell`]), and is the
//! application's way in ([`Node::publish`] and its neighbours). It never fans out: a publication
//! reaches subscribers through the inboxes of the broker alone.

mod application;
mod attendance;
mod consult;
mod contained;
mod control;
mod emulation;
mod everywhere;
mod name_filter;
mod peers;
mod question;
mod rules;
mod seats;
mod sessions;
mod sole;
mod survey_presence;
mod tellable;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use campanile_protocol::codes::Rejection;
use campanile_protocol::{ClientId, ClientInfo, Payload, Position, Refusal, ReplyBody, UserId};
use tokio::sync::{RwLock, Semaphore, mpsc};

use crate::application::{Application, Arrival, Decision, Revision, Verdict};
use crate::ask::{Answer, Ask, JoinRequest, Joined, Tell};
use crate::authority::{Authority, Credentials};
use crate::broker::{Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication};
use crate::budget::MemoryBudget;
use crate::channel::{ChannelName, Namespaces};
use crate::cluster::{Cluster, NodeId};
use crate::delivery::{Inbox, Inboxes, ShardId, payload_bytes};
use crate::headers::Headers;
use crate::limits::{JOINS_MAX, NOTICES_MAX, ORDERS_MAX};
use crate::presence::Presence;
use crate::settings::Settings;
use crate::throttle::BROKER_FAULTS;
use crate::time::{Clock, Moment};

use crate::turns::Turns;
use peers::Peers;

pub use crate::cluster::{KnownNode, NodeInfo};
pub use application::{HistoryRequest, PublishRequest};
pub use control::{Control, ShardSeat};
pub use emulation::Stray;
pub use everywhere::ChannelList;
pub use name_filter::NameFilter;
pub use rules::Rules;
pub use seats::{UserSeat, UserSeats};
pub use sessions::SessionHandle;
pub use survey_presence::SurveyPresence;

/// What a presence entry takes of a reply, at most about: ids and braces, without the infos.
const PRESENCE_ENTRY_BYTES: usize = 128;

/// What a node is made of.
pub struct Parts {
    /// The operator's rules.
    pub settings: Arc<Settings>,
    /// The channels' rules.
    pub namespaces: Arc<Namespaces>,
    /// The sequencer.
    pub broker: Arc<dyn Broker>,
    /// Who is where.
    pub presence: Arc<dyn Presence>,
    /// Who is who.
    pub authority: Arc<dyn Authority>,
    /// Who may do what, where the settings do not say it. Asked about what is in
    /// [`Settings::interests`], which are its own.
    pub application: Arc<dyn Application>,
    /// What the node may hold.
    pub budget: Arc<MemoryBudget>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The ways to the shards, which the broker has too.
    pub inboxes: Inboxes,
    /// The other ends of these.
    pub shard_inboxes: Vec<Inbox>,
    /// The node's name for people.
    pub name: String,
    /// Its part in a cluster, whose identity it takes; none for a node that is alone.
    pub cluster: Option<Arc<Cluster>>,
}

/// One running server: the application's way to its sessions, channels and histories.
///
/// Held as `Arc<Node>`, which is cheap to clone. Everything may be called from any thread and in
/// any runtime: nothing of it needs timers or sockets. Names of channels are checked for their
/// namespace only; what clients may do there is not asked for the application itself.
///
/// # Cancel safety
/// All futures may be dropped. What was asked may then have been done or not, as a whole for one
/// channel or session; nothing is left half done.
///
/// # Cost
/// A publish takes the lock of one channel's stripe for as long as it takes to enter the stream;
/// with the disk broker it crosses to the commit thread and back. It waits for room where the
/// deliveries of others fill the shards' inboxes. What is done to sessions goes to the queue of
/// every shard, or of the one that has them where only that one can, and waits for their workers:
/// some microseconds on an idle node. A user's sessions are found by the user's name, everybody's
/// by looking at each.
///
/// # After the end
/// Once the server has stopped there are no sessions, and what is done to them is done to nobody.
/// The disk broker refuses what enters a history, with 100; the memory broker still takes it.
pub struct Node {
    id: String,
    name: String,
    started: Moment,
    rules: ArcSwap<Rules>,
    broker: Arc<dyn Broker>,
    presence: Arc<dyn Presence>,
    application: Arc<dyn Application>,
    budget: Arc<MemoryBudget>,
    clock: Arc<dyn Clock>,
    inboxes: Inboxes,
    controls: Box<[mpsc::Sender<Control>]>,
    seats: Arc<UserSeats>,
    turns: Turns<(ShardId, ChannelName)>,
    /// How many more channels may be being joined.
    joins: Semaphore,
    /// Whose connects are being made the only ones.
    superseding: Turns<UserId>,
    /// Of whom the application is told that they came or left.
    notifying: Turns<ClientId>,
    /// Of how many more ends it may be told at the same time.
    notices: Semaphore,
    /// Held while it is told of an end, from when that is first polled.
    telling: RwLock<()>,
    /// The latest claim to be a user's only session that is known, in Unix milliseconds.
    latest_claim: AtomicU64,
    /// `None` for a node that is alone.
    peers: Option<Box<Peers>>,
}

impl Node {
    /// A node, and the seats of its shards: one for each inbox.
    #[doc(hidden)] // For whoever runs the shards, like those below.
    #[must_use]
    pub fn new(parts: Parts) -> (Arc<Self>, Vec<ShardSeat>) {
        debug_assert_eq!(parts.settings.interests, parts.application.interests());
        let (controls, receivers): (Vec<_>, Vec<_>) = parts
            .shard_inboxes
            .iter()
            .map(|_| mpsc::channel(ORDERS_MAX))
            .unzip();
        let seats = parts.shard_inboxes.into_iter().zip(receivers).enumerate();
        let seats = seats.map(|(index, (inbox, controls))| ShardSeat {
            id: ShardId::new(index).expect("no more inboxes than shards are possible"),
            inbox,
            controls,
        });
        let seats = seats.collect();
        let id = parts.cluster.as_ref().map(|cluster| cluster.id());
        let node = Self {
            id: id.unwrap_or_else(NodeId::random).to_string(),
            name: parts.name,
            started: parts.clock.now().moment,
            rules: ArcSwap::from_pointee(Rules {
                settings: parts.settings,
                namespaces: parts.namespaces,
                authority: parts.authority,
            }),
            broker: parts.broker,
            presence: parts.presence,
            application: parts.application,
            budget: parts.budget,
            clock: parts.clock,
            inboxes: parts.inboxes,
            controls: controls.into(),
            seats: Arc::default(),
            turns: Turns::default(),
            joins: Semaphore::new(JOINS_MAX),
            superseding: Turns::default(),
            notifying: Turns::default(),
            notices: Semaphore::new(NOTICES_MAX),
            telling: RwLock::default(),
            latest_claim: AtomicU64::new(0),
            peers: parts.cluster.map(|cluster| Box::new(Peers::new(cluster))),
        };
        (Arc::new(node), seats)
    }

    /// The node's identity, new at each start.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the node may hold, and holds.
    #[must_use]
    pub const fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// The node's time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Forgets what is past its time; to be called about once a second.
    #[doc(hidden)]
    pub fn sweep(&self) {
        self.broker.sweep();
    }

    /// Answers a question of a session of `shard`.
    ///
    /// The futures of [`Node::ask`] and [`Node::tell`] are first polled in the order in which the
    /// shard named its errands; from then on they keep the order that matters by themselves.
    ///
    /// # Cancel safety
    /// What was asked may have been done or not; see [`Broker::publish`].
    #[doc(hidden)]
    pub async fn ask(&self, shard: ShardId, ask: Ask) -> Answer {
        match ask {
            Ask::Connect {
                client,
                wire,
                request,
                handshake,
                headers,
                abandoned,
            } => {
                let none = Headers::default();
                let arrival = Arrival {
                    client,
                    wire,
                    request: &request,
                    handshake: handshake.as_deref(),
                    headers: headers.as_deref().unwrap_or(&none),
                };
                let welcome = self.welcome(arrival, abandoned).await;
                Answer::Connect(self.admit_user(arrival, welcome).await)
            }
            Ask::Consult {
                caller,
                question,
                abandoned,
            } => self.consult(&caller, question, abandoned).await,
            Ask::Refresh { token } => {
                let authority = Arc::clone(&self.rules().authority);
                Answer::Refresh(authority.refresh(&token).await)
            }
            Ask::Grant { token } => {
                let authority = Arc::clone(&self.rules().authority);
                Answer::Grant(authority.subscribe(&token).await)
            }
            Ask::Join(requests) => Answer::Join(self.join(shard, requests).await),
            Ask::Publish {
                channel,
                data,
                info,
                revision,
            } => Answer::Reply(self.publish_for_client(channel, data, info, revision).await),
            Ask::Presence { channel } => Answer::Reply(self.presence_reply(&channel).await),
            Ask::PresenceStats { channel } => {
                let stats = self.presence.stats(&channel).await.map_err(refusal);
                Answer::Reply(stats.map(|stats| ReplyBody::PresenceStats {
                    clients: u32::try_from(stats.clients).unwrap_or(u32::MAX),
                    users: u32::try_from(stats.users).unwrap_or(u32::MAX),
                }))
            }
            Ask::History {
                channel,
                query,
                since,
            } => Answer::Reply(self.history_reply(&channel, query, since).await),
        }
    }

    /// Does what a session of `shard` wants done.
    #[doc(hidden)]
    pub async fn tell(&self, shard: ShardId, tell: Tell) {
        match tell {
            Tell::Disconnected(caller, end) => self.mourn(&caller, &end).await,
            Tell::Supersede {
                user,
                client,
                claimed,
            } => self.supersede(&user, client, claimed).await,
            Tell::Unsubscribe { channel } => {
                let _turn = self.turns.take((shard, channel.clone())).await;
                self.broker.unsubscribe(shard, &channel).await;
            }
            Tell::RenewPresence { channel, info } => {
                self.renew_presence(shard, &channel, info).await;
            }
            Tell::RemovePresence { channel, client } => {
                let _turn = self.turns.take((shard, channel.clone())).await;
                self.presence.remove(&channel, client).await;
            }
            Tell::Announce {
                channel,
                attendance,
            } => {
                let _turn = self.turns.take((shard, channel.clone())).await;
                self.announce(&channel, attendance).await;
            }
        }
    }

    /// Reads what a shard is missing in `channel` behind `position`.
    #[doc(hidden)]
    pub async fn read_gap(&self, channel: &ChannelName, position: Position) -> Option<HistoryPage> {
        let settings = self.settings();
        let query = HistoryQuery {
            since: Some(position.offset),
            reverse: false,
            limit: settings.recovery_publications_max,
            bytes: settings.reply_bytes_max(),
        };
        let page = self.broker.history(channel, query).await;
        if let Err(error) = page
            && let Some(unsaid) = BROKER_FAULTS.pass()
        {
            tracing::warn!(?channel, %error, unsaid, "a gap cannot be repaired");
        }
        page.ok()
    }

    async fn admit_user(
        &self,
        arrival: Arrival<'_>,
        welcome: Decision<Credentials>,
    ) -> Result<(Credentials, Option<UserSeat>), Rejection> {
        let credentials = match welcome? {
            Verdict::Allowed(credentials) => credentials,
            Verdict::AsConfigured => {
                let Arrival {
                    request, handshake, ..
                } = arrival;
                let authority = Arc::clone(&self.rules().authority);
                authority.connect(request, handshake).await?
            }
        };
        let seat = match self.settings().user_connection_limit {
            Some(limit) if !credentials.user.is_anonymous() => {
                let seat = UserSeats::take(&self.seats, &credentials.user, limit);
                Some(seat.ok_or(campanile_protocol::Disconnect::CONNECTION_LIMIT)?)
            }
            _ => None,
        };
        Ok((credentials, seat))
    }

    async fn join(
        &self,
        shard: ShardId,
        requests: Vec<JoinRequest>,
    ) -> Result<Vec<Joined>, Refusal> {
        let mut joined = Vec::with_capacity(requests.len());
        for request in requests {
            joined.push(self.join_one(shard, request).await.map_err(refusal)?);
        }
        Ok(joined)
    }

    async fn join_one(&self, shard: ShardId, request: JoinRequest) -> Result<Joined, BrokerError> {
        let channel = &request.channel;
        let turn = self.turns.take((shard, channel.clone())).await;
        // Behind the turn: who has a place waits for nobody who has none.
        let _place = self.joins.acquire().await;
        let top = self.broker.subscribe(shard, channel).await?;
        // Nobody unsubscribes a shard in which somebody joins, and the rest is about this session
        // alone: a whole herd may read the history at once, and share what is read.
        drop(turn);
        let mut joined = Joined {
            top,
            recovery: None,
        };
        if let Some(attempt) = request.recover {
            let settings = self.settings();
            let query = attempt.query(
                settings.recovery_publications_max,
                settings.reply_bytes_max(),
            );
            let page = self.broker.history(channel, query).await?;
            // The page may know more than the top did; what came between is in the inbox too.
            joined.top = page.top;
            joined.recovery = Some(attempt.judge(page));
        }
        if let Some(info) = request.presence {
            self.presence.add(channel, info).await?;
        }
        Ok(joined)
    }

    async fn renew_presence(&self, shard: ShardId, channel: &ChannelName, info: Arc<ClientInfo>) {
        let _turn = self.turns.take((shard, channel.clone())).await;
        let renewed = self.presence.add(channel, info).await;
        if let Err(error) = renewed
            && let Some(unsaid) = BROKER_FAULTS.pass()
        {
            tracing::warn!(?channel, %error, unsaid, "presence shows what was before");
        }
    }

    async fn publish_for_client(
        &self,
        channel: ChannelName,
        data: Payload,
        info: Arc<ClientInfo>,
        revision: Option<Box<Revision>>,
    ) -> Result<ReplyBody, Refusal> {
        let options = self.options_of(channel.as_str())?;
        let retention = options.retention();
        let is_local_if_unreachable = options.publish_locally_if_unreachable;
        let revision = revision.map_or_else(
            || Revision {
                wants_delta: options.delta_publish,
                ..Revision::default()
            },
            |revision| *revision,
        );
        let admission = self
            .inboxes
            .admit(payload_bytes(&data, revision.tags.as_deref()))
            .await;
        let publication = NewPublication {
            channel,
            data,
            info: Some(info),
            tags: revision.tags,
            retention: retention.filter(|_| !revision.skips_history),
            idempotency_key: revision.idempotency_key.filter(|key| !key.is_empty()),
            version: revision.version,
            wants_delta: revision.wants_delta,
            is_local_if_unreachable,
            admission,
        };
        self.broker.publish(publication).await.map_err(refusal)?;
        Ok(ReplyBody::Publish)
    }

    async fn presence_reply(&self, channel: &ChannelName) -> Result<ReplyBody, Refusal> {
        let max = self.settings().reply_bytes_max() / PRESENCE_ENTRY_BYTES;
        let clients = self.presence.list(channel, max).await.map_err(refusal)?;
        clients
            .map(ReplyBody::Presence)
            .ok_or(Refusal::LIMIT_EXCEEDED)
    }

    async fn history_reply(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
        since: Option<Position>,
    ) -> Result<ReplyBody, Refusal> {
        let page = self.broker.history(channel, query).await.map_err(refusal)?;
        if since.is_some_and(|since| !since.epoch.is_empty() && since.epoch != page.top.epoch) {
            return Err(Refusal::UNRECOVERABLE_POSITION);
        }
        Ok(ReplyBody::History {
            publications: page.publications,
            top: page.top,
        })
    }
}

/// What a caller is told of a broker's failure: that another try may help. The operator has the
/// log.
fn refusal(error: BrokerError) -> Refusal {
    if let Some(unsaid) = BROKER_FAULTS.pass() {
        tracing::warn!(%error, unsaid, "the broker refused");
    }
    Refusal::INTERNAL
}
