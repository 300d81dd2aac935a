//! The configuration the program runs on: complete, typed, consistent.
//!
//! Only [`super::load`] makes one. Nothing here remembers what a file looked like.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_protocol::ws;
use regex::Regex;
use serde::Deserialize;

use super::duration;
use super::engine::Engine;
use super::proxies::Proxies;
use super::reload::Written;
use super::secret::Secret;
use super::shutdown::Shutdown;
use super::transports::{BodyTransport, Emulation, UniWebSocket};
use crate::token::{JwksEndpoint, VerifyingKey};
use crate::transport::Network;

/// Everything that was configured.
///
/// Made by reading a text or a file, which says what is wrong with it; what is changed by hand
/// afterwards nobody checks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where and how to listen.
    pub http_server: HttpServer,
    /// Clients: who may come, how long they may take, how much they may have.
    pub client: Client,
    /// Names of channels and their rules.
    pub channel: Channel,
    /// Services that decide about clients.
    pub proxies: Proxies,
    /// The server API.
    pub http_api: HttpApi,
    /// The WebSocket endpoint.
    pub websocket: WebSocket,
    /// Sessions over streamed responses.
    pub http_stream: BodyTransport,
    /// Sessions over server-sent events.
    pub sse: BodyTransport,
    /// Where commands for these come.
    pub emulation: Emulation,
    /// Sessions that only listen, over WebSocket.
    pub uni_websocket: UniWebSocket,
    /// The same over streamed responses.
    pub uni_http_stream: BodyTransport,
    /// The same over server-sent events.
    pub uni_sse: BodyTransport,
    /// Where clients measure how far away this is.
    pub init: Endpoint,
    /// Sockets of one channel each, without a protocol.
    pub plain: Endpoint,
    /// How to end.
    pub shutdown: Shutdown,
    /// How much this node may hold.
    pub memory: Memory,
    /// Where streams are kept.
    pub engine: Engine,
    /// What to log.
    pub log: Log,
    /// What this node is called.
    pub node: Node,
    /// Health checks.
    pub health: Endpoint,
    /// Metrics.
    pub prometheus: Endpoint,
    /// The admin page.
    pub admin: Admin,
    /// What it was made of.
    pub(super) written: Written,
}

impl Config {
    /// Whether there is any client at all that may connect, as far as the configuration decides.
    #[must_use]
    pub const fn lets_clients_in(&self) -> bool {
        let authentication = &self.client.authentication;
        authentication.token.has_keys()
            || authentication.allow_anonymous_connect_without_token
            || authentication.insecure
            || authentication.insecure_skip_token_signature_verify
            || authentication.user_id_http_header.is_some()
            || self.proxies.connect.is_some()
    }
}

/// `http_server`
#[derive(Clone, Debug)]
pub struct HttpServer {
    /// An empty `address` became every IPv4 address.
    pub listen: SocketAddr,
    /// Worker threads; 0 became the number of cores.
    pub workers: NonZeroUsize,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// `None` serves plain HTTP.
    pub tls: Option<Tls>,
}

/// `http_server.tls`, enabled.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate chain.
    pub certificates: PemSource,
    /// The private key.
    pub key: PemSource,
}

/// Where a PEM text is. A path is read at each use, so that a renewed certificate is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemSource {
    /// The text itself.
    Text(Secret),
    /// A file of it.
    File(PathBuf),
}

impl PemSource {
    /// The PEM text.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.expose().as_bytes().to_vec()),
            Self::File(path) => fs::read(path),
        }
    }
}

/// `client`
#[derive(Clone, Debug)]
pub struct Client {
    /// Glob patterns of allowed `Origin` headers (client protocol, section 1.3).
    pub allowed_origins: Vec<String>,
    /// Who a client is.
    pub authentication: Authentication,
    /// How long things may take.
    pub timing: ClientTiming,
    /// How much a client may have.
    pub limits: ClientLimits,
    /// Add the server's time to the connect reply.
    pub connect_include_server_time: bool,
    /// `None` if users get no channel of their own.
    pub personal_channel: Option<PersonalChannel>,
}

/// The settings of `client` that decide who a client is (section 6.1).
#[derive(Clone, Debug)]
pub struct Authentication {
    /// How connection tokens are verified.
    pub token: TokenRules,
    /// How subscription tokens are verified; by `token` if `None`.
    pub subscription_token: Option<TokenRules>,
    /// Connect without a token as the anonymous user.
    pub allow_anonymous_connect_without_token: bool,
    /// Refuse tokens without a user.
    pub disallow_anonymous_connection_tokens: bool,
    /// Everyone may do everything (section 14.4).
    pub insecure: bool,
    /// Believe tokens without looking at their signature.
    pub insecure_skip_token_signature_verify: bool,
    /// A trusted proxy's header with the user's id.
    pub user_id_http_header: Option<HeaderName>,
}

/// `client.token` (section 13.1)
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// `None` leaves every HMAC token invalid.
    pub hmac: Option<HmacKeys>,
    /// `None` leaves every RS and PS token invalid.
    pub rsa: Option<VerifyingKey>,
    /// `None` leaves every ES token invalid.
    pub ecdsa: Option<VerifyingKey>,
    /// Where public keys are. If there is such a place, none of the keys above counts.
    pub jwks: Option<JwksEndpoint>,
    /// What `aud` must be.
    pub audience: Option<ClaimRule>,
    /// What `iss` must be.
    pub issuer: Option<ClaimRule>,
    /// The claim that names the user instead of `sub`.
    pub user_id_claim: Option<String>,
}

impl TokenRules {
    /// Whether any token at all can be found good.
    pub const fn has_keys(&self) -> bool {
        self.hmac.is_some() || self.rsa.is_some() || self.ecdsa.is_some() || self.jwks.is_some()
    }
}

/// The keys of HS256, HS384 and HS512.
#[derive(Clone, Debug)]
pub struct HmacKeys {
    /// Signs and verifies.
    pub current: Secret,
    /// Verifies what the current one does not.
    pub previous: Option<PreviousKey>,
}

/// A key on its way out.
#[derive(Clone, Debug)]
pub struct PreviousKey {
    /// The key.
    pub key: Secret,
    /// Unix seconds until when it counts; `None` for always.
    pub valid_until: Option<u64>,
}

/// What a claim must be.
#[derive(Clone, Debug)]
pub enum ClaimRule {
    /// Exactly this.
    Exact(String),
    /// Anything in which this is found; like Go, it is not anchored by itself.
    Matches(Regex),
}

impl ClaimRule {
    /// Whether this value will do.
    pub fn is_met_by(&self, value: &str) -> bool {
        match self {
            Self::Exact(wanted) => value == wanted,
            Self::Matches(regex) => regex.is_match(value),
        }
    }

    /// What the group of this name stands for in the first of `values` that will do.
    pub fn group<'a>(&self, name: &str, values: &'a [String]) -> Option<&'a str> {
        let Self::Matches(regex) = self else {
            return None;
        };
        let captures = values.iter().find_map(|value| regex.captures(value))?;
        Some(captures.name(name)?.as_str())
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let regex = match self {
            Self::Exact(_) => None,
            Self::Matches(regex) => Some(regex),
        };
        regex
            .into_iter()
            .flat_map(|regex| regex.capture_names().flatten())
    }
}

/// The durations of `client`.
#[derive(Clone, Debug)]
pub struct ClientTiming {
    /// Between two pings; longer than `pong_timeout`.
    pub ping_interval: Duration,
    /// From a ping to the disconnect for want of a pong.
    pub pong_timeout: Duration,
    /// From the expiry of a connection to its end.
    pub expired_close_delay: Duration,
    /// From the expiry of a subscription to its end.
    pub expired_sub_close_delay: Duration,
    /// From accept to the end of a connection that never authenticated.
    pub stale_close_delay: Duration,
    /// Between two renewals of presence.
    pub presence_update_interval: Duration,
    /// Between two comparisons of a quiet channel's position with the broker; `None` for never.
    pub channel_position_check_delay: Option<Duration>,
    /// Age of a publication at which a position counts as lost; `None` for never.
    pub channel_position_max_time_lag: Option<Duration>,
}

/// The limits of `client`.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Subscriptions per connection.
    pub channel_limit: usize,
    /// Bytes waiting to be written to one connection.
    pub queue_max_size: usize,
    /// Connections of this node.
    pub connection_limit: Option<NonZeroUsize>,
    /// Connections of one user on this node.
    pub user_connection_limit: Option<NonZeroUsize>,
    /// Connections accepted per second.
    pub connection_rate_limit: Option<NonZeroUsize>,
    /// Publications in one history reply to a client.
    pub history_max_publication_limit: usize,
    /// Publications in one recovery.
    pub recovery_max_publication_limit: usize,
    /// Commands of one client handled at a time.
    pub concurrency: NonZeroUsize,
}

/// `client.subscribe_to_user_personal_channel` (section 14.3)
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalChannel {
    /// Always true in a resolved configuration.
    pub(super) enabled: bool,
    /// Empty for none.
    pub personal_channel_namespace: String,
    /// A new connection of a user ends the others.
    pub single_connection: bool,
}

/// `channel`
#[derive(Clone, Debug)]
pub struct Channel {
    /// How names are read.
    pub names: NameRules,
    /// The rules of channels without a namespace.
    pub without_namespace: ChannelOptions,
    /// The rules of the others by namespace; names are valid and unique.
    pub namespaces: Vec<(String, ChannelOptions)>,
}

/// `http_api`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpApi {
    /// Do not serve it.
    pub disabled: bool,
    /// Path without a trailing slash.
    pub handler_prefix: String,
    /// Empty if calls can only be refused, unless `insecure`.
    pub key: Secret,
    /// How errors are told.
    pub error_mode: ErrorMode,
    /// Serve it on the external port too.
    pub external: bool,
    /// Ask for no key.
    pub insecure: bool,
}

/// `http_api.error_mode` (server API, section 1.3)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ErrorMode {
    /// In the envelope, with status 200.
    #[default]
    #[serde(rename = "")]
    Envelope,
    /// As HTTP status too.
    #[serde(rename = "transport")]
    Transport,
}

/// `websocket`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocket {
    /// Do not serve it.
    pub disabled: bool,
    /// Path, matched exactly.
    pub handler_prefix: String,
    /// Bytes of one incoming message.
    pub message_size_limit: usize,
    /// Whether messages are compressed for clients that offer to read them so.
    pub compression: bool,
    /// Bytes from which on they are; 0 for 512.
    pub compression_min_size: usize,
    /// How hard it is tried, 1 to 9.
    pub compression_level: usize,
    /// Bytes that a compressed incoming message may become; 0 for `message_size_limit`.
    pub decompressed_message_size_limit: usize,
    /// How long a write may make no progress.
    #[serde(deserialize_with = "duration::deserialize")]
    pub write_timeout: Duration,
}

/// Below this the headers of a packet outweigh what compression would save.
const COMPRESSION_BYTES_MIN: usize = 512;

impl WebSocket {
    /// Bytes from which on a message is compressed.
    #[must_use]
    pub const fn compression_bytes_min(&self) -> usize {
        match self.compression_min_size {
            0 => COMPRESSION_BYTES_MIN,
            bytes => bytes,
        }
    }

    /// What one incoming message may cost.
    #[must_use]
    pub fn limits(&self) -> ws::Limits {
        let mut limits = ws::Limits::of_messages(self.message_size_limit);
        if self.decompressed_message_size_limit > 0 {
            limits.inflated_bytes_max = self.decompressed_message_size_limit;
        }
        limits
    }
}

/// `memory`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Bytes of queues and history on this node; `None` for half of what the machine has.
    #[serde(deserialize_with = "zero_is_none")]
    pub limit: Option<NonZeroUsize>,
}

/// `log`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Least severe events to log.
    pub level: LogLevel,
}

/// `log.level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors. `fatal` is read as this: there is no level above it.
    #[serde(alias = "fatal")]
    #[value(alias = "fatal")]
    Error,
    /// And what is suspicious.
    Warn,
    /// And what is worth knowing.
    Info,
    /// And what explains the rest.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `node`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Empty if the node should name itself.
    pub name: String,
}

/// `health`, `prometheus`, `init` and `plain`: an endpoint that can be switched on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Serve it.
    pub enabled: bool,
    /// Its path.
    pub handler_prefix: String,
}

/// `admin`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Serve it.
    pub enabled: bool,
    /// Its path; empty for the root.
    pub handler_prefix: String,
    /// What the operator types.
    pub password: Secret,
    /// What signs sessions.
    pub secret: Secret,
    /// Ask for no password.
    pub insecure: bool,
    /// Serve it on the external port too.
    pub external: bool,
}

fn zero_is_none<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<NonZeroUsize>, D::Error> {
    usize::deserialize(input).map(NonZeroUsize::new)
}
