//! The tables about HTTP services and about who answers calls.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::Entry;
use crate::config::duration;
use crate::config::secret::Secret;

/// `client.proxy`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientProxies {
    pub(in crate::config) connect: Proxy,
    pub(in crate::config) refresh: Proxy,
}

/// `channel.proxy`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ChannelProxies {
    pub(in crate::config) subscribe: Proxy,
    pub(in crate::config) publish: Proxy,
    pub(in crate::config) sub_refresh: Proxy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rpc {
    pub(in crate::config) namespace_boundary: String,
    pub(in crate::config) proxy: Proxy,
    pub(in crate::config) without_namespace: RpcOptions,
    pub(in crate::config) namespaces: Vec<Entry<RpcOptions>>,
    pub(in crate::config) ping: RpcPing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RpcOptions {
    pub(in crate::config) proxy_enabled: bool,
    pub(in crate::config) proxy_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RpcPing {
    pub(in crate::config) enabled: bool,
    pub(in crate::config) method: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Proxy {
    /// Only the sections of `client.proxy` have it; the others are switched on elsewhere.
    #[serde(default)]
    pub(in crate::config) enabled: bool,
    pub(in crate::config) endpoint: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) timeout: Duration,
    pub(in crate::config) http_headers: Vec<String>,
    pub(in crate::config) emulated_headers: Vec<String>,
    pub(in crate::config) binary_encoding: bool,
    pub(in crate::config) include_connection_meta: bool,
    pub(in crate::config) http: ProxyHttp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProxyHttp {
    pub(in crate::config) static_headers: BTreeMap<String, Secret>,
    pub(in crate::config) status_to_code_transforms: Vec<Transform>,
    pub(in crate::config) tls: ProxyTls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProxyTls {
    pub(in crate::config) enabled: bool,
    pub(in crate::config) cert_pem: String,
    pub(in crate::config) key_pem: Secret,
    pub(in crate::config) server_ca_pem: String,
    pub(in crate::config) server_name: String,
    pub(in crate::config) insecure_skip_verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Transform {
    pub(in crate::config) status_code: u64,
    pub(in crate::config) to_error: ToError,
    pub(in crate::config) to_disconnect: ToDisconnect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ToError {
    pub(in crate::config) code: u64,
    pub(in crate::config) message: String,
    pub(in crate::config) temporary: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ToDisconnect {
    pub(in crate::config) code: u64,
    pub(in crate::config) reason: String,
}

/// The options of a namespace about services.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProxyOptions {
    pub(in crate::config) subscribe_proxy_enabled: bool,
    pub(in crate::config) subscribe_proxy_name: String,
    pub(in crate::config) publish_proxy_enabled: bool,
    pub(in crate::config) publish_proxy_name: String,
    pub(in crate::config) sub_refresh_proxy_enabled: bool,
    pub(in crate::config) sub_refresh_proxy_name: String,
}

/// One table as two. Unlike `flatten`, each part still refuses what it does not know.
pub(super) fn split<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<(serde_json::Value, serde_json::Value), D::Error> {
    let table = serde_json::Map::deserialize(input)?;
    let (services, others): (serde_json::Map<_, _>, serde_json::Map<_, _>) = table
        .into_iter()
        .partition(|(name, _)| name.contains("_proxy_"));
    Ok((services.into(), others.into()))
}
