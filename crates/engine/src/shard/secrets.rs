//! Under what clients find their sessions again, from other connections than the one that brings
//! the replies: section 15.3 of the client protocol.
//!
//! Only sessions whose transport needs it have a secret; to all others this costs nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use campanile_protocol::ClientId;
use campanile_protocol::reply::ConnectResult;
use campanile_protocol::wire::Manner;

use super::{SessionKey, Shard};
use crate::delivery::ShardId;
use crate::hub::SessionIndex;

/// What a client says to be taken for the owner of a session. Not its [`ClientId`], which others
/// see in presence.
///
/// It is looked up, not compared in constant time: what the time of a look-up tells is about the
/// hash of 114 random bits under a key of this process, from which none of them can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret(ClientId);

impl Secret {
    /// A secret of sixteen random bytes, for a session of `shard`.
    #[must_use]
    pub const fn from_random(random: [u8; 16], shard: ShardId) -> Self {
        Self(ClientId::from_random(random, shard.as_u8()))
    }

    /// Reads what a client says; `None` when no secret looks like that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        ClientId::parse(text).map(Self)
    }

    /// The secret of these bytes, as [`Secret::to_bytes`] gave them.
    #[must_use]
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ClientId::from_bytes(bytes))
    }

    /// Its bytes, for the node that knows it.
    #[must_use]
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The index of the shard that knows it.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0.shard()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The secrets of a shard's sessions.
pub(super) struct Secrets {
    node: Arc<str>,
    keys: HashMap<Secret, SessionKey>,
    secrets: HashMap<SessionIndex, Secret>,
}

impl Secrets {
    pub(super) fn of(node: &str) -> Self {
        Self {
            node: node.into(),
            keys: HashMap::new(),
            secrets: HashMap::new(),
        }
    }

    pub(super) fn forget(&mut self, key: SessionKey) {
        let known = |secret| self.keys.get(secret) == Some(&key);
        if self.secrets.get(&key.index).is_some_and(known)
            && let Some(secret) = self.secrets.remove(&key.index)
        {
            self.keys.remove(&secret);
        }
    }
}

impl Shard {
    /// Gives a session its secret, where its transport needs one.
    pub(super) fn entrust(&mut self, key: SessionKey, secret: Secret) {
        if self.tells_secret(key) {
            self.secrets.keys.insert(secret, key);
            self.secrets.secrets.insert(key.index, secret);
        }
    }

    /// Tells a client where and under what its session is to be found.
    pub(super) fn reveal(&self, key: SessionKey, result: &mut ConnectResult) {
        let secret = self.secrets.secrets.get(&key.index);
        result.session = secret.map(|secret| secret.0.to_string());
        if self.manner(key) == Some(Manner::Emulated) {
            result.node = Some(self.secrets.node.to_string());
        }
    }

    /// The session with this secret, as long as it takes commands.
    #[must_use]
    pub fn find_by_secret(&self, secret: Secret) -> Option<SessionKey> {
        let key = *self.secrets.keys.get(&secret)?;
        // A unidirectional client is told its session too, but has nothing to say to it.
        (self.is_open(key) && self.manner(key) == Some(Manner::Emulated)).then_some(key)
    }

    /// How many secrets are known.
    #[must_use]
    pub fn secret_count(&self) -> usize {
        self.secrets.keys.len()
    }

    fn tells_secret(&self, key: SessionKey) -> bool {
        let manner = self.manner(key);
        matches!(manner, Some(Manner::Emulated | Manner::Unidirectional))
    }

    fn manner(&self, key: SessionKey) -> Option<Manner> {
        self.slot(key).map(|slot| slot.wire.manner())
    }
}
