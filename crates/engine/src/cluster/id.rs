//! What a node is called by the others.

use std::fmt;

use campanile_protocol::ClientId;

/// The identity of one node, new at each start of its process: a version 4 UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(ClientId);

impl NodeId {
    /// One that no other node has.
    ///
    /// # Panics
    /// The system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the system has random numbers");
        Self::from_random(random)
    }

    /// The identity that sixteen random bytes make.
    #[must_use]
    pub const fn from_random(random: [u8; 16]) -> Self {
        Self(ClientId::from_random(random, random[15]))
    }

    /// The identity of these bytes, as [`NodeId::to_bytes`] gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ClientId::from_bytes(bytes))
    }

    /// Its bytes, for messages.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// Reads the hyphenated text form; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        ClientId::parse(text).map(Self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
