//! What a client asks. Field meanings follow section 3 of the Centrifuge client protocol.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Payload, Position};

/// One message of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// The answer to a ping.
    Pong,
    /// An asynchronous message to the application; never answered.
    Send {
        /// The message.
        data: Payload,
    },
    /// Something that is answered under the same id.
    Request {
        /// Never 0.
        id: u32,
        /// What is asked.
        request: Request,
    },
}

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Authenticate; must come first.
    Connect(Box<ConnectRequest>),
    /// Begin a subscription.
    Subscribe(Box<SubscribeRequest>),
    /// End a subscription.
    Unsubscribe {
        /// The subscription's channel.
        channel: String,
    },
    /// Publish into a channel.
    Publish {
        /// Where to.
        channel: String,
        /// What.
        data: Payload,
        /// Into what: 0 a stream, 1 a map.
        kind: i32,
    },
    /// Who is in a channel.
    Presence {
        /// Which.
        channel: String,
    },
    /// How many are in a channel.
    PresenceStats {
        /// Which.
        channel: String,
    },
    /// Recent publications of a channel.
    History(Box<HistoryRequest>),
    /// A call to the application.
    Rpc {
        /// The method's name.
        method: String,
        /// Its argument.
        data: Payload,
    },
    /// New credentials of the connection.
    Refresh {
        /// A connection token.
        token: String,
    },
    /// New credentials of a subscription.
    SubRefresh {
        /// The subscription's channel.
        channel: String,
        /// A subscription token.
        token: String,
        /// 0 for these alone; 1 and 2 to track keys of a shared poll, and to end that.
        kind: i32,
    },
}

/// See section 3.3 of the protocol.
///
/// Its `Debug` shows neither tokens nor payloads nor values of headers, since that ends in logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConnectRequest {
    /// Connection token, or empty.
    pub token: String,
    /// Bytes for the application.
    pub data: Payload,
    /// Server-side subscriptions that the client knows or wishes for, with where it stands.
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// The client library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Emulated headers, as the client spells their names: what it would say in its HTTP request
    /// if it could, as browsers cannot in that of a WebSocket.
    pub headers: BTreeMap<String, String>,
}

/// See section 3.5 of the protocol.
///
/// Its `Debug` shows neither the token nor the payload.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SubscribeRequest {
    /// The channel; empty inside [`ConnectRequest::subs`], whose keys are the names.
    pub channel: String,
    /// Subscription token, or empty.
    pub token: String,
    /// The position to recover from, when recovery is asked for.
    pub recover: Option<Position>,
    /// Bytes for the application.
    pub data: Payload,
    /// Asks for positioning.
    pub positioned: bool,
    /// Asks for recovery.
    pub recoverable: bool,
    /// Asks for join and leave pushes.
    pub join_leave: bool,
    /// A kind of delta compression, or empty.
    pub delta: String,
    /// Which publications the client wants, by their tags; not checked yet.
    pub filter: Option<Box<FilterNode>>,
    /// Bit set of features; see [`SubscribeRequest::rejects_unrecovered`].
    pub flag: i64,
    /// Kind of subscription: 0 a stream, 1–3 a map, 4 a shared poll.
    pub kind: i32,
}

impl SubscribeRequest {
    /// The bit of [`flag`](Self::flag) that [`rejects_unrecovered`](Self::rejects_unrecovered).
    pub const REJECT_UNRECOVERED: i64 = 2;

    /// Whether a failed recovery is to be refused with code 112 instead of a subscription that
    /// starts afresh.
    #[must_use]
    pub const fn rejects_unrecovered(&self) -> bool {
        self.flag & Self::REJECT_UNRECOVERED != 0
    }
}

/// A condition on the tags of publications, as a client spelled it: section 3.8 of the protocol.
/// What makes sense is decided elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FilterNode {
    /// `and`, `or`, `not`, or empty for a comparison.
    pub op: String,
    /// The tag to compare.
    pub key: String,
    /// How to compare it.
    pub cmp: String,
    /// What with.
    pub val: String,
    /// What with, where there are several.
    pub vals: Vec<String>,
    /// What `op` combines.
    pub nodes: Vec<FilterNode>,
}

/// See section 3.6 of the protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryRequest {
    /// Which channel.
    pub channel: String,
    /// At most so many; 0 asks for the position alone, below 0 for as many as allowed.
    pub limit: i32,
    /// Only what is newer than this; older, when `reverse`.
    pub since: Option<Position>,
    /// Newest first.
    pub reverse: bool,
}

/// A frame of a client whose session speaks over another connection: section 15.3 of the protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EmulationRequest {
    /// The node that holds the session, as [`ConnectResult::node`](crate::reply::ConnectResult)
    /// named it.
    pub node: String,
    /// The session's secret, likewise.
    pub session: String,
    /// One frame, which may hold several commands.
    pub data: Payload,
}

/// Something that is nobody's business.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0)
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            token,
            data,
            subs,
            name,
            version,
            headers,
        } = self;
        f.debug_struct("ConnectRequest")
            .field("token", &Hidden(token.len()))
            .field("data", &Hidden(data.len()))
            .field("subs", subs)
            .field("name", name)
            .field("version", version)
            .field("headers", &headers.keys())
            .finish()
    }
}

impl fmt::Debug for SubscribeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            token,
            recover,
            data,
            positioned,
            recoverable,
            join_leave,
            delta,
            filter,
            flag,
            kind,
        } = self;
        f.debug_struct("SubscribeRequest")
            .field("channel", channel)
            .field("token", &Hidden(token.len()))
            .field("recover", recover)
            .field("data", &Hidden(data.len()))
            .field("positioned", positioned)
            .field("recoverable", recoverable)
            .field("join_leave", join_leave)
            .field("delta", delta)
            .field("filter", filter)
            .field("flag", flag)
            .field("kind", kind)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_request_has_no_secret_in_it() {
        let wish = SubscribeRequest {
            token: "hush".into(),
            data: Payload::from(*b"hush"),
            ..SubscribeRequest::default()
        };
        let request = ConnectRequest {
            token: "hush".into(),
            data: Payload::from(*b"hush"),
            subs: [("news".into(), wish)].into(),
            name: "js".into(),
            headers: [("authorization".into(), "hush".into())].into(),
            ..ConnectRequest::default()
        };
        let shown = format!("{request:?}");
        for told in ["news", "js", "authorization", "token: (4 bytes)"] {
            assert!(shown.contains(told), "{shown}");
        }
        assert!(
            !shown.contains("hush") && !shown.contains("104, 117"),
            "{shown}"
        );
    }
}
