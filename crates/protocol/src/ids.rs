//! Who is connected: the identity of one session and of the user behind it.

use std::fmt;
use std::sync::Arc;

/// The identity of one session, unique over all nodes: a version 4 UUID.
///
/// One of its random bytes carries the index of the shard that owns the session, so that whoever
/// holds an id finds the shard without a directory. The other 114 random bits stay random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId([u8; 16]);

/// The byte that carries the shard: the last one, which holds neither version nor variant bits.
const SHARD_BYTE: usize = 15;

impl ClientId {
    /// Makes an id of sixteen random bytes for a session of `shard`.
    #[must_use]
    pub const fn from_random(mut random: [u8; 16], shard: u8) -> Self {
        random[6] = (random[6] & 0x0f) | 0x40;
        random[8] = (random[8] & 0x3f) | 0x80;
        random[SHARD_BYTE] = shard;
        Self(random)
    }

    /// The id of these bytes, as [`ClientId::to_bytes`] gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes, for whoever stores it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The shard that owns the session.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0[SHARD_BYTE]
    }

    /// Reads the hyphenated text form; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for (index, byte) in bytes.iter_mut().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                if text[at] != b'-' {
                    return None;
                }
                at += 1;
            }
            let digit = |at: usize| char::from(text[at]).to_digit(16);
            *byte = u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()?;
            at += 2;
        }
        Some(Self(bytes))
    }

    /// The hyphenated text form, as ASCII.
    pub(crate) fn hyphenated(self) -> [u8; 36] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0x0f)];
            at += 2;
        }
        text
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.hyphenated()).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who is behind a session. One user may have many sessions; the empty id is the anonymous user.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The user id with this text.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nobody in particular is meant.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_a_version_4_uuid_that_knows_its_shard() {
        let id = ClientId::from_random([0xff; 16], 7);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffff07");
        assert_eq!(id.shard(), 7);
        assert_eq!(ClientId::parse(&id.to_string()), Some(id));
        assert_eq!(ClientId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn text_that_is_no_client_id_is_refused() {
        for text in [
            "",
            "ffffffff-ffff-4fff-bfff-ffffffffff0",
            "ffffffff-ffff-4fff-bfff-ffffffffff0g",
            "ffffffff+ffff-4fff-bfff-ffffffffff07",
            "ffffffffffff-4fff-bfff-ffffffffff07--",
            "éfffffff-ffff-4fff-bfff-fffffffffff",
        ] {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }
}
