//! Where a subscriber stands in the stream of a channel.

use std::fmt;

/// Names one incarnation of a stream: offsets of different epochs cannot be compared.
///
/// Kept inline and `Copy`, since every delivery carries one; a text of a client that is longer
/// than any epoch of ours becomes [`Epoch::FOREIGN`], which equals no stream's epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    len: u8,
    text: [u8; Epoch::LEN_MAX],
}

impl Epoch {
    /// The longest epoch that a broker may choose, in bytes.
    pub const LEN_MAX: usize = 15;

    /// No epoch: what a client names that does not know one yet.
    pub const EMPTY: Self = Self {
        len: 0,
        text: [0; Self::LEN_MAX],
    };

    /// An epoch that cannot be one of ours.
    pub const FOREIGN: Self = Self {
        len: 1,
        text: [0; Self::LEN_MAX],
    };

    /// The epoch with this text; [`Epoch::FOREIGN`] when no broker could have chosen it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= Self::LEN_MAX => {
                let mut bytes = [0; Self::LEN_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Self { len, text: bytes }
            }
            _ => Self::FOREIGN,
        }
    }

    /// The epoch's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("made of a str")
    }

    /// Whether no epoch is named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A place in a stream: everything up to and including `offset` of `epoch` has been seen. By
/// default nothing has, of an epoch that is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The incarnation that `offset` counts in.
    pub epoch: Epoch,
    /// The last publication seen; the first one of a stream has offset 1.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_keeps_its_text() {
        assert_eq!(Epoch::new("AbCdEfGh").as_str(), "AbCdEfGh");
        assert!(Epoch::new("").is_empty());
        assert_ne!(Epoch::new("a"), Epoch::new("b"));
    }

    #[test]
    fn an_epoch_longer_than_any_of_ours_equals_none_of_ours() {
        let long = "x".repeat(Epoch::LEN_MAX + 1);
        assert_eq!(Epoch::new(&long), Epoch::FOREIGN);
        assert_ne!(Epoch::new(&long), Epoch::new(&long[..Epoch::LEN_MAX]));
        assert!(!Epoch::FOREIGN.is_empty());
    }
}
