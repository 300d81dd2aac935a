//! Live sessions, as the application holds them.

use std::fmt;
use std::sync::Arc;

use campanile_protocol::{Disconnect, Payload, Position, Refusal, Unsubscribed, UserId, Wire};

use super::tellable::tellable_end;
use super::{Control, Node};
use crate::application::Caller;
use crate::authority::Grant;
use crate::session::Order;
use crate::shard::Target;

/// One session of a user, who may have several: a device, a tab.
///
/// Cheap to clone, usable from any thread. It keeps neither the session nor its connection alive:
/// what is done to a session that has ended is done to nobody, and says so. What it tells about the
/// session was true when the handle was made.
#[derive(Clone)]
pub struct SessionHandle {
    node: Arc<Node>,
    caller: Arc<Caller>,
}

impl SessionHandle {
    /// The session of `caller`, which lives on `node`.
    #[must_use]
    pub const fn new(node: Arc<Node>, caller: Arc<Caller>) -> Self {
        Self { node, caller }
    }

    /// The node on which it lives.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The session's identity, unique over all nodes.
    #[must_use]
    pub fn client(&self) -> campanile_protocol::ClientId {
        self.caller.client
    }

    /// Its user; anonymous when empty.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.caller.user
    }

    /// Its transport.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.caller.wire
    }

    /// What the application keeps about the connection; clients never see it.
    #[must_use]
    pub fn meta(&self) -> Option<&Payload> {
        self.caller.meta.as_ref()
    }

    /// Everything that is known about it.
    #[must_use]
    pub const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Sends a message outside of any channel, at most once. Returns whether the session was there;
    /// that its client receives it nobody can promise.
    ///
    /// # Cancel safety
    /// A dropped future may have sent it or not.
    pub async fn send(&self, data: impl Into<Payload>) -> bool {
        self.order(Order::Message(data.into())).await
    }

    /// Subscribes it to a channel, server-side; nothing happens if it is subscribed already. With a
    /// position it is brought what it missed since.
    ///
    /// Returns whether the session was there; its subscription may begin a moment later.
    ///
    /// # Errors
    /// 102 without such a namespace.
    ///
    /// # Cancel safety
    /// A dropped future may have subscribed it or not.
    pub async fn subscribe(
        &self,
        channel: &str,
        grant: Grant,
        recover: Option<Position>,
    ) -> Result<bool, Refusal> {
        let (channel, _) = self.node.resolve(channel)?;
        let order = Order::Subscribe {
            channel,
            grant,
            recover,
        };
        Ok(self.order(order).await)
    }

    /// Ends its subscription to a channel, whoever began it. Returns whether the session was there.
    ///
    /// # Errors
    /// 102 without such a namespace.
    ///
    /// # Cancel safety
    /// A dropped future may have ended it or not.
    pub async fn unsubscribe(&self, channel: &str) -> Result<bool, Refusal> {
        let (channel, _) = self.node.resolve(channel)?;
        let order = Order::Unsubscribe {
            channel: Some(channel),
            unsubscribed: Unsubscribed::SERVER,
        };
        Ok(self.order(order).await)
    }

    /// Ends it, as [`Node::disconnect`] does. Returns whether it was there.
    ///
    /// # Cancel safety
    /// A dropped future may have ended it or not.
    pub async fn disconnect(&self, disconnect: Disconnect) -> bool {
        let order = Order::Disconnect(tellable_end(disconnect));
        self.order(order).await
    }

    /// The session can be on no other node: these are not asked.
    async fn order(&self, order: Order) -> bool {
        let target = Target::User {
            user: self.caller.user.as_str().to_owned(),
            only: Some(self.caller.client),
            spared: Vec::new(),
        };
        self.node.order(target, order).await > 0
    }
}

/// Without the node, which has no end.
impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.caller).finish()
    }
}

impl Node {
    /// The live sessions of a user on this node, in no order; those of the anonymous user for the empty one.
    ///
    /// Every shard is asked. What comes and goes meanwhile may be among them or not.
    pub async fn sessions(self: &Arc<Self>, user: &str) -> Vec<SessionHandle> {
        self.handles(Target::user(user)).await
    }

    /// All live sessions of this node, in no order: memory and time for each of them.
    pub async fn all_sessions(self: &Arc<Self>) -> Vec<SessionHandle> {
        self.handles(Target::Everybody).await
    }

    async fn handles(self: &Arc<Self>, target: Target) -> Vec<SessionHandle> {
        let parts = self
            .every_shard(|done| Control::Sessions(target.clone(), done))
            .await;
        let callers = parts.into_iter().flatten();
        callers
            .map(|caller| SessionHandle::new(Arc::clone(self), caller))
            .collect()
    }
}
