//! The numbers by which clients decide what to do next: one table for each kind.
//!
//! The codes and texts are those of the Centrifuge client protocol. Clients never see another text
//! for the same code, since some show it to people and some compare it.

use std::borrow::Cow;
use std::fmt;

/// A command that was not carried out; the session goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// 100–399 belong to the protocol, 400–1999 to applications. Never below 100: those are local
    /// to SDKs.
    pub code: u32,
    /// Never empty: some SDKs require the key.
    pub message: Cow<'static, str>,
    /// Whether the same command may succeed later.
    pub temporary: bool,
}

impl Refusal {
    /// What an application says to one command: a code from 400 to 1999, and a text for people. The
    /// same command is not tried again by itself.
    #[must_use]
    pub fn new(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            temporary: false,
        }
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal, $temporary:literal;)*) => {
        impl Refusal {
            $(
                $(#[$doc])*
                pub const $name: Self =
                    Self { code: $code, message: Cow::Borrowed($message), temporary: $temporary };
            )*
        }
    };
}

refusals! {
    /// Something on our side failed; trying again may help.
    INTERNAL = 100, "internal server error", true;
    /// Credentials are missing.
    UNAUTHORIZED = 101, "unauthorized", false;
    /// The channel's namespace is not configured.
    UNKNOWN_CHANNEL = 102, "unknown channel", false;
    /// The session may not do this.
    PERMISSION_DENIED = 103, "permission denied", false;
    /// No such RPC method.
    METHOD_NOT_FOUND = 104, "method not found", false;
    /// The session has this subscription already, or is about to.
    ALREADY_SUBSCRIBED = 105, "already subscribed", false;
    /// A limit of the session is reached.
    LIMIT_EXCEEDED = 106, "limit exceeded", false;
    /// The command makes no sense.
    BAD_REQUEST = 107, "bad request", false;
    /// The feature is off for this channel or server.
    NOT_AVAILABLE = 108, "not available", false;
    /// A token is past its time; a new one is wanted.
    TOKEN_EXPIRED = 109, "token expired", false;
    /// The connection's or subscription's own expiry is past.
    EXPIRED = 110, "expired", false;
    /// A rate limit is reached.
    TOO_MANY_REQUESTS = 111, "too many requests", true;
    /// The position cannot be recovered from.
    UNRECOVERABLE_POSITION = 112, "unrecoverable position", false;
}

/// The end of a session that the server decided on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disconnect {
    /// Close code: 3000–3499, 4000–4499 and from 5000 on make clients reconnect, 3500–3999 and
    /// 4500–4999 do not.
    pub code: u16,
    /// Never empty.
    pub reason: Cow<'static, str>,
}

impl Disconnect {
    /// An end that an application decided on: a code from 4000 to 4499 after which clients come
    /// back, or one from 4500 to 4999 after which they do not, and a text for people.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

macro_rules! disconnects {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Disconnect {
            $(
                $(#[$doc])*
                pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };
            )*
        }
    };
}

disconnects! {
    /// The peer went away; never written to a socket.
    CONNECTION_CLOSED = 3000, "connection closed";
    /// This node stops.
    SHUTDOWN = 3001, "shutdown";
    /// Something on our side failed.
    INTERNAL = 3004, "internal server error";
    /// The connection's credentials ran out.
    EXPIRED = 3005, "connection expired";
    /// The credentials of a server-side subscription ran out.
    SUBSCRIPTION_EXPIRED = 3006, "subscription expired";
    /// The client does not read as fast as it is sent to.
    SLOW = 3008, "slow";
    /// The position of a server-side subscription is lost, or its set of channels changed.
    INSUFFICIENT_STATE = 3010, "insufficient state";
    /// The application wants this client to connect again.
    FORCE_RECONNECT = 3011, "force reconnect";
    /// A ping was not answered.
    NO_PONG = 3012, "no pong";
    /// A rate limit is reached.
    TOO_MANY_REQUESTS = 3013, "too many requests";
    /// A token is not one of ours.
    INVALID_TOKEN = 3500, "invalid token";
    /// The client broke the protocol.
    BAD_REQUEST = 3501, "bad request";
    /// No connect command came in time.
    STALE = 3502, "stale";
    /// The application wants this session gone.
    FORCE_DISCONNECT = 3503, "force disconnect";
    /// The user has too many connections.
    CONNECTION_LIMIT = 3504, "connection limit";
    /// Too many server-side subscriptions at connect.
    CHANNEL_LIMIT = 3505, "channel limit";
    /// A payload cannot be carried by the session's encoding.
    INAPPROPRIATE_PROTOCOL = 3506, "inappropriate protocol";
    /// Anonymous where that is not allowed.
    PERMISSION_DENIED = 3507, "permission denied";
    /// The command exists in the protocol only.
    NOT_AVAILABLE = 3508, "not available";
    /// The application refused what a plain client said; ours, as is the next.
    REFUSED = 4500, "refused";
    /// Something was missed since the position that a plain client named, and cannot be brought
    /// back. Like the error 112 of the protocol.
    UNRECOVERABLE_POSITION = 4512, "unrecoverable position";
}

impl Disconnect {
    /// Whether messages queued before the end may still be flushed: not to a peer that is gone or
    /// does not read.
    #[must_use]
    pub fn flushes(&self) -> bool {
        self.code != Self::CONNECTION_CLOSED.code && self.code != Self::SLOW.code
    }
}

/// The end of a subscription that the server decided on. Below 2500 clients stay unsubscribed,
/// from 2500 on they subscribe again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribed {
    /// 2000–2999.
    pub code: u32,
    /// Never empty.
    pub reason: Cow<'static, str>,
}

impl Unsubscribed {
    /// The application wants it.
    pub const SERVER: Self = Self {
        code: 2000,
        reason: Cow::Borrowed("server unsubscribe"),
    };
    /// Publications were missed and cannot be repaired here.
    pub const INSUFFICIENT_STATE: Self = Self {
        code: 2500,
        reason: Cow::Borrowed("insufficient state"),
    };
    /// The subscription's credentials ran out.
    pub const EXPIRED: Self = Self {
        code: 2501,
        reason: Cow::Borrowed("subscription expired"),
    };
}

/// For logs and programs; clients are told code and message apart.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

/// Why a session cannot go on as asked: one answer, or the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// Answer the command so; the session goes on.
    Refuse(Refusal),
    /// End the session.
    Disconnect(Disconnect),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<Disconnect> for Rejection {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnect(disconnect)
    }
}
