//! What a session wants from the rest of the node, and what it gets.
//!
//! A session never waits and never calls. It names a ticket and what it asks; whoever runs the
//! asking brings the answer back as an input with the same ticket. What needs no answer is told.

use std::convert::Infallible;
use std::sync::Arc;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::{
    ClientId, ClientInfo, Disconnect, Payload, Position, Refusal, ReplyBody, UserId, Wire,
};
use tokio::sync::oneshot;

use crate::application::{Caller, Decision, Lapse, Renewal, Revision, Verdict};
use crate::authority::{Credentials, Grant, Handshake, TokenGrant, TokenRefusal};
use crate::broker::{Attendance, HistoryQuery};
use crate::channel::ChannelName;
use crate::headers::Headers;
use crate::node::UserSeat;
use crate::recovery::{Attempt, Recovery};

/// Ties an answer to its question, within one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket(pub(crate) u32);

/// A question of a session.
#[derive(Debug)]
pub enum Ask {
    /// Who is it?
    Connect {
        /// The identity of its session.
        client: ClientId,
        /// Its transport.
        wire: Wire,
        /// What the client says.
        request: Box<ConnectRequest>,
        /// What was known before.
        handshake: Option<Box<Handshake>>,
        /// Its headers, if any are wanted and there.
        headers: Option<Arc<Headers>>,
        /// Set when the application is asked too.
        abandoned: Option<Abandoned>,
    },
    /// Are these new credentials of the connection good?
    Refresh {
        /// A connection token.
        token: String,
    },
    /// What does this token grant?
    Grant {
        /// A subscription token.
        token: String,
    },
    /// Bring deliveries of these channels to this shard, and what was missed.
    Join(Vec<JoinRequest>),
    /// Publish for a client that may.
    Publish {
        /// Where.
        channel: ChannelName,
        /// What.
        data: Payload,
        /// By whom.
        info: Arc<ClientInfo>,
        /// What the application said about it, when it is the application that allowed it. The
        /// payload is the one above.
        revision: Option<Box<Revision>>,
    },
    /// What does the application say?
    Consult {
        /// About whom.
        caller: Arc<Caller>,
        /// About what.
        question: Question,
        /// Until when the answer is of interest.
        abandoned: Abandoned,
    },
    /// Who is there?
    Presence {
        /// Where.
        channel: ChannelName,
    },
    /// How many are there?
    PresenceStats {
        /// Where.
        channel: ChannelName,
    },
    /// What was published?
    History {
        /// Where.
        channel: ChannelName,
        /// Which part.
        query: HistoryQuery,
        /// The position's epoch that the client compares with, when it named one.
        since: Option<Position>,
    },
}

/// A question to the [`Application`](crate::application::Application), whose methods have these
/// names. What the session still needs comes back with the answer.
#[derive(Debug)]
pub enum Question {
    /// May it subscribe?
    Subscribe(Box<SubscribeRequest>),
    /// Which of the channels that it wished for when it connected may it have?
    Wishes(Vec<SubscribeRequest>),
    /// May it publish?
    Publish {
        /// Where.
        channel: ChannelName,
        /// What.
        data: Payload,
    },
    /// A call.
    Rpc {
        /// The method's name.
        method: String,
        /// Its argument.
        data: Payload,
    },
    /// A message.
    Message(Payload),
    /// May it know who is there?
    Presence(ChannelName),
    /// May it read what was published?
    History(ChannelName),
    /// Nothing, but to hear that the session is live.
    Connected,
    /// Does the connection go on?
    Refresh,
    /// Does this subscription go on?
    SubRefresh(ChannelName),
}

/// Says, until it is dropped, that somebody still waits for an answer.
#[derive(Debug)]
pub struct Wanted {
    _end: oneshot::Sender<Infallible>,
}

/// Tells when nobody waits for an answer any more.
#[derive(Debug)]
pub struct Abandoned(oneshot::Receiver<Infallible>);

impl Wanted {
    pub(crate) fn new() -> (Self, Abandoned) {
        let (end, other) = oneshot::channel();
        (Self { _end: end }, Abandoned(other))
    }
}

impl Abandoned {
    /// Returns when nobody waits any more.
    pub(crate) async fn wait(&mut self) {
        let Err(_) = (&mut self.0).await;
    }
}

/// One channel to be joined.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Which.
    pub channel: ChannelName,
    /// What the client wants of what it missed.
    pub recover: Option<Attempt>,
    /// Who becomes present, when the channel keeps presence.
    pub presence: Option<Arc<ClientInfo>>,
}

/// An answer to an [`Ask`].
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Connect`].
    Connect(Result<(Credentials, Option<UserSeat>), Rejection>),
    /// To [`Ask::Refresh`].
    Refresh(Result<Credentials, TokenRefusal>),
    /// To [`Ask::Grant`].
    Grant(Result<TokenGrant, TokenRefusal>),
    /// To [`Ask::Join`]: all channels in the order asked, or none.
    Join(Result<Vec<Joined>, Refusal>),
    /// To [`Question::Subscribe`].
    Subscribing(Box<SubscribeRequest>, Decision<Grant>),
    /// To [`Question::Wishes`], in their order.
    Wishes(Vec<(SubscribeRequest, Decision<Grant>)>),
    /// To [`Question::Publish`].
    Publishing(ChannelName, Payload, Decision<Revision>),
    /// To [`Question::Rpc`].
    Rpc(Decision<Payload>),
    /// To [`Question::Message`].
    Message(Result<Verdict<()>, Disconnect>),
    /// To [`Question::Presence`] and [`Question::History`].
    Reading(Decision<()>),
    /// To [`Question::Connected`].
    Told,
    /// To [`Question::Refresh`] and [`Question::SubRefresh`].
    Renewal(Result<Renewal, Lapse>),
    /// To everything else: the reply itself.
    Reply(Result<ReplyBody, Refusal>),
}

/// A channel that was joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The stream's top, up to which the client needs nothing from the shard's inbox.
    pub top: Position,
    /// What came of recovery, when it was asked for.
    pub recovery: Option<Recovery>,
}

/// Something that a session wants done and needs no answer to.
#[derive(Clone, PartialEq, Debug)]
pub enum Tell {
    /// Deliveries of this channel are no longer wanted in this shard.
    Unsubscribe {
        /// Which.
        channel: ChannelName,
    },
    /// The session is present with something else to tell about itself.
    RenewPresence {
        /// Where.
        channel: ChannelName,
        /// What.
        info: Arc<ClientInfo>,
    },
    /// The session is no longer present.
    RemovePresence {
        /// Where.
        channel: ChannelName,
        /// Which.
        client: ClientId,
    },
    /// The user's other sessions are to end: only one is allowed, and this one is newer.
    Supersede {
        /// Whose.
        user: UserId,
        /// The one that stays.
        client: ClientId,
        /// Since when it is the only one, when another one that is older has not noticed.
        claimed: Option<u64>,
    },
    /// The application wants to know that a session is over, and why.
    Disconnected(Arc<Caller>, Disconnect),
    /// Others want to know that somebody came or left.
    Announce {
        /// Where.
        channel: ChannelName,
        /// Who and how.
        attendance: Attendance,
    },
}
