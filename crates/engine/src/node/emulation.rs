//! Commands that come in requests of their own, on their way to the session that they are for:
//! section 15.3 of the client protocol.

use campanile_protocol::Payload;
use campanile_protocol::command::EmulationRequest;

use super::{Control, Node};
use crate::cluster::NodeId;
use crate::shard::Secret;

/// Why a frame did not get to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stray {
    /// The session is on no node that is known here.
    UnknownNode,
    /// The session is on another node, to which there is no way now.
    NoWay,
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownNode => "the session is on no node that is known here",
            Self::NoWay => "the session is on a node that cannot be reached",
        })
    }
}

impl std::error::Error for Stray {}

impl Node {
    /// Hands a client's frame to its session, which answers over the connection of its own. Waits
    /// as long as the session's shard has no room for orders. A frame for a session of another node
    /// is passed on, at most once.
    ///
    /// What becomes of the frame is not told: that there is no such session neither, as the client
    /// knows the end of its session by the end of its stream.
    ///
    /// # Errors
    /// The frame did not get there.
    pub async fn emulate(&self, request: EmulationRequest) -> Result<(), Stray> {
        let secret = Secret::parse(&request.session);
        if request.node == self.id {
            if let Some(secret) = secret {
                self.bring_frame(secret, request.data).await;
            }
            return Ok(());
        }
        let node = NodeId::parse(&request.node).ok_or(Stray::UnknownNode)?;
        let cluster = self.cluster().filter(|cluster| cluster.knows(node));
        let cluster = cluster.ok_or(Stray::UnknownNode)?;
        let Some(secret) = secret else { return Ok(()) };
        let passed = cluster.pass_on(node, secret, &request.data).await;
        passed.map_err(|_| Stray::NoWay)
    }

    /// Brings a frame to the session of this node with this secret.
    pub(super) async fn bring_frame(&self, secret: Secret, frame: Payload) {
        if let Some(shard) = self.controls.get(usize::from(secret.shard())) {
            // A shard that is gone has no sessions either.
            let _ = shard.send(Control::Emulate(secret, frame)).await;
        }
    }
}
