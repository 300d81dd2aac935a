//! What a session has asked and not been answered yet: what it needs to go on from there.

use std::sync::Arc;

use campanile_protocol::Payload;
use campanile_protocol::command::{ConnectRequest, HistoryRequest, SubscribeRequest};

use super::plan::Plan;
use crate::ask::{Ticket, Wanted};
use crate::channel::ChannelName;
use crate::headers::Headers;

/// A question that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) ticket: Ticket,
    pub(super) pending: Pending,
    /// Ends the asking when the question is given up.
    pub(super) _wanted: Option<Wanted>,
}

/// What to do with an answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connect {
        id: u32,
        request: Box<ConnectRequest>,
        /// Where they are kept.
        headers: Option<Arc<Headers>>,
    },
    ConnectJoins {
        id: u32,
        plans: Vec<Plan>,
        /// What the client is told with the result.
        data: Option<Payload>,
    },
    /// What the client wishes for is the application's to grant.
    Wishes {
        id: u32,
        /// What it has anyway.
        plans: Vec<Plan>,
        data: Option<Payload>,
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
    /// These are the application's to answer.
    Subscribe {
        id: u32,
    },
    Publish {
        id: u32,
    },
    Presence {
        id: u32,
        channel: ChannelName,
        counts_only: bool,
    },
    History {
        id: u32,
        request: Box<HistoryRequest>,
    },
    Rpc {
        id: u32,
    },
    Message,
    Connected,
    Renewal,
    SubRenewal(ChannelName),
    Reply {
        id: u32,
    },
}

impl Pending {
    /// Whether later commands of the client wait for it.
    pub(super) fn holds_commands(&self) -> bool {
        !matches!(
            self,
            Self::OrderedJoin { .. } | Self::Connected | Self::Renewal | Self::SubRenewal(_)
        )
    }

    /// Whether it brings something about that has to be undone when nobody wants it any more.
    pub(super) fn is_join(&self) -> bool {
        matches!(
            self,
            Self::ConnectJoins { .. } | Self::Join { .. } | Self::OrderedJoin { .. }
        )
    }
}
