//! What is configured, as connections want it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::dial::{Access, Address};
use super::topology::Servers;
use crate::config::{self, RedisAccess, RedisServers};
use crate::proxy::{TlsFault, client_config, server_name};

/// Where Redis is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub servers: Servers,
    /// How they are spoken to.
    pub access: Access,
    /// What the names of all keys and channels begin with.
    pub prefix: String,
    /// How long it may take until there is a line.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub io_timeout: Duration,
    /// Between two proofs that messages arrive.
    pub probe_interval: Duration,
    /// Replicas that must have what enters a history before it is acknowledged, and how long that
    /// may take; `None` for none.
    pub replicas: Option<(u32, Duration)>,
}

/// Why nothing can be begun with what is configured.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettingsFault {
    /// This is no `host:port`.
    Address(String),
    /// TLS cannot be spoken as configured.
    Tls(TlsFault),
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => write!(f, "{text:?} is no address of a redis server"),
            Self::Tls(fault) => write!(f, "engine.redis.tls: {fault}"),
        }
    }
}

impl std::error::Error for SettingsFault {}

impl Settings {
    /// What is configured.
    ///
    /// # Errors
    /// Certificates cannot be read, or addresses are none.
    pub fn new(config: &config::Redis) -> Result<Self, SettingsFault> {
        let replicas = (config.wait_replicas, config.wait_timeout);
        Ok(Self {
            servers: servers(&config.servers)?,
            access: access(&config.access, config.db)?,
            prefix: config.prefix.clone(),
            connect_timeout: config.connect_timeout,
            io_timeout: config.io_timeout,
            probe_interval: config.probe_interval,
            replicas: (replicas.0 > 0).then_some(replicas),
        })
    }

    /// What names begin with. A database has its keys for itself, but what is published by way of one
    /// is heard in all of them: so each has names of its own.
    pub(super) fn prefix_of_names(&self) -> String {
        match self.access.database {
            0 => self.prefix.clone(),
            database => format!("{}.{database}", self.prefix),
        }
    }
}

fn servers(config: &RedisServers) -> Result<Servers, SettingsFault> {
    Ok(match config {
        RedisServers::Single(text) => Servers::Single(address(text)?),
        RedisServers::Cluster(texts) => Servers::Cluster(addresses(texts)?),
        RedisServers::Sentinel {
            addresses: texts,
            master_name,
            access: at_sentinels,
        } => Servers::Sentinel {
            sentinels: addresses(texts)?,
            master: master_name.clone(),
            access: access(at_sentinels, 0)?,
        },
    })
}

fn addresses(texts: &[String]) -> Result<Vec<Address>, SettingsFault> {
    texts.iter().map(|text| address(text)).collect()
}

fn address(text: &str) -> Result<Address, SettingsFault> {
    Address::parse(text).ok_or_else(|| SettingsFault::Address(text.to_owned()))
}

fn access(config: &RedisAccess, database: u32) -> Result<Access, SettingsFault> {
    let settings = config.tls.as_ref();
    let tls = settings.map(|settings| client_config(Some(settings)));
    let tls = tls.transpose().map_err(SettingsFault::Tls)?;
    let name = settings.map_or(Ok(None), server_name);
    Ok(Access {
        user: config.user.clone(),
        password: config.password.clone(),
        database,
        tls: tls.map(Arc::new),
        server_name: name.map_err(SettingsFault::Tls)?,
    })
}
