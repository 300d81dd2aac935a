//! What a session wants to happen, in the order given.

use std::sync::Arc;

use campanile_protocol::reply::{ConnectResult, Expiry};
use campanile_protocol::{Disconnect, Payload, Position, Publication, Reply, Unsubscribed, UserId};

use crate::ask::{Ask, Tell, Ticket};
use crate::channel::{ChannelName, TagsFilter};

/// Something that must happen, in the order given.
#[derive(Debug)]
pub enum Effect {
    /// Answer a command.
    Reply(Reply),
    /// Say something unasked.
    Push(Notice),
    /// Ping the client.
    Ping,
    /// Find out, and come back with the answer.
    Ask(Ticket, Ask),
    /// Have something done.
    Tell(Tell),
    /// The session now belongs to this user.
    Enroll(UserId),
    /// Keep what arrives in this channel until it is known where the session stands.
    Await(ChannelName),
    /// Deliver to this session from now on, beginning behind its position.
    Enter(ChannelName, Membership),
    /// Deliver nothing more of this channel.
    Leave(ChannelName),
    /// End the connection.
    Close(Disconnect),
}

/// How a session takes part in a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// What the session has been told of already.
    pub position: Position,
    /// Whether a gap must not pass unnoticed.
    pub is_positioned: bool,
    /// Whether it is told who joins and leaves.
    pub wants_attendance: bool,
    /// Whether of what came while it joined only the latest matters; never together with deltas.
    pub wants_latest_only: bool,
    /// Which publications it wants; all without one. Never together with deltas.
    pub filter: Option<Arc<TagsFilter>>,
    /// In which form it is told of publications.
    pub deltas: Deltas,
}

/// Whether a client is told differences between payloads: section 10 of the client protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deltas {
    /// It has not asked for them: payloads come as they are.
    #[default]
    Off,
    /// When it has been told of a whole payload.
    AfterWhole,
    /// At once: what it was told last is the publication at its position.
    Ready,
}

/// A push that concerns this session alone.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// The session is live, for clients that no command can be answered to.
    Connect(Box<ConnectResult>),
    /// A subscription was ended.
    Unsubscribe(ChannelName, Unsubscribed),
    /// A server-side subscription began.
    Subscribe {
        /// Which.
        channel: ChannelName,
        /// Whether a later connection may recover.
        recoverable: bool,
        /// Its position, when gaps are watched for.
        position: Option<Position>,
        /// Bytes of the application.
        data: Option<Payload>,
    },
    /// Something that was published while the session was not yet subscribed.
    Publication(ChannelName, Arc<Publication>),
    /// A message of the application.
    Message(Payload),
    /// The connection's expiry changed.
    Refresh(Expiry),
}
