//! What an application decides about its clients, in its own code.
//!
//! [`Handlers`] is the engine's [`Application`](campanile_engine::application::Application) as one
//! writes it by hand: `async fn`s with defaults. How it becomes one is in `adapter`; that several
//! of them, and HTTP services beside them, are asked one after the other is in `applications`.

mod adapter;
mod applications;

use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderName};
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload};

pub use campanile_engine::application::{
    Arrival, Caller, Decision, Interests, Lapse, Renewal, Revision, Verdict,
};
pub use campanile_engine::authority::{Credentials, Grant, Overrides};
pub use campanile_engine::node::SessionHandle;

pub(crate) use adapter::Adapter;
pub(crate) use applications::Applications;

/// What the application says when it is asked about a client, and what it does when it is told.
///
/// Every method has a default that leaves its question to the configuration, so that one writes
/// what one wants to decide and nothing else. They are `async fn`s:
///
/// ```
/// use campanile::handlers::{Arrival, Credentials, Decision, Grant, Handlers, SessionHandle, Verdict};
/// use campanile::protocol::{Disconnect, Refusal, command::SubscribeRequest};
///
/// struct Chat;
///
/// impl Handlers for Chat {
///     async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
///         match arrival.request.token.strip_prefix("guest-") {
///             Some(name) => Ok(Verdict::Allowed(Credentials::of(name))),
///             None => Err(Disconnect::INVALID_TOKEN.into()),
///         }
///     }
///
///     async fn subscribe(&self, session: &SessionHandle, wanted: &SubscribeRequest) -> Decision<Grant> {
///         if wanted.channel.starts_with("room:") && !session.user().is_anonymous() {
///             Ok(Verdict::Allowed(Grant::as_configured()))
///         } else {
///             Err(Refusal::PERMISSION_DENIED.into())
///         }
///     }
/// }
/// ```
///
/// # Answers
/// A [`Decision`] is one of three: [`Verdict::Allowed`], whatever the configuration says;
/// [`Verdict::AsConfigured`], as if nobody had been asked; or an error, which is a
/// [`Refusal`](campanile_protocol::Refusal) of the one command (codes 400 to 1999 are the
/// application's) or a [`Disconnect`] (4000 to 4999).
///
/// # Time
/// Nothing but the session that a question is about waits for its answer, and with
/// `client.concurrency` above 1 not even that one with all of its commands. The futures run on the
/// worker that serves the connection: they may await anything, but a thread that they *block* is
/// one that serves nobody else meanwhile. Slow computations belong on
/// [`actix_web::web::block`] or a thread of their own. There is no time limit but that of the
/// session's life;
/// [`tokio::time::timeout`](https://docs.rs/tokio/latest/tokio/time/fn.timeout.html) makes one.
///
/// # Failures
/// A panic costs the one command, which is answered with 100, and no other. A future whose session
/// has ended is dropped at its next await, except that of [`disconnected`](Self::disconnected),
/// which runs to its end. Where 1,024 of these have not come to it, nobody is let in, and the log
/// says so.
///
/// Codes outside of their ranges, empty texts, and payloads that a client of the JSON protocol
/// cannot be told are mistakes of the application: the log has them, and the client gets 100 or
/// 3004.
///
/// # Compile errors that mean something else
/// "future cannot be sent between threads safely": something that is not `Send` (an `Rc`, a lock's
/// guard) lives across an await in that method.
///
/// ```compile_fail
/// # use campanile::handlers::{Handlers, SessionHandle};
/// # use std::sync::Mutex;
/// struct Counter(Mutex<u64>);
///
/// impl Handlers for Counter {
///     async fn connected(&self, session: &SessionHandle) {
///         let mut count = self.0.lock().unwrap();
///         *count += 1;
///         session.send(*b"welcome").await; // with the lock held
///     }
/// }
/// ```
pub trait Handlers: Send + Sync + 'static {
    /// What is asked at all; called once, when the server is made.
    ///
    /// Everything but the renewals: who names [`Interests::REFRESH`] or [`Interests::SUB_REFRESH`]
    /// takes these over from the clients, which then bring no new tokens any more.
    /// [`refresh`](Self::refresh) and [`sub_refresh`](Self::sub_refresh) are therefore not called
    /// unless they are named here. Name less to save the sessions' memory for [`Caller`] and the
    /// calls of defaults.
    fn interests(&self) -> Interests {
        Interests::ALL.without(Interests::REFRESH | Interests::SUB_REFRESH)
    }

    /// Which headers of a client's request are in [`Arrival::headers`]; called once. All others are
    /// forgotten when the connection is accepted.
    fn headers(&self) -> Vec<HeaderName> {
        vec![AUTHORIZATION, COOKIE]
    }

    /// Who is it, and may it come in? Asked before its token is looked at.
    ///
    /// # Errors
    /// It may not.
    fn connecting(&self, _: Arrival<'_>) -> impl Future<Output = Decision<Credentials>> + Send {
        as_configured()
    }

    /// The client has been told that it is connected. Comes before
    /// [`disconnected`](Self::disconnected), and is dropped with the session: what must be done
    /// belongs into a task of its own, with a clone of the handle.
    ///
    /// A plain socket is connected before it is in its channel.
    fn connected(&self, _: &SessionHandle) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The connection's credentials have run out: what then? Only asked with
    /// [`Interests::REFRESH`]. The connection goes on until the answer.
    ///
    /// # Errors
    /// It ends, or nobody can tell now and is asked again in a minute.
    fn refresh(&self, _: &SessionHandle) -> impl Future<Output = Result<Renewal, Lapse>> + Send {
        std::future::ready(Err(Lapse::Ended))
    }

    /// May it subscribe to this channel? Not asked when a subscription token or the channel's own
    /// list of users decides.
    ///
    /// Also asked about channels that a client wishes for when it connects, where its credentials
    /// consider wishes: the session is not live then, and if it never will be,
    /// [`disconnected`](Self::disconnected) is not told of it.
    ///
    /// An allowed subscription has what the namespace and the grant say of recovery, positioning,
    /// joins and leaves, whatever the client asks for. The grant's data is made before the
    /// subscription begins: what is published in between comes as a publication.
    ///
    /// # Errors
    /// It may not.
    fn subscribe(
        &self,
        _: &SessionHandle,
        _: &SubscribeRequest,
    ) -> impl Future<Output = Decision<Grant>> + Send {
        as_configured()
    }

    /// A subscription has run out: what then? Only asked with [`Interests::SUB_REFRESH`].
    ///
    /// # Errors
    /// As for [`refresh`](Self::refresh).
    fn sub_refresh(
        &self,
        _: &SessionHandle,
        _channel: &str,
    ) -> impl Future<Output = Result<Renewal, Lapse>> + Send {
        std::future::ready(Err(Lapse::Ended))
    }

    /// May it publish this? The answer may change what is published.
    ///
    /// An allowed publication needs neither a subscription nor a permission of the configuration:
    /// look at the channel before you allow.
    ///
    /// # Errors
    /// It may not.
    fn publish(
        &self,
        _: &SessionHandle,
        _channel: &str,
        _data: &[u8],
    ) -> impl Future<Output = Decision<Revision>> + Send {
        as_configured()
    }

    /// A call; the answer is what it returns. Without one there is no such method: 108. See
    /// [`payload`](crate::payload) for typed arguments and results.
    ///
    /// # Errors
    /// What the caller is told instead.
    fn rpc(
        &self,
        _: &SessionHandle,
        _method: &str,
        _data: &[u8],
    ) -> impl Future<Output = Decision<Payload>> + Send {
        as_configured()
    }

    /// A message that wants no answer (the SDKs' `send`). As configured, there are none, and the
    /// connection ends with [`Disconnect::NOT_AVAILABLE`].
    ///
    /// # Errors
    /// The connection is to end.
    fn message(
        &self,
        _: &SessionHandle,
        _data: &[u8],
    ) -> impl Future<Output = Result<Verdict<()>, Disconnect>> + Send {
        std::future::ready(Ok(Verdict::AsConfigured))
    }

    /// May it know who is in this channel, or how many?
    ///
    /// # Errors
    /// It may not.
    fn presence(
        &self,
        _: &SessionHandle,
        _channel: &str,
    ) -> impl Future<Output = Decision<()>> + Send {
        as_configured()
    }

    /// May it read what was published in this channel?
    ///
    /// # Errors
    /// It may not.
    fn history(
        &self,
        _: &SessionHandle,
        _channel: &str,
    ) -> impl Future<Output = Decision<()>> + Send {
        as_configured()
    }

    /// The session is over, and with it its subscriptions. [`Disconnect::CONNECTION_CLOSED`] says
    /// that it was the client that went. Comes once for each session that was connected; a server
    /// that stops waits for it.
    fn disconnected(&self, _: &SessionHandle, _: &Disconnect) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

fn as_configured<T: Send>() -> impl Future<Output = Decision<T>> + Send {
    std::future::ready(Ok(Verdict::AsConfigured))
}
