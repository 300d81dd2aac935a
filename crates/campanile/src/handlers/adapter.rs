//! From [`Handlers`], which one writes, to [`Application`], which the engine asks.

use std::sync::{Arc, OnceLock, Weak};

use campanile_engine::application::{Application, Arrival, Caller, Decision, Interests};
use campanile_engine::application::{Lapse, Renewal, Revision, Verdict};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::broker::BoxFuture;
use campanile_engine::node::{Node, SessionHandle};
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload};

use super::Handlers;

/// Handlers and the node on which their sessions live.
///
/// The node owns its application, and so is held weakly here. It is there whenever a question
/// comes, since that is where questions come from.
pub(crate) struct Adapter<H> {
    handlers: H,
    node: Arc<OnceLock<Weak<Node>>>,
}

impl<H> Adapter<H> {
    /// `node` is to be filled in before the first client comes.
    pub(crate) const fn new(handlers: H, node: Arc<OnceLock<Weak<Node>>>) -> Self {
        Self { handlers, node }
    }

    fn session(&self, caller: &Arc<Caller>) -> SessionHandle {
        let node = self.node.get().and_then(Weak::upgrade);
        SessionHandle::new(
            node.expect("questions come from the node"),
            Arc::clone(caller),
        )
    }
}

impl<H: Handlers> Application for Adapter<H> {
    fn interests(&self) -> Interests {
        self.handlers.interests()
    }

    fn connecting<'a>(&'a self, arrival: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        Box::pin(self.handlers.connecting(arrival))
    }

    fn connected<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.handlers.connected(&self.session(caller)).await })
    }

    fn refresh<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(async move { self.handlers.refresh(&self.session(caller)).await })
    }

    fn subscribe<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        wanted: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        Box::pin(async move { self.handlers.subscribe(&self.session(caller), wanted).await })
    }

    fn sub_refresh<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(async move {
            let session = self.session(caller);
            self.handlers.sub_refresh(&session, channel).await
        })
    }

    fn publish<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
        data: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        Box::pin(async move {
            let session = self.session(caller);
            self.handlers.publish(&session, channel, data).await
        })
    }

    fn rpc<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        method: &'a str,
        data: &'a [u8],
    ) -> BoxFuture<'a, Decision<Payload>> {
        Box::pin(async move { self.handlers.rpc(&self.session(caller), method, data).await })
    }

    fn message<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        data: &'a [u8],
    ) -> BoxFuture<'a, Result<Verdict<()>, Disconnect>> {
        Box::pin(async move { self.handlers.message(&self.session(caller), data).await })
    }

    fn presence<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Decision<()>> {
        Box::pin(async move { self.handlers.presence(&self.session(caller), channel).await })
    }

    fn history<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Decision<()>> {
        Box::pin(async move { self.handlers.history(&self.session(caller), channel).await })
    }

    fn disconnected<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        reason: &'a Disconnect,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let session = self.session(caller);
            self.handlers.disconnected(&session, reason).await;
        })
    }
}
