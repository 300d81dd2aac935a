//! The JSON encoding: sections 2.2 and 2.3 of the Centrifuge client protocol.
//!
//! Payloads are embedded in place: they are checked to be JSON, never parsed into a tree. Messages
//! are assembled by concatenation.

mod decode;
mod encode;

pub use decode::Commands;
pub use encode::{push, reply};

/// A ping, and its pong.
pub const PING: &[u8] = b"{}";
