//! The Protobuf encoding: section 2.4 of the Centrifuge client protocol.
//!
//! Written by hand on both sides. Encoding has to know a length before the first byte, so that a
//! payload is copied once, straight behind the header of its frame; no generated struct of owned
//! strings can stand between. For decoding a generator would do, but what a stranger's bytes may
//! cost is then its decision; the format is small enough to be read here, and a generator's code
//! is worth more in the tests, as the second opinion.

mod decode;
mod encode;
mod read;
mod write;

pub use decode::{Commands, emulation_request};
pub use encode::{push, reply};
pub use write::{Varint, length_prefix};

#[cfg(test)]
mod tests;
