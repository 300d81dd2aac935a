//! From replies and pushes to bytes.

use crate::{Push, Reply};

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
