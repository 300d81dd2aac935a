//! What the server says unasked. Field meanings follow section 3.2 of the Centrifuge protocol.

use crate::reply::{ConnectResult, Expiry};
use crate::{ClientInfo, Disconnect, Epoch, Payload, Position, Publication, Unsubscribed};

/// One message that answers no command.
#[derive(Clone, PartialEq, Debug)]
pub enum Push<'a> {
    /// Something was published.
    Publication {
        /// Where.
        channel: &'a str,
        /// What.
        publication: &'a Publication,
        /// The stream's epoch. Only the first publication of a stream tells it, for clients that
        /// subscribed before there was anything.
        epoch: Epoch,
        /// How the payload is told.
        form: Form<'a>,
    },
    /// A session subscribed.
    Join {
        /// Where.
        channel: &'a str,
        /// Who.
        info: &'a ClientInfo,
    },
    /// A session's subscription ended.
    Leave {
        /// Where.
        channel: &'a str,
        /// Who.
        info: &'a ClientInfo,
    },
    /// A subscription of this session was ended by the server.
    Unsubscribe {
        /// Which; never empty.
        channel: &'a str,
        /// Why.
        unsubscribed: &'a Unsubscribed,
    },
    /// A server-side subscription of this session began.
    Subscribe {
        /// Which.
        channel: &'a str,
        /// Whether a later connection may recover.
        recoverable: bool,
        /// Whether gaps are noticed.
        positioned: bool,
        /// Where it stands, when it has a position.
        position: Option<Position>,
        /// Bytes of the application.
        data: Option<&'a Payload>,
    },
    /// A message of the application to this session.
    Message {
        /// The message.
        data: &'a Payload,
    },
    /// The connection's expiry changed.
    Refresh(Expiry),
    /// The session is live: what a reply says to clients that can be answered.
    Connect(&'a ConnectResult),
    /// The session ends, where the transport has no word of its own for that.
    Disconnect(&'a Disconnect),
}

/// How a publication's payload is told to a subscriber: section 10 of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form<'a> {
    /// As it is.
    Plain,
    /// As it is, to a subscriber that takes deltas: JSON has a string there, not a value.
    Whole,
    /// As the difference from the payload before it, where that can be carried and is shorter;
    /// otherwise as [`Form::Whole`].
    Delta {
        /// The payload of the publication before it in the channel.
        previous: &'a [u8],
    },
}
