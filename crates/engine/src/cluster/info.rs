//! What nodes tell about themselves.

use std::time::Duration;

use crate::shard::ShardStats;

/// A node, as others see it.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct NodeInfo {
    /// Its identity.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How long it has been running.
    pub uptime: Duration,
    /// What is in it.
    pub stats: ShardStats,
}

/// A node of the cluster, as it is known here.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct KnownNode {
    /// What it told about itself; about the node that is asked, what is true now.
    pub info: NodeInfo,
    /// How long ago.
    pub age: Duration,
    /// Whether it should have said something again since. It is forgotten when it goes on like
    /// that.
    pub is_silent: bool,
}
