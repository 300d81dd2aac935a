//! What differs between clients that can say everything and those that cannot: sections 15 and 16
//! of the client protocol.

use campanile_protocol::wire::Manner;
use campanile_protocol::{Disconnect, Refusal};

use super::{Session, State};

impl Session {
    /// What the client can say.
    pub(super) const fn manner(&self) -> Manner {
        self.wire.manner()
    }

    /// Whether what the client says are commands; from others a pong is only a pong.
    pub(super) const fn speaks_commands(&self) -> bool {
        matches!(self.manner(), Manner::Bidirectional | Manner::Emulated)
    }

    /// Whether nothing more that the client says is of interest: one that can only say who it is
    /// has said so.
    pub(super) fn has_said_everything(&self) -> bool {
        self.manner() == Manner::Unidirectional && self.state != State::Opened
    }
}

/// How a session ends whose connect command was refused, where no reply can say so.
pub(super) const fn unanswerable(refusal: &Refusal) -> Disconnect {
    match refusal.code {
        109 | 110 => Disconnect::EXPIRED,
        111 => Disconnect::TOO_MANY_REQUESTS,
        103 => Disconnect::PERMISSION_DENIED,
        _ => Disconnect::INTERNAL,
    }
}
