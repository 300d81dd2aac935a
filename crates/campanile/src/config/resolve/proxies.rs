//! Who is asked about what: every choice leads to a service that is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Place, Resolver};
use crate::config::proxies::{ChannelProxies, Proxies, Proxy, RpcProxies};
use crate::config::raw::{self, Raw};
use crate::config::tree::Origin;

/// The name that stands for the service of a section.
const DEFAULT: &str = "default";

/// A service that may be asked. It is put together when the first one chooses it, so that one which
/// is not used need not make sense, and at most once, so that what is wrong is told once.
struct Service<'a> {
    place: Place<'a>,
    name: &'a str,
    raw: &'a raw::Proxy,
    made: Option<Option<Arc<Proxy>>>,
}

/// The entries of `proxies`.
type Named<'a> = BTreeMap<&'a str, Service<'a>>;

/// One choice of a service: `{what}_enabled` and `{what}_name`.
struct Choice<'a> {
    what: &'static str,
    is_enabled: bool,
    name: &'a str,
}

impl Service<'_> {
    /// `None` if something is wrong with it, which is told.
    fn make(&mut self, resolver: &mut Resolver<'_>) -> Option<Arc<Proxy>> {
        let made = self.made.get_or_insert_with(|| {
            let proxy = resolver.proxy(&self.place, self.name, self.raw);
            proxy.map(Arc::new)
        });
        made.clone()
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn proxies<'r>(&mut self, raw: &'r Raw) -> Proxies
    where
        'a: 'r,
    {
        let mut named = self.named(&raw.proxies);
        let proxies = Proxies {
            connect: self.of_clients("client.proxy.connect", &raw.client.proxy.connect),
            refresh: self.of_clients("client.proxy.refresh", &raw.client.proxy.refresh),
            channels: self.of_channels(&raw.channel, &mut named),
            rpc: self.of_calls(&raw.rpc, &mut named),
        };
        self.patience(raw.client.stale_close_delay, proxies.connect.as_deref());
        for service in named.values_mut().filter(|service| service.made.is_none()) {
            self.unused(service);
        }
        proxies
    }

    /// A client about which a service is asked is unknown for so long.
    fn patience(&mut self, delay: Duration, connect: Option<&Proxy>) {
        const TIMEOUT: &str = "client.proxy.connect.timeout";
        const DELAY: &str = "client.stale_close_delay";
        if connect.is_none_or(|connect| connect.timeout < delay) {
            return;
        }
        let timeout = self.tree.get(TIMEOUT);
        let is_set = timeout.is_some_and(|item| item.origin != Origin::Default);
        let reason = format!("a client is gone after {DELAY}, before {TIMEOUT} is over");
        self.warn(if is_set { TIMEOUT } else { DELAY }, reason);
    }

    fn named<'r>(&self, raw: &'r [raw::Entry<raw::Proxy>]) -> Named<'r>
    where
        'a: 'r,
    {
        let places = self.entries("proxies", raw.iter().map(|entry| &entry.name));
        let service = |(entry, place): (&'r raw::Entry<raw::Proxy>, Place<'r>)| {
            let service = Service {
                place,
                name: &entry.name,
                raw: &entry.options,
                made: None,
            };
            (service.name, service)
        };
        raw.iter().zip(places).map(service).collect()
    }

    fn section<'r>(&self, path: &str, raw: &'r raw::Proxy) -> Service<'r>
    where
        'a: 'r,
    {
        Service {
            place: self.place(path),
            name: DEFAULT,
            raw,
            made: None,
        }
    }

    /// Such a service may be there for streams over gRPC, which have no effect here; only then its
    /// endpoint is no mistake.
    fn unused(&mut self, service: &mut Service<'_>) {
        if service.raw.endpoint.starts_with(super::proxy::GRPC) {
            let reason = "is not asked: only http and https are supported";
            self.warn_in(&service.place, "endpoint", reason);
        } else {
            service.make(self);
        }
    }

    fn of_clients(&mut self, path: &str, raw: &raw::Proxy) -> Option<Arc<Proxy>> {
        if !raw.enabled {
            return None;
        }
        let mut service = self.section(path, raw);
        if raw.endpoint.is_empty() {
            self.invalid_in(&service.place, "enabled", format!("needs {path}.endpoint"));
            return None;
        }
        service.make(self)
    }

    fn of_channels(
        &mut self,
        raw: &raw::Channel,
        named: &mut Named<'_>,
    ) -> BTreeMap<String, ChannelProxies> {
        let mut subscribe = self.section("channel.proxy.subscribe", &raw.proxy.subscribe);
        let mut publish = self.section("channel.proxy.publish", &raw.proxy.publish);
        let mut sub_refresh = self.section("channel.proxy.sub_refresh", &raw.proxy.sub_refresh);
        let names = raw.namespaces.iter().map(|entry| &entry.name);
        let places = self.entries("channel.namespaces", names);
        let others = raw.namespaces.iter().zip(places);
        let others =
            others.map(|(entry, place)| (entry.name.as_str(), place, &entry.options.services));
        let without = self.place("channel.without_namespace");
        let without = ("", without, &raw.without_namespace.services);
        let mut channels = BTreeMap::new();
        for (name, place, options) in std::iter::once(without).chain(others) {
            let [on_subscribe, on_publish, on_sub_refresh] = choices(options);
            let asked = ChannelProxies {
                subscribe: self.chosen(&place, &on_subscribe, &mut subscribe, named),
                publish: self.chosen(&place, &on_publish, &mut publish, named),
                sub_refresh: self.chosen(&place, &on_sub_refresh, &mut sub_refresh, named),
            };
            if [&asked.subscribe, &asked.publish, &asked.sub_refresh]
                .iter()
                .any(|service| service.is_some())
            {
                channels.insert(name.to_owned(), asked);
            }
        }
        channels
    }

    fn of_calls(&mut self, raw: &raw::Rpc, named: &mut Named<'_>) -> RpcProxies {
        let mut default = self.section("rpc.proxy", &raw.proxy);
        let without = self.place("rpc.without_namespace");
        let choice = choice_of_calls(&raw.without_namespace);
        let without_namespace = self.chosen(&without, &choice, &mut default, named);
        let names = raw.namespaces.iter().map(|entry| &entry.name);
        let places = self.entries("rpc.namespaces", names);
        let mut namespaces = BTreeMap::new();
        for (entry, place) in raw.namespaces.iter().zip(places) {
            let choice = choice_of_calls(&entry.options);
            let service = self.chosen(&place, &choice, &mut default, named);
            namespaces.insert(entry.name.clone(), service);
        }
        if raw.ping.enabled && raw.ping.method.is_empty() {
            self.invalid("rpc.ping.method", "expected the name of a method");
        }
        RpcProxies {
            namespace_boundary: raw.namespace_boundary.clone(),
            without_namespace,
            namespaces,
            ping: raw.ping.enabled.then(|| raw.ping.method.clone()),
        }
    }

    fn chosen(
        &mut self,
        place: &Place<'_>,
        choice: &Choice<'_>,
        default: &mut Service<'_>,
        named: &mut Named<'_>,
    ) -> Option<Arc<Proxy>> {
        let Choice { what, name, .. } = choice;
        if !choice.is_enabled {
            return None;
        }
        if *name == DEFAULT {
            if default.raw.endpoint.is_empty() {
                let section = &default.place.key;
                let reason = format!("needs {section}.endpoint, or one of proxies as {what}_name");
                self.invalid_in(place, &format!("{what}_enabled"), reason);
                return None;
            }
            return default.make(self);
        }
        let Some(service) = named.get_mut(*name) else {
            let reason = format!("there is no {name:?} in proxies");
            self.invalid_in(place, &format!("{what}_name"), reason);
            return None;
        };
        service.make(self)
    }
}

fn choices(options: &raw::ProxyOptions) -> [Choice<'_>; 3] {
    [
        Choice {
            what: "subscribe_proxy",
            is_enabled: options.subscribe_proxy_enabled,
            name: &options.subscribe_proxy_name,
        },
        Choice {
            what: "publish_proxy",
            is_enabled: options.publish_proxy_enabled,
            name: &options.publish_proxy_name,
        },
        Choice {
            what: "sub_refresh_proxy",
            is_enabled: options.sub_refresh_proxy_enabled,
            name: &options.sub_refresh_proxy_name,
        },
    ]
}

fn choice_of_calls(options: &raw::RpcOptions) -> Choice<'_> {
    Choice {
        what: "proxy",
        is_enabled: options.proxy_enabled,
        name: &options.proxy_name,
    }
}
