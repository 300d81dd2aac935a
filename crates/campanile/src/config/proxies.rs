//! Which HTTP services decide about clients, and how they are asked (server API, section 6).
//!
//! Owns what was configured of it. Asking is the business of the module that speaks to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use campanile_engine::application::Interests;
use campanile_protocol::codes::Rejection;

use super::PemSource;
use super::secret::Secret;

/// All services, by what they are asked.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// `client.proxy.connect`, enabled.
    pub connect: Option<Arc<Proxy>>,
    /// `client.proxy.refresh`, enabled.
    pub refresh: Option<Arc<Proxy>>,
    /// What is asked about channels, by namespace; the empty one stands for those without. A
    /// namespace that asks nothing is not in it.
    pub channels: BTreeMap<String, ChannelProxies>,
    /// Calls.
    pub rpc: RpcProxies,
}

/// Who is asked about the channels of one namespace.
#[derive(Clone, Debug, Default)]
pub struct ChannelProxies {
    /// `subscribe_proxy_enabled`
    pub subscribe: Option<Arc<Proxy>>,
    /// `publish_proxy_enabled`
    pub publish: Option<Arc<Proxy>>,
    /// `sub_refresh_proxy_enabled`
    pub sub_refresh: Option<Arc<Proxy>>,
}

/// `rpc`
#[derive(Clone, Debug, Default)]
pub struct RpcProxies {
    /// Ends the namespace in the name of a method; empty for no namespaces.
    pub namespace_boundary: String,
    /// Who answers methods without a namespace.
    pub without_namespace: Option<Arc<Proxy>>,
    /// Who answers the others; a namespace that is configured may have nobody.
    pub namespaces: BTreeMap<String, Option<Arc<Proxy>>>,
    /// `rpc.ping`, enabled: the method that the server answers itself, with nothing.
    pub ping: Option<String>,
}

/// One service, and how it is asked.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// What the configuration calls it: `default` for those of a section, otherwise its name in
    /// `proxies`.
    pub name: String,
    /// Where it is configured, as in `client.proxy.connect` and `proxies.NAME`: sections share a
    /// name.
    pub section: String,
    /// An `http` or `https` URL without a user or a password.
    pub endpoint: String,
    /// How long an answer may take, connecting included.
    pub timeout: Duration,
    /// Headers of the request that brought the client which are passed on.
    pub http_headers: Vec<HeaderName>,
    /// Headers that the client names in its connect command which are passed on.
    pub emulated_headers: Vec<HeaderName>,
    /// Whether payloads travel as base64.
    pub binary_encoding: bool,
    /// Whether what is kept about the connection is told.
    pub include_connection_meta: bool,
    /// Headers of every request.
    pub static_headers: Vec<(HeaderName, Secret)>,
    /// What a status stands for, in place of a failure.
    pub transforms: Vec<(u16, Rejection)>,
    /// `http.tls`, enabled: how its server is recognised, and this one to it.
    pub tls: Option<ProxyTls>,
}

/// `http.tls` of a proxy, and `tls` of what keeps the streams elsewhere
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTls {
    /// Who signs its certificate; `None` for those whom the system trusts.
    pub server_ca: Option<PemSource>,
    /// The name in its certificate, where that is not the host of the URL.
    pub server_name: Option<String>,
    /// Certificate and key that this server shows.
    pub client: Option<(PemSource, PemSource)>,
    /// Believe any certificate.
    pub insecure_skip_verify: bool,
}

impl Proxy {
    /// Whether it is told anything that a client's own requests say.
    #[must_use]
    pub const fn passes_headers_on(&self) -> bool {
        !self.http_headers.is_empty() || !self.emulated_headers.is_empty()
    }
}

impl ChannelProxies {
    /// What nobody is asked about these channels.
    #[must_use]
    pub fn unasked(&self) -> Interests {
        [
            (&self.subscribe, Interests::SUBSCRIBE),
            (&self.publish, Interests::PUBLISH),
            (&self.sub_refresh, Interests::SUB_REFRESH),
        ]
        .into_iter()
        .filter(|(service, _)| service.is_none())
        .fold(Interests::NONE, |all, (_, unasked)| all | unasked)
    }
}

impl Proxies {
    /// What nobody is asked about the channels of a namespace, the empty one for those without.
    #[must_use]
    pub fn unasked(&self, namespace: &str) -> Interests {
        let asked = self.channels.get(namespace);
        asked.map_or_else(
            || ChannelProxies::default().unasked(),
            ChannelProxies::unasked,
        )
    }

    /// Every service that is asked about anything, each as often as it is.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Proxy>> {
        let channels = self.channels.values();
        let channels =
            channels.flat_map(|asked| [&asked.subscribe, &asked.publish, &asked.sub_refresh]);
        let rpc = self.rpc.namespaces.values();
        [&self.connect, &self.refresh, &self.rpc.without_namespace]
            .into_iter()
            .chain(channels)
            .chain(rpc)
            .flatten()
    }
}
