//! Who is asked what: the configured proxies, found by channel and by method.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_engine::application::Interests;
use campanile_protocol::Refusal;

use super::ProxyError;
use super::client::Client;
use super::metrics::{Kind, ProxyMetrics};
use super::service::Service;
use crate::background::Spawner;
use crate::config::{Proxies, Proxy};

/// See the [module](self).
pub(super) struct Services {
    pub(super) connect: Option<Service>,
    pub(super) refresh: Option<Service>,
    /// By namespace; the empty one stands for none.
    channels: HashMap<String, ChannelServices>,
    rpc: RpcServices,
}

/// Who is asked about the channels of one namespace.
pub(super) struct ChannelServices {
    pub(super) subscribe: Option<Service>,
    pub(super) publish: Option<Service>,
    pub(super) sub_refresh: Option<Service>,
}

struct RpcServices {
    boundary: String,
    without_namespace: Option<Service>,
    namespaces: HashMap<String, Option<Service>>,
    ping: Option<String>,
}

/// Who answers a call.
pub(super) enum Callee<'a> {
    /// This server, with nothing.
    Ping,
    Service(&'a Service),
    /// Nobody, as configured.
    Nobody,
}

/// Makes services of what is configured. Those that are the same proxy share its connections.
pub(super) struct Assembly {
    pub(super) background: Spawner,
    pub(super) sockets_max: usize,
    pub(super) metrics: ProxyMetrics,
    clients: Vec<(Arc<Proxy>, Arc<Client>)>,
}

impl Assembly {
    pub(super) fn new(background: Spawner, sockets_max: usize) -> Self {
        Self {
            background,
            sockets_max,
            metrics: ProxyMetrics::default(),
            clients: Vec::new(),
        }
    }

    pub(super) fn services(&mut self, proxies: &Proxies) -> Result<Services, ProxyError> {
        let mut channels = HashMap::new();
        for (namespace, asked) in &proxies.channels {
            let services = ChannelServices {
                subscribe: self.service(Kind::Subscribe, asked.subscribe.as_ref())?,
                publish: self.service(Kind::Publish, asked.publish.as_ref())?,
                sub_refresh: self.service(Kind::SubRefresh, asked.sub_refresh.as_ref())?,
            };
            channels.insert(namespace.clone(), services);
        }
        let mut namespaces = HashMap::new();
        for (namespace, proxy) in &proxies.rpc.namespaces {
            let service = self.service(Kind::Rpc, proxy.as_ref())?;
            namespaces.insert(namespace.clone(), service);
        }
        Ok(Services {
            connect: self.service(Kind::Connect, proxies.connect.as_ref())?,
            refresh: self.service(Kind::Refresh, proxies.refresh.as_ref())?,
            channels,
            rpc: RpcServices {
                boundary: proxies.rpc.namespace_boundary.clone(),
                without_namespace: self
                    .service(Kind::Rpc, proxies.rpc.without_namespace.as_ref())?,
                namespaces,
                ping: proxies.rpc.ping.clone(),
            },
        })
    }

    fn service(
        &mut self,
        kind: Kind,
        proxy: Option<&Arc<Proxy>>,
    ) -> Result<Option<Service>, ProxyError> {
        let Some(proxy) = proxy else {
            return Ok(None);
        };
        let client = self.client(proxy)?;
        let meter = self.metrics.meter(kind, &proxy.name);
        Ok(Some(Service::new(client, kind, meter)))
    }

    fn client(&mut self, proxy: &Arc<Proxy>) -> Result<Arc<Client>, ProxyError> {
        let mut known = self.clients.iter();
        if let Some((_, client)) = known.find(|(known, _)| Arc::ptr_eq(known, proxy)) {
            return Ok(Arc::clone(client));
        }
        let client = Client::new(proxy, self.background.clone(), self.sockets_max);
        let client = Arc::new(client.map_err(|fault| ProxyError::new(proxy, fault))?);
        self.clients.push((Arc::clone(proxy), Arc::clone(&client)));
        Ok(client)
    }
}

impl Services {
    pub(super) fn interests(&self) -> Interests {
        let channels = || self.channels.values();
        let wanted = [
            (self.connect.is_some(), Interests::CONNECTING),
            (self.refresh.is_some(), Interests::REFRESH),
            (
                channels().any(|asked| asked.subscribe.is_some()),
                Interests::SUBSCRIBE,
            ),
            (
                channels().any(|asked| asked.publish.is_some()),
                Interests::PUBLISH,
            ),
            (
                channels().any(|asked| asked.sub_refresh.is_some()),
                Interests::SUB_REFRESH,
            ),
            (
                self.rpc.has_any() || self.rpc.ping.is_some(),
                Interests::RPC,
            ),
        ];
        let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.fold(Interests::NONE, |all, (_, interest)| all | interest)
    }

    /// Who is asked about the channels of this namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> Option<&ChannelServices> {
        self.channels.get(namespace)
    }

    /// Who answers calls of this method: client protocol, section 9.5.
    pub(super) fn callee(&self, method: &str) -> Result<Callee<'_>, Refusal> {
        let rpc = &self.rpc;
        if rpc.ping.as_deref() == Some(method) {
            return Ok(Callee::Ping);
        }
        // A server that answers its own method has methods, of which this is none.
        if rpc.ping.is_some() && !rpc.has_any() {
            return Err(Refusal::METHOD_NOT_FOUND);
        }
        let service = match method.split_once(rpc.boundary.as_str()) {
            Some((namespace, _)) if !rpc.boundary.is_empty() && !namespace.is_empty() => {
                let known = rpc.namespaces.get(namespace);
                known.ok_or(Refusal::METHOD_NOT_FOUND)?
            }
            _ => &rpc.without_namespace,
        };
        Ok(service.as_ref().map_or(Callee::Nobody, Callee::Service))
    }
}

impl RpcServices {
    fn has_any(&self) -> bool {
        let mut namespaces = self.namespaces.values();
        self.without_namespace.is_some() || namespaces.any(Option::is_some)
    }
}
