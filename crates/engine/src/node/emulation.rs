//! Commands that come in requests of their own, on their way to the session that they are for:
//! section 15.3 of the client protocol.

use campanile_protocol::command::EmulationRequest;

use super::{Control, Node};
use crate::shard::Secret;

/// The session is not on this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownNode;

impl std::fmt::Display for UnknownNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the session is on no node that is known here")
    }
}

impl std::error::Error for UnknownNode {}

impl Node {
    /// Hands a client's frame to its session, which answers over the connection of its own. Waits
    /// as long as the session's shard has no room for orders.
    ///
    /// What becomes of the frame is not told: that there is no such session neither, as the client
    /// knows the end of its session by the end of its stream.
    ///
    /// # Errors
    /// The session is on another node. This is the place to pass the frame on, once there are
    /// nodes that know each other.
    pub async fn emulate(&self, request: EmulationRequest) -> Result<(), UnknownNode> {
        if request.node != self.id {
            return Err(UnknownNode);
        }
        let secret = Secret::parse(&request.session);
        let shard = secret.map(|secret| usize::from(secret.shard()));
        if let (Some(secret), Some(shard)) = (secret, shard.and_then(|at| self.controls.get(at))) {
            // A shard that is gone has no sessions either.
            let _ = shard.send(Control::Emulate(secret, request.data)).await;
        }
        Ok(())
    }
}
