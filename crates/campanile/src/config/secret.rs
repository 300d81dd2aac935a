//! A value that must not be seen.
//!
//! Owns how secrets print: never. Who compares them, and in what time, is not its business.

use std::fmt;

use serde::Deserialize;

/// What stands wherever a secret would be printed.
pub(super) const MASK: &str = "***";

/// A configured secret. `Debug` prints a mask and there is no `Display`; the text is only given
/// out by [`Secret::expose`], so that each use can be found.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Not for logs, errors or replies.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// An empty secret is one that was never set; it must not be compared with or signed with.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None` if it was never set.
    pub fn into_option(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "\"\"" } else { MASK })
    }
}
