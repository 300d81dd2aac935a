//! The JSON encoding: sections 2.2 and 2.3 of the Centrifuge client protocol.
//!
//! Payloads are embedded in place: they are checked to be JSON, never parsed into a tree. Messages
//! are assembled by concatenation.

mod decode;
mod encode;

pub use decode::{Commands, connect_request, emulation_request};
pub use encode::{bare_push, push, reply};

/// A ping, and its pong.
pub const PING: &[u8] = b"{}";

/// Whether `bytes` are one JSON text.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok()
}
