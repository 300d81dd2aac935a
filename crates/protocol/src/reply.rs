//! What the server answers. Field meanings follow section 3 of the Centrifuge client protocol.

use std::sync::Arc;

use crate::{ClientId, ClientInfo, Payload, Position, Publication, Refusal};

/// The answer to the command with the same id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The command's id.
    pub id: u32,
    /// Its result, or why there is none.
    pub body: Result<ReplyBody, Refusal>,
}

/// The result of a command that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyBody {
    /// The session is live.
    Connect(Box<ConnectResult>),
    /// The subscription is live.
    Subscribe(Box<SubscribeResult>),
    /// The subscription is over.
    Unsubscribe,
    /// The publication was accepted.
    Publish,
    /// Who is in the channel.
    Presence(Vec<Arc<ClientInfo>>),
    /// How many are in the channel.
    PresenceStats {
        /// Sessions.
        clients: u32,
        /// Distinct users.
        users: u32,
    },
    /// Recent publications.
    History {
        /// In the order asked for.
        publications: Vec<Arc<Publication>>,
        /// The top of the stream.
        top: Position,
    },
    /// The application's answer.
    Rpc {
        /// Its result.
        data: Payload,
    },
    /// The connection's new expiry.
    Refresh(Expiry),
    /// The subscription's new expiry.
    SubRefresh(Expiry),
}

/// When the client has to bring new credentials: in so many seconds, or never.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiry {
    /// Seconds from now; `None` when nothing expires or the server renews by itself.
    pub ttl: Option<u32>,
}

/// See section 3.3 of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectResult {
    /// The new session.
    pub client: ClientId,
    /// This server's version; never empty.
    pub version: String,
    /// The connection's expiry.
    pub expiry: Expiry,
    /// Bytes of the application.
    pub data: Option<Payload>,
    /// Server-side subscriptions.
    pub subs: Vec<(String, SubscribeResult)>,
    /// Seconds between pings; 0 when there are none.
    pub ping: u32,
    /// Whether pings are to be answered.
    pub pong: bool,
    /// The secret under which commands come in requests of their own, for clients of transports
    /// that need one.
    pub session: Option<String>,
    /// The node that holds the session, likewise.
    pub node: Option<String>,
    /// Unix milliseconds, when the server tells the time.
    pub time: Option<i64>,
}

/// See section 3.5 of the protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscribeResult {
    /// The subscription's expiry.
    pub expiry: Expiry,
    /// Whether a later connection may recover.
    pub recoverable: bool,
    /// Whether gaps are noticed.
    pub positioned: bool,
    /// Where the subscription stands before `publications`; `None` when it has no position.
    pub position: Option<Position>,
    /// What was missed, by ascending offsets.
    pub publications: Vec<Arc<Publication>>,
    /// Whether nothing is missing.
    pub recovered: bool,
    /// Whether recovery was asked for.
    pub was_recovering: bool,
    /// Whether payloads come as deltas, those of `publications` too.
    pub delta: bool,
    /// Bytes of the application.
    pub data: Option<Payload>,
}
