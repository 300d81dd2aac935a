//! WebSocket frames (RFC 6455): bytes to messages, messages to bytes, and the accept key of the
//! opening handshake.
//!
//! It owns the framing rules: masking, fragmentation, control frames, UTF-8 of text, close codes and
//! the limits that keep a hostile peer from growing memory. It refuses to know sockets, timers and
//! what a message means; answering a ping or a close is the transport's decision.
//!
//! [`Reader`] is pulled: one event a call, so messages that came before a bad frame are delivered
//! before its error is. What arrived whole is a slice of the caller's own buffer; only the bytes of
//! an incomplete message are kept, and an idle reader owns no memory.
//!
//! One extension is known, permessage-deflate: see [`deflate`]. A reader that is given an
//! [`Inflater`](deflate::Inflater) speaks it.

mod close;
pub mod deflate;
mod error;
mod handshake;
mod header;
mod mask;
mod message;
mod reader;
mod utf8;
mod writer;

pub use close::{CloseFrame, close_code_is_valid, encode_close};
pub use error::ProtocolError;
pub use handshake::accept_key;
pub use header::HeaderBytes;
pub use reader::{Event, Reader};
pub use writer::{encode, encode_deflated, encode_masked, header};

/// Whose reader it is, which decides the masking it insists on (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads what clients send: every frame must be masked.
    Server,
    /// Reads what a server sends: no frame may be masked.
    Client,
}

/// What a frame carries (RFC 6455 section 5.2); the discriminant is the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message begun by a text or binary frame.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or a heartbeat nobody asked for.
    Pong = 0xA,
}

impl Opcode {
    const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Control frames are short, never fragmented, and may come between the fragments of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// What one incoming message may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of a message in bytes, summed over its fragments. Control frames do not count;
    /// their own bound is 125 bytes.
    pub message_bytes_max: usize,
    /// Largest size a compressed message may have when it is inflated.
    pub inflated_bytes_max: usize,
    /// Most frames one message may be cut into. Bounds empty fragments, which cost no bytes.
    pub fragments_max: u32,
}

impl Limits {
    /// Messages of so many bytes, compressed or not, in fragments of 64 bytes or more: small ones may
    /// come in 1,024 of any size.
    #[must_use]
    pub fn of_messages(bytes_max: usize) -> Self {
        Self {
            message_bytes_max: bytes_max,
            inflated_bytes_max: bytes_max,
            fragments_max: u32::try_from(bytes_max / 64).map_or(u32::MAX, |most| most.max(1_024)),
        }
    }
}

impl Default for Limits {
    /// 64 KiB, the message size Centrifugo accepts by default, and so 1,024 fragments: empty ones end
    /// after about 6 KB.
    fn default() -> Self {
        Self::of_messages(65_536)
    }
}
