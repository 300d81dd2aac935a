//! The Protobuf encoding: section 2.4 of the Centrifuge client protocol.

use crate::codec::DecodeError;
use crate::{Command, Push, Reply};

/// The commands of one frame, in order.
#[derive(Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
}

impl<'a> Commands<'a> {
    /// The commands of a frame of which nothing was read yet.
    #[must_use]
    pub const fn of_frame(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    /// The commands of what [`Commands::rest`] once gave.
    #[must_use]
    pub const fn of_rest(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What has not been decoded yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// Appends `reply`, without its length.
pub fn reply(reply: &Reply, out: &mut Vec<u8>) {
    let _ = (reply, out);
}

/// Appends `push` inside its reply envelope, without its length.
pub fn push(push: &Push<'_>, out: &mut Vec<u8>) {
    let _ = (push, out);
}

/// The length that stands in front of a message: an unsigned varint.
#[derive(Clone, Copy, Debug)]
pub struct LengthPrefix {
    bytes: [u8; 10],
    len: u8,
}

impl LengthPrefix {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The prefix of a message of `length` bytes.
#[must_use]
pub fn length_prefix(length: usize) -> LengthPrefix {
    let mut prefix = LengthPrefix {
        bytes: [0; 10],
        len: 0,
    };
    let mut rest = length as u64;
    for byte in &mut prefix.bytes {
        *byte = u8::try_from(rest & 0x7f).expect("seven bits");
        prefix.len += 1;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    prefix
}
