//! The contract between the nodes of a cluster and whatever carries their messages.

use std::fmt;
use std::sync::Arc;

use super::NodeId;
use crate::broker::{BoxFuture, BrokerError};

/// Who is to hear a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Recipient {
    /// Every node that listens now, the one that sends among them: that is how a node knows that its
    /// line is alive, in both directions.
    All,
    /// This one. Nobody hears what is for a node that is not there, which is no error.
    Node(NodeId),
}

/// Carries messages between nodes: at most once each, those of one sender to one [`Recipient`] in
/// their order. None is longer than [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX).
///
/// A bus is made with the identity of its node and a [`ClusterEar`], to which it brings what is for
/// all and what is for that node. It knows nothing of what it carries, need not repeat anything and
/// need not say that it was interrupted: the nodes notice who does not answer.
pub trait Bus: Send + Sync + 'static {
    /// Sends. Waits no longer than it takes to hand the message over; never for who hears it.
    ///
    /// # Errors
    /// [`BrokerError::Unreachable`] when there is no line, so that nobody hears it;
    /// [`BrokerError::Busy`] when there is no room for it. With any other error nobody knows.
    ///
    /// # Cancel safety
    /// A dropped future may have sent or not.
    fn tell(&self, to: Recipient, message: Vec<u8>) -> BoxFuture<'_, Result<(), BrokerError>>;
}

/// Where a [`Bus`] brings what it hears. Cheap to clone; may be called from any thread.
#[derive(Clone)]
pub struct ClusterEar(Arc<Hear>);

type Hear = dyn Fn(&[u8]) + Send + Sync;

impl ClusterEar {
    /// An ear that does this with each message. It must not wait.
    #[must_use]
    pub fn new(hear: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// A message has come. Never waits: one for which there is no room is dropped, and counted.
    /// Any bytes will do; those that are no message are passed over.
    pub fn hear(&self, message: &[u8]) {
        (self.0)(message);
    }
}

impl fmt::Debug for ClusterEar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterEar")
    }
}
