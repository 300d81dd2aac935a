//! The file's tables as types: what a checked tree turns into before its parts are put together.
//!
//! Field names are the keys. Nothing is optional, as a checked tree is complete, and nothing may
//! be left over: a setting in the schema that is missing here, or the other way round, fails the
//! first test that loads anything. Tables whose every content makes sense are not repeated here,
//! they are already those of [`super::resolved`].

mod nats;
mod proxies;
mod redis;

use std::time::Duration;

use campanile_engine::application::Interests;
use campanile_engine::channel::options::{
    ChannelOptions, DataFormat, DeltaType, NameMatcher, RecoveryMode,
};
use regex::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::duration;
use super::resolved::{Admin, Endpoint, HttpApi, Log, Memory, Node, PersonalChannel};
use super::secret::Secret;
use super::shutdown::Shutdown;
use super::transports::{BodyTransport, Emulation, UniWebSocket};
pub(super) use nats::Nats;
pub(super) use proxies::{
    ChannelProxies, ClientProxies, Proxy, ProxyHttp, ProxyOptions, ProxyTls, Rpc, RpcOptions,
    Transform,
};
pub(super) use redis::Redis;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) http_server: HttpServer,
    pub(super) log: Log,
    pub(super) node: Node,
    pub(super) shutdown: Shutdown,
    pub(super) memory: Memory,
    pub(super) engine: Engine,
    pub(super) client: Client,
    pub(super) channel: Channel,
    pub(super) rpc: Rpc,
    pub(super) proxies: Vec<Entry<Proxy>>,
    pub(super) http_api: HttpApi,
    pub(super) websocket: super::resolved::WebSocket,
    pub(super) http_stream: BodyTransport,
    pub(super) sse: BodyTransport,
    pub(super) emulation: Emulation,
    pub(super) uni_websocket: UniWebSocket,
    pub(super) uni_http_stream: BodyTransport,
    pub(super) uni_sse: BodyTransport,
    pub(super) init: Endpoint,
    pub(super) plain: Endpoint,
    pub(super) admin: Admin,
    pub(super) prometheus: Endpoint,
    pub(super) health: Endpoint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpServer {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) workers: usize,
    pub(super) tls: Tls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) enabled: bool,
    pub(super) cert_pem: String,
    pub(super) key_pem: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Engine {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) disk: Disk,
    pub(super) nats: Nats,
    pub(super) redis: Redis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    pub(super) path: String,
    pub(super) durability: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) sync_interval: Duration,
    pub(super) size_limit: u64,
    pub(super) cache_size: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) allowed_origins: Vec<String>,
    pub(super) token: Token,
    pub(super) subscription_token: SubscriptionToken,
    pub(super) allow_anonymous_connect_without_token: bool,
    pub(super) disallow_anonymous_connection_tokens: bool,
    pub(super) insecure: bool,
    pub(super) insecure_skip_token_signature_verify: bool,
    pub(super) user_id_http_header: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) ping_interval: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) pong_timeout: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) expired_close_delay: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) expired_sub_close_delay: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) stale_close_delay: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) presence_update_interval: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) channel_position_check_delay: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) channel_position_max_time_lag: Duration,
    pub(super) channel_limit: usize,
    pub(super) queue_max_size: usize,
    pub(super) connection_limit: usize,
    pub(super) user_connection_limit: usize,
    pub(super) connection_rate_limit: usize,
    pub(super) history_max_publication_limit: usize,
    pub(super) recovery_max_publication_limit: usize,
    pub(super) concurrency: usize,
    pub(super) connect_include_server_time: bool,
    pub(super) subscribe_to_user_personal_channel: PersonalChannel,
    pub(super) proxy: ClientProxies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) hmac_secret_key: Secret,
    pub(super) hmac_previous_secret_key: Secret,
    pub(super) hmac_previous_secret_key_valid_until: u64,
    pub(super) rsa_public_key: String,
    pub(super) ecdsa_public_key: String,
    pub(super) jwks_public_endpoint: String,
    pub(super) audience: String,
    pub(super) audience_regex: String,
    pub(super) issuer: String,
    pub(super) issuer_regex: String,
    pub(super) user_id_claim: String,
}

/// Without `deny_unknown_fields`, which `flatten` does not go with.
#[derive(Deserialize)]
pub(super) struct SubscriptionToken {
    pub(super) enabled: bool,
    #[serde(flatten)]
    pub(super) token: Token,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    pub(super) without_namespace: NamespaceOptions,
    pub(super) namespaces: Vec<Entry<NamespaceOptions>>,
    pub(super) proxy: ChannelProxies,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(super) history_meta_ttl: Duration,
    #[serde(deserialize_with = "data_format")]
    pub(super) publication_data_format: DataFormat,
    pub(super) max_length: usize,
    pub(super) private_prefix: String,
    pub(super) namespace_boundary: String,
    pub(super) user_boundary: String,
    pub(super) user_separator: String,
}

/// What has a name of the operator's choice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry<T> {
    pub(super) name: String,
    pub(super) options: T,
}

/// The options of a namespace: those that the engine knows, and those that it does not.
pub(super) struct NamespaceOptions {
    pub(super) channel: ChannelOptions,
    pub(super) services: ProxyOptions,
}

impl<'de> Deserialize<'de> for NamespaceOptions {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (services, channel) = proxies::split(input)?;
        Ok(Self {
            channel: ChannelOptionsFields::deserialize(channel).map_err(D::Error::custom)?,
            services: serde_json::from_value(services).map_err(D::Error::custom)?,
        })
    }
}

/// Lets the engine's type be read without the engine knowing of configuration.
#[derive(Deserialize)]
#[serde(remote = "ChannelOptions", deny_unknown_fields)]
struct ChannelOptionsFields {
    presence: bool,
    join_leave: bool,
    force_push_join_leave: bool,
    history_size: usize,
    #[serde(deserialize_with = "duration::deserialize")]
    history_ttl: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    history_meta_ttl: Duration,
    force_positioning: bool,
    allow_positioning: bool,
    force_recovery: bool,
    allow_recovery: bool,
    #[serde(deserialize_with = "recovery_mode")]
    force_recovery_mode: RecoveryMode,
    auto_cache_recover: bool,
    #[serde(deserialize_with = "delta_types")]
    allowed_delta_types: Vec<DeltaType>,
    delta_publish: bool,
    publish_locally_if_unreachable: bool,
    allow_tags_filter: bool,
    allow_subscribe_for_client: bool,
    allow_subscribe_for_anonymous: bool,
    allow_publish_for_client: bool,
    allow_publish_for_subscriber: bool,
    allow_publish_for_anonymous: bool,
    allow_presence_for_client: bool,
    allow_presence_for_subscriber: bool,
    allow_presence_for_anonymous: bool,
    allow_history_for_client: bool,
    allow_history_for_subscriber: bool,
    allow_history_for_anonymous: bool,
    allow_user_limited_channels: bool,
    #[serde(deserialize_with = "name_matcher")]
    channel_regex: Option<NameMatcher>,
    #[serde(deserialize_with = "data_format")]
    publication_data_format: DataFormat,
    /// Follows from which services are asked.
    #[serde(skip)]
    unasked: Interests,
}

fn recovery_mode<'de, D: Deserializer<'de>>(input: D) -> Result<RecoveryMode, D::Error> {
    match String::deserialize(input)?.as_str() {
        "" | "stream" => Ok(RecoveryMode::Stream),
        "cache" => Ok(RecoveryMode::Cache),
        _ => Err(D::Error::custom("not a recovery mode")),
    }
}

fn delta_types<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<DeltaType>, D::Error> {
    let names = Vec::<String>::deserialize(input)?;
    let known = |name: &String| DeltaType::named(name);
    let types: Option<_> = names.iter().map(known).collect();
    types.ok_or_else(|| D::Error::custom("not a delta type"))
}

fn data_format<'de, D: Deserializer<'de>>(input: D) -> Result<DataFormat, D::Error> {
    match String::deserialize(input)?.as_str() {
        "" => Ok(DataFormat::NotEmpty),
        "json" => Ok(DataFormat::Json),
        "json_object" => Ok(DataFormat::JsonObject),
        "binary" => Ok(DataFormat::Binary),
        _ => Err(D::Error::custom("not a data format")),
    }
}

fn name_matcher<'de, D: Deserializer<'de>>(input: D) -> Result<Option<NameMatcher>, D::Error> {
    let source = String::deserialize(input)?;
    if source.is_empty() {
        return Ok(None);
    }
    let regex = Regex::new(&source).map_err(D::Error::custom)?;
    let matcher = NameMatcher::new(source, move |name| regex.is_match(name));
    Ok(Some(matcher))
}
