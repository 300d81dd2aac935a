//! Where Redis is, and how it is spoken to.

use std::time::Duration;

use super::proxies::ProxyTls;
use super::secret::Secret;

/// `engine.redis`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Where.
    pub servers: RedisServers,
    /// How this node is let in.
    pub access: RedisAccess,
    /// The database; 0 in a cluster, which has no other.
    pub db: u32,
    /// What the names of all keys and channels begin with.
    pub prefix: String,
    /// How long connecting to one server may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub io_timeout: Duration,
    /// Between two proofs that messages arrive.
    pub probe_interval: Duration,
    /// How long sessions of a node that died may still be seen.
    pub presence_lease: Duration,
    /// Replicas that must have what enters a history before it is acknowledged.
    pub wait_replicas: u32,
    /// How long that may take.
    pub wait_timeout: Duration,
}

/// Servers, as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// `address`
    Single(String),
    /// `sentinel_address` and `sentinel_master_name`
    Sentinel {
        /// Sentinels.
        addresses: Vec<String>,
        /// What they call the primary.
        master_name: String,
        /// How this node is let in by them.
        access: RedisAccess,
    },
    /// `cluster_address`: some of a cluster.
    Cluster(Vec<String>),
}

/// How a node is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisAccess {
    /// Empty for the default user.
    pub user: String,
    /// Empty for none.
    pub password: Secret,
    /// TLS, where it is to be spoken.
    pub tls: Option<ProxyTls>,
}
