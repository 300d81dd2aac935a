//! Who decides who somebody is. The engine receives verified credentials and never sees how they
//! were verified: tokens, keys and their algorithms are the program's.

// Addresses without sockets.
use core::net::IpAddr;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::ConnectRequest;
use campanile_protocol::{ClientId, Payload, UserId};

use crate::broker::BoxFuture;
use crate::headers::Headers;

/// Who is behind a connection, and what comes with that: made by [`Credentials::of`].
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Credentials {
    /// The user; anonymous when empty.
    pub user: UserId,
    /// When they run out, in Unix seconds.
    pub expire_at: Option<i64>,
    /// What the connection tells others about itself.
    pub info: Option<Payload>,
    /// What the application keeps about the connection; clients never see it.
    pub meta: Option<Payload>,
    /// What the client is told in the connect result.
    pub data: Option<Payload>,
    /// Server-side subscriptions.
    pub subscriptions: Vec<(String, Grant)>,
    /// Whether a client's own list of channels is considered, as for tokens and anonymous sessions.
    pub considers_wishes: bool,
}

impl Credentials {
    /// Credentials of this user, with nothing that comes with them: they never run out.
    #[must_use]
    pub fn of(user: &str) -> Self {
        Self {
            user: UserId::new(user),
            expire_at: None,
            info: None,
            meta: None,
            data: None,
            subscriptions: Vec::new(),
            considers_wishes: true,
        }
    }

    /// The same with one more server-side subscription.
    #[must_use]
    pub fn subscribed_to(mut self, channel: impl Into<String>, grant: Grant) -> Self {
        self.subscriptions.push((channel.into(), grant));
        self
    }
}

/// Leave to subscribe, and what comes with it; the default is nothing more than that leave.
#[derive(Clone, PartialEq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Grant {
    /// What the subscription tells others about itself.
    pub info: Option<Payload>,
    /// What the client is told in the subscribe result.
    pub data: Option<Payload>,
    /// When it runs out, in Unix seconds.
    pub expire_at: Option<i64>,
    /// Whether the channel's latest publication comes with the subscription, where the namespace
    /// recovers in cache mode, whatever the client asks for.
    pub recovers_cache: bool,
    /// Options of the namespace that are different for this subscription.
    pub overrides: Overrides,
}

impl Grant {
    /// Leave to subscribe with everything as it is configured for the channel.
    #[must_use]
    pub fn as_configured() -> Self {
        Self::default()
    }

    /// The same, and this is what the client is told when it is subscribed.
    #[must_use]
    pub fn with_data(self, data: Payload) -> Self {
        let data = Some(data);
        Self { data, ..self }
    }
}

/// Namespace options replaced for one subscription, where there is a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    /// Keeps presence.
    pub presence: Option<bool>,
    /// Emits join and leave.
    pub join_leave: Option<bool>,
    /// Delivers join and leave.
    pub force_push_join_leave: Option<bool>,
    /// Watches for gaps.
    pub force_positioning: Option<bool>,
    /// Recovers.
    pub force_recovery: Option<bool>,
}

/// Leave to subscribe that a token carries, with whom and what it is for.
#[derive(Clone, PartialEq, Debug)]
pub struct TokenGrant {
    /// The channel it is for.
    pub channel: String,
    /// The user it is for.
    pub user: String,
    /// The session it is for, when it names one.
    pub client: Option<ClientId>,
    /// What it grants.
    pub grant: Grant,
}

/// Why a token grants nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenRefusal {
    /// It is past its time, or before.
    Expired,
    /// It is not one of ours, or not for this.
    Invalid,
    /// Nobody can tell at the moment: what is needed to verify it cannot be had. The client may try
    /// the same token again.
    Unavailable,
}

/// What is known of a client before its first word, from the request that brought it here.
///
/// Transports make one where there is anything to know; it lasts until the connect command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Handshake {
    /// Who the proxy in front says it is; the empty user is never said.
    pub user: Option<UserId>,
    /// The headers of that request that somebody wants to know. With the connect command they go on
    /// to [`Arrival::headers`](crate::application::Arrival::headers), and none are left here.
    pub headers: Headers,
    /// Where its TCP connection came from, where somebody wants to know: the client's address, or
    /// that of the proxy in front.
    pub peer: Option<IpAddr>,
}

/// Decides who somebody is.
pub trait Authority: Send + Sync + 'static {
    /// Verifies what a connect command and the connection's handshake bring: section 6.1 of the
    /// client protocol.
    ///
    /// # Errors
    /// The answer to give, or the code to end the session with.
    fn connect<'a>(
        &'a self,
        request: &'a ConnectRequest,
        handshake: Option<&'a Handshake>,
    ) -> BoxFuture<'a, Result<Credentials, Rejection>>;

    /// Verifies the connection token of a refresh command.
    ///
    /// # Errors
    /// The token is no good.
    fn refresh<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Credentials, TokenRefusal>>;

    /// Verifies a subscription token.
    ///
    /// # Errors
    /// The token is no good.
    fn subscribe<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenGrant, TokenRefusal>>;
}
