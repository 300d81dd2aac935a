//! What the application's own code decides about its clients, and what it is told of them.
//!
//! The engine asks, and takes the answer for what the configuration would have said otherwise. It
//! refuses to know how the application is reached: a trait implemented in the same program and an
//! HTTP service look the same from here.
//!
//! Whoever implements [`Application`] need not fear for others. An answer that takes long keeps
//! only the session waiting that it is for, and not even that one where `client.concurrency` lets
//! more of its commands go on. A panic costs the one question. A question whose session has ended
//! is dropped: its future is not polled any more. What the engine does not do is to lose its
//! patience: a time limit is up to the implementation. And nothing may block the thread, which
//! serves other connections too.

mod interests;

use std::future::ready;
use std::sync::Arc;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::{ClientId, Disconnect, Payload, Tags, UserId, Wire};

use crate::authority::{Credentials, Grant, Handshake};
use crate::broker::{BoxFuture, Version};
use crate::headers::Headers;

pub use interests::Interests;

/// A client that wants to connect.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Arrival<'a> {
    /// The identity that its session will have.
    pub client: ClientId,
    /// Its transport.
    pub wire: Wire,
    /// What it says. Its emulated headers are below, as far as they are wanted.
    pub request: &'a ConnectRequest,
    /// What was known before it said anything.
    pub handshake: Option<&'a Handshake>,
    /// Its headers, as far as somebody wants to know them.
    pub headers: &'a Headers,
}

/// A client that is connected, and about whom there is a question.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Caller {
    /// Its session.
    pub client: ClientId,
    /// Its user; anonymous when empty.
    pub user: UserId,
    /// Its transport.
    pub wire: Wire,
    /// The client library.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// What the application keeps about the connection; clients never see it.
    pub meta: Option<Payload>,
    /// What [`Arrival::headers`] were, where there were any and
    /// [`keeps_headers`](crate::settings::Settings::keeps_headers) is set.
    pub headers: Option<Arc<Headers>>,
}

/// Who decides a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict<T> {
    /// The configuration, as if nobody had been asked.
    AsConfigured,
    /// The application, and it says yes, whatever the configuration would have said.
    Allowed(T),
}

/// A verdict, or the application's no: an error for the client, or the end of its connection.
///
/// Errors of applications have codes from 400 to 1999, disconnects from 4000 to 4999; those below,
/// from 100 and from 3000 on, mean to clients what the protocol says. Any other code, or no text,
/// is a mistake, and so is a payload that is no JSON where the client speaks JSON: the log has it,
/// and the client is told [`Refusal::INTERNAL`](campanile_protocol::Refusal::INTERNAL) or
/// [`Disconnect::INTERNAL`].
pub type Decision<T> = Result<Verdict<T>, Rejection>;

/// How an allowed publication differs from what the client sent; by default it does not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Revision {
    /// The payload, when it is another one.
    pub data: Option<Payload>,
    /// Labels.
    pub tags: Option<Box<Tags>>,
    /// Whether it stays out of the channel's history.
    pub skips_history: bool,
    /// Makes a repeat within five minutes a no-operation.
    pub idempotency_key: Option<Box<str>>,
    /// Makes an older state a no-operation.
    pub version: Option<Version>,
    /// Whether subscribers that take deltas may be told the difference from the publication before
    /// it. The option `delta_publish` of the namespace says nothing about allowed publications.
    pub wants_delta: bool,
}

impl Revision {
    /// What the client sent.
    #[must_use]
    pub fn unchanged() -> Self {
        Self::default()
    }

    /// This payload instead.
    #[must_use]
    pub fn of(data: Payload) -> Self {
        Self {
            data: Some(data),
            ..Self::default()
        }
    }
}

/// New life for a connection or a subscription; by default without an end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct Renewal {
    /// When it ends, in Unix seconds; never, without a value.
    pub expire_at: Option<i64>,
    /// What it tells others about itself, when that changes.
    pub info: Option<Payload>,
    /// What the application keeps about the connection, when that changes. Nothing is kept about
    /// subscriptions.
    pub meta: Option<Payload>,
}

impl Renewal {
    /// Until then, in Unix seconds.
    #[must_use]
    pub fn until(unix: i64) -> Self {
        Self {
            expire_at: Some(unix),
            ..Self::default()
        }
    }
}

/// Why something is not renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lapse {
    /// It is to end.
    Ended,
    /// Nobody can tell at the moment. It goes on for a minute, and is then asked about again.
    Unavailable,
}

/// Decides what clients may do: server API, section 6.
///
/// Every method but one has a default, which leaves its question to the configuration. Which
/// questions are asked at all, [`Application::interests`] says.
pub trait Application: Send + Sync + 'static {
    /// What it wants to be asked and told; the same whenever it is called. In which namespaces that
    /// is about channels, their options say.
    fn interests(&self) -> Interests;

    /// Who is it? Asked before tokens are looked at, which are the configuration's: an application
    /// that decides only about clients without one leaves the others alone.
    ///
    /// Channels of [`ConnectRequest::subs`] that are not among the credentials' are considered only
    /// if these say so: see [`Application::wish`].
    fn connecting<'a>(&'a self, _: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        as_configured()
    }

    /// The client has been told that it is connected.
    ///
    /// Comes before [`Application::disconnected`] of the same session, and in no order with
    /// questions. Is dropped like a question when the session has ended, so that it may take as
    /// long as that lives; what has to be done in any case belongs into a task of its own.
    fn connected<'a>(&'a self, _: &'a Arc<Caller>) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// The credentials of the connection have run out. What then? It goes on until the answer.
    ///
    /// # Errors
    /// It is not renewed, now or at all.
    fn refresh<'a>(&'a self, _: &'a Arc<Caller>) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(ready(Err(Lapse::Ended)))
    }

    /// May it subscribe? Not asked where a token or the channel's own list of users decides.
    ///
    /// Of what the client asks for in an allowed subscription, recovery and positioning and joins
    /// and leaves are not considered; that is up to the namespace and to the grant.
    fn subscribe<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        as_configured()
    }

    /// May it have this channel, for which it wishes when it connects, as clients do that have no
    /// other way to ask? By default it may if it may subscribe to it. Asked where
    /// [`Application::subscribe`] is, with the name in [`SubscribeRequest::channel`], of all of
    /// these channels at the same time.
    ///
    /// What is allowed becomes a server-side subscription; what is refused is passed over, unless
    /// the refusal is temporary, which is one of the whole connection.
    ///
    /// The session is not live yet: nothing can be sent to it, and should it never be, neither
    /// [`Application::connected`] nor [`Application::disconnected`] tells of it.
    fn wish<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        request: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        self.subscribe(caller, request)
    }

    /// The subscription to this channel has run out. What then? It goes on until the answer.
    ///
    /// # Errors
    /// It is not renewed, now or at all.
    fn sub_refresh<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _channel: &'a str,
    ) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(ready(Err(Lapse::Ended)))
    }

    /// May it publish this payload?
    fn publish<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _channel: &'a str,
        _payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        as_configured()
    }

    /// A call; what it returns is for the application to say. As configured, there are none.
    fn rpc<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _method: &'a str,
        _payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Payload>> {
        as_configured()
    }

    /// A message, which has no answer. As configured, there are none, and the connection ends with
    /// [`Disconnect::NOT_AVAILABLE`].
    ///
    /// # Errors
    /// The connection is to end.
    fn message<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _payload: &'a [u8],
    ) -> BoxFuture<'a, Result<Verdict<()>, Disconnect>> {
        Box::pin(ready(Ok(Verdict::AsConfigured)))
    }

    /// May it know who is in this channel, or how many?
    fn presence<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _channel: &'a str,
    ) -> BoxFuture<'a, Decision<()>> {
        as_configured()
    }

    /// May it read what was published in this channel?
    fn history<'a>(&'a self, _: &'a Arc<Caller>, _channel: &'a str) -> BoxFuture<'a, Decision<()>> {
        as_configured()
    }

    /// The session is over, for this reason; [`Disconnect::CONNECTION_CLOSED`] when it was the
    /// client that went. Comes once for every session that was connected, as long as the process
    /// lives, and is never dropped: while [`NOTICES_MAX`](crate::limits::NOTICES_MAX) of these have
    /// not returned, nobody is let in.
    fn disconnected<'a>(&'a self, _: &'a Arc<Caller>, _: &'a Disconnect) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }
}

fn as_configured<T: Send + 'static>() -> BoxFuture<'static, Decision<T>> {
    Box::pin(ready(Ok(Verdict::AsConfigured)))
}

/// An application that has nothing to say: the configuration decides alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

impl Application for NoApplication {
    fn interests(&self) -> Interests {
        Interests::NONE
    }
}
