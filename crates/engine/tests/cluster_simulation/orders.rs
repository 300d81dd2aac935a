//! Orders about a user, given at any node: where they were carried out, they were.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use campanile_engine::node::Node;
use campanile_engine::shard::Target;
use campanile_engine::time::Moment;
use campanile_protocol::{Disconnect, Refusal};
use futures_util::FutureExt as _;

type Outcome = Pin<Box<dyn Future<Output = Result<usize, Refusal>>>>;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Disconnect,
    Unsubscribe(&'static str),
}

/// An order that is being carried out.
pub(crate) struct Order {
    pub(crate) deed: Deed,
    /// Whose.
    pub(crate) client: usize,
    /// The client's connection and its subscription as they were when the order was given.
    pub(crate) session: u64,
    /// When it was given.
    pub(crate) at: Moment,
    /// The node that it was given to.
    pub(crate) node: usize,
    outcome: Outcome,
}

impl Order {
    pub(crate) fn give(
        deed: Deed,
        client: usize,
        session: u64,
        at: Moment,
        (node, to): (usize, Arc<Node>),
    ) -> Self {
        let outcome: Outcome = Box::pin(async move {
            let target = Target::user(format!("user-{client}"));
            match deed {
                Deed::Disconnect => to.disconnect(target, Disconnect::FORCE_RECONNECT).await,
                Deed::Unsubscribe(channel) => to.unsubscribe(target, Some(channel)).await,
            }
        });
        Self {
            deed,
            client,
            session,
            at,
            node,
            outcome,
        }
    }

    /// Whether it was carried out wherever it may have been of interest, once that is known.
    pub(crate) fn poll(&mut self) -> Option<bool> {
        let outcome = self.outcome.as_mut().now_or_never()?;
        Some(outcome.is_ok())
    }
}
