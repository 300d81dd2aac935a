//! Where the servers are, how to be let in, and how much of histories is to be kept.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use campanile_engine::broker::Retention;

use super::supervision::Signals;
use crate::config::{Nats, NatsAccess};
use crate::proxy::{TlsFault, client_config};

/// Messages that a subscription may have waiting: what hands them on does not wait for anything.
const SUBSCRIPTION_MESSAGES_MAX: usize = 1024;

/// Messages that may wait to be written to the connection.
const OUTBOUND_MESSAGES_MAX: usize = 8192;

/// What a [`NatsLink`](super::NatsLink) is made with.
#[derive(Clone)]
pub struct NatsSettings {
    /// Servers of one cluster: `nats://host:port`, `tls://host:port`.
    pub urls: Vec<String>,
    /// What all subjects and streams begin with: one word of letters, digits, `-` and `_`.
    pub prefix: String,
    /// How many servers keep each history.
    pub replicas: usize,
    /// Where they keep it.
    pub storage: Storage,
    /// How this node is let in.
    pub credentials: Credentials,
    /// TLS, where it is to be spoken; servers may also ask for it.
    pub tls: Option<rustls::ClientConfig>,
    /// How long connecting to one server may take.
    pub dial_timeout: Duration,
    /// How long an answer may take.
    pub io_timeout: Duration,
    /// What is needed of histories; `None` where no channel has one, and JetStream is not needed.
    pub histories: Option<Histories>,
}

/// How much of histories is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Histories {
    /// The largest history of a channel, in publications.
    pub size_max: usize,
    /// The shortest lifetime of metadata of any channel.
    pub meta_ttl_min: Duration,
    /// The longest one.
    pub meta_ttl_max: Duration,
}

impl Histories {
    /// What channels with these need; `None` where there are none.
    #[must_use]
    pub fn of(retentions: &[Retention]) -> Option<Self> {
        let meta_ttls = retentions.iter().map(|retention| retention.meta_ttl);
        Some(Self {
            size_max: retentions.iter().map(|retention| retention.size).max()?,
            meta_ttl_min: meta_ttls.clone().min()?,
            meta_ttl_max: meta_ttls.max()?,
        })
    }
}

/// Where servers keep histories.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: as long as a majority of replicas lives.
    Memory,
}

impl Storage {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

/// How a node is let in.
#[derive(Clone, Default)]
pub enum Credentials {
    /// As anybody, or as what the URLs say.
    #[default]
    None,
    /// By name.
    Password {
        /// The name.
        user: String,
        /// What only it knows.
        password: String,
    },
    /// By a word.
    Token(String),
    /// The text of a credentials file.
    File(String),
}

/// Why a link cannot be made.
#[derive(Debug)]
pub enum NatsFault {
    /// This is no address of a server.
    Address(String),
    /// The credentials file is none.
    Credentials,
    /// The credentials file cannot be read.
    CredentialsFile(PathBuf, io::Error),
    /// TLS cannot be spoken.
    Tls(TlsFault),
}

impl fmt::Display for NatsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => write!(f, "{url:?} is no address of a NATS server"),
            Self::CredentialsFile(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Tls(fault) => write!(f, "engine.nats.tls: {fault}"),
            Self::Credentials => f.write_str("the NATS credentials file cannot be understood"),
        }
    }
}

impl std::error::Error for NatsFault {}

impl NatsSettings {
    /// What is configured, for channels that need these histories.
    ///
    /// # Errors
    /// A file that is named cannot be used.
    pub fn new(config: &Nats, histories: Option<Histories>) -> Result<Self, NatsFault> {
        let credentials = match &config.access {
            NatsAccess::Anybody => Credentials::None,
            NatsAccess::Password(user, password) => Credentials::Password {
                user: user.clone(),
                password: password.expose().to_owned(),
            },
            NatsAccess::Token(token) => Credentials::Token(token.expose().to_owned()),
            NatsAccess::CredentialsFile(path) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|error| NatsFault::CredentialsFile(path.clone(), error));
                Credentials::File(text?)
            }
        };
        let tls = config.tls.as_ref().map(|tls| client_config(Some(tls)));
        Ok(Self {
            urls: config.urls.clone(),
            prefix: config.prefix.clone(),
            replicas: config.replicas,
            storage: match config.is_in_memory {
                true => Storage::Memory,
                false => Storage::File,
            },
            credentials,
            tls: tls.transpose().map_err(NatsFault::Tls)?,
            dial_timeout: config.dial_timeout,
            io_timeout: config.io_timeout,
            histories,
        })
    }

    pub(super) fn meta_ttl_min_millis(&self) -> u64 {
        let shortest = self
            .histories
            .map_or(Duration::MAX, |histories| histories.meta_ttl_min);
        u64::try_from(shortest.as_millis()).unwrap_or(u64::MAX)
    }

    /// What the client library is told.
    pub(super) fn options(
        self,
        signals: Arc<Signals>,
    ) -> Result<(Vec<ServerAddr>, ConnectOptions), NatsFault> {
        let parse = |url: &String| url.parse().map_err(|_| NatsFault::Address(url.clone()));
        let addresses = self.urls.iter().map(parse).collect::<Result<_, _>>()?;
        let mut options = ConnectOptions::new()
            .name("campanile")
            .retry_on_initial_connect()
            .connection_timeout(self.dial_timeout)
            .request_timeout(Some(self.io_timeout))
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .client_capacity(OUTBOUND_MESSAGES_MAX)
            .reconnect_delay_callback(delay)
            .event_callback(move |event| {
                signals.take(&event);
                std::future::ready(())
            });
        options = match self.credentials {
            Credentials::None => options,
            Credentials::Password { user, password } => options.user_and_password(user, password),
            Credentials::Token(token) => options.token(token),
            Credentials::File(text) => options
                .credentials(&text)
                .map_err(|_| NatsFault::Credentials)?,
        };
        if let Some(tls) = self.tls {
            options = options.require_tls(true).tls_client_config(tls);
        }
        Ok((addresses, options))
    }
}

/// Before another try to connect: longer each time up to two seconds, and at random, so that the
/// nodes of a system do not come back all at once.
fn delay(attempts: usize) -> Duration {
    let longest = 50_u64 << attempts.min(6);
    let mut random = [0; 2];
    // Without randomness only the spread is missing.
    let _ = getrandom::fill(&mut random);
    let share = u64::from(u16::from_ne_bytes(random));
    Duration::from_millis((longest / 2 + longest * share / 0x1_0000).min(2000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_end() {
        for attempts in 0..100 {
            let delay = delay(attempts);
            assert!(delay <= Duration::from_secs(2));
            assert!(delay >= Duration::from_millis(25));
        }
        assert!(delay(50) >= Duration::from_millis(1600));
    }
}
