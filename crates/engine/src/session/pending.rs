//! What a session has asked and not been answered yet: what it needs to go on from there.

use campanile_protocol::command::{ConnectRequest, SubscribeRequest};

use super::plan::Plan;

/// What to do with an answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connect {
        id: u32,
        request: Box<ConnectRequest>,
    },
    ConnectJoins {
        id: u32,
        plans: Vec<Plan>,
    },
    Refresh {
        id: u32,
    },
    Grant {
        id: u32,
        request: Box<SubscribeRequest>,
    },
    Join {
        id: u32,
        plan: Box<Plan>,
    },
    OrderedJoin {
        plan: Box<Plan>,
    },
    SubRefresh {
        id: u32,
        channel: String,
    },
    Reply {
        id: u32,
    },
}

impl Pending {
    /// Whether later commands of the client wait for it.
    pub(super) fn holds_commands(&self) -> bool {
        !matches!(self, Self::OrderedJoin { .. })
    }

    /// Whether it brings something about that has to be undone when nobody wants it any more.
    pub(super) fn is_join(&self) -> bool {
        matches!(
            self,
            Self::ConnectJoins { .. } | Self::Join { .. } | Self::OrderedJoin { .. }
        )
    }
}
