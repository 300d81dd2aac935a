//! What the server says unasked. Field meanings follow section 3.2 of the Centrifuge protocol.

use crate::reply::Expiry;
use crate::{ClientInfo, Epoch, Payload, Position, Publication, Unsubscribed};

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
}
