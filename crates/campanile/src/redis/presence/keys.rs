//! What is kept in Redis, under which names: which keys there are, and which of them are together on
//! a shard of a cluster.

use std::fmt;

use crate::redis::Redis;

/// One life of a node, from when it takes a lease until it loses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Incarnation([u8; 8]);

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

impl Incarnation {
    /// One that has not been before: 40 random bits, and Redis refuses one that it knows.
    pub(super) fn random() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(bytes.map(|byte| DIGITS[usize::from(byte % 32)]))
    }

    /// The one of these bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 8] = bytes.try_into().ok()?;
        bytes.is_ascii().then_some(Self(bytes))
    }

    pub(super) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("it is ASCII"))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// User → the nodes that have sessions of theirs, and how many.
pub(super) fn users(redis: &Redis, channel: &str) -> String {
    redis.key("presence.users", channel)
}

/// Ids of nodes → how many users are on just these.
pub(super) fn sets(redis: &Redis, channel: &str) -> String {
    redis.key("presence.sets", channel)
}

/// Node → how many sessions it has.
pub(super) fn nodes(redis: &Redis, channel: &str) -> String {
    redis.key("presence.nodes", channel)
}

/// Client → entry, of one node.
pub(super) fn entries(redis: &Redis, channel: &str, node: Incarnation) -> String {
    redis.key(&format!("presence.entries.{node}"), channel)
}

/// The channels that a node has sessions in.
pub(super) fn index(redis: &Redis, node: Incarnation) -> String {
    redis.key("presence.channels", &node.to_string())
}

/// Leases, who purges, and the data set's own name.
pub(super) fn registry(redis: &Redis) -> [String; 3] {
    ["leases", "purger", "era"].map(|kind| redis.key(&format!("presence.{kind}"), "nodes"))
}
