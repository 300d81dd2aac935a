//! Where NATS is, and what it is to keep.

use std::path::PathBuf;
use std::time::Duration;

use super::proxies::ProxyTls;
use super::secret::Secret;

/// `engine.nats`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// Servers of one cluster, none with a password in it.
    pub urls: Vec<String>,
    /// What all subjects and streams begin with.
    pub prefix: String,
    /// How many servers keep each history.
    pub replicas: usize,
    /// Whether they keep it in memory.
    pub is_in_memory: bool,
    /// How this node is let in.
    pub access: NatsAccess,
    /// TLS, where it is to be spoken.
    pub tls: Option<ProxyTls>,
    /// How long connecting to one server may take.
    pub dial_timeout: Duration,
    /// How long an answer may take.
    pub io_timeout: Duration,
}

/// How a node is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsAccess {
    /// As anybody.
    Anybody,
    /// `user` and `password`
    Password(String, Secret),
    /// `token`
    Token(Secret),
    /// `credentials_file`, which is read at the start.
    CredentialsFile(PathBuf),
}
