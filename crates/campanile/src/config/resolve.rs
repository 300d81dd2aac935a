//! Puts a checked tree together: what settings mean, and whether they go together.
//!
//! Everything found is told with the place of the setting to change.

mod engine;
mod nats;
mod origins;
mod paths;
mod pem;
mod proxies;
mod proxy;
mod redis;
mod token;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use campanile_engine::channel::options::{ChannelOptions, DataFormat, NameRules, RecoveryMode};

use super::problem::{Problem, ProblemKind};
use super::proxies::Proxies;
use super::raw::{self, Raw};
use super::reload::Written;
use super::resolved::{
    Authentication, Channel, Client, ClientLimits, ClientTiming, Config, HttpServer, PemSource,
    PersonalChannel, Tls,
};
use super::secret::Secret;
use super::shutdown::Shutdown;
use super::tree::{Item, Origin, Value};
use crate::transport::{Network, NotANetwork};

/// The configuration, if the tree could be read, and everything that was found.
pub(super) fn resolve(tree: &Item) -> (Option<Config>, Vec<Problem>) {
    let raw: Raw = match serde_path_to_error::deserialize(tree.value.to_json()) {
        Ok(raw) => raw,
        Err(error) => {
            let kind = ProblemKind::Invalid(error.inner().to_string());
            let problem = Problem::error(Origin::Default, error.path().to_string(), kind);
            return (None, vec![problem]);
        }
    };
    let mut resolver = Resolver {
        tree,
        problems: Vec::new(),
    };
    let proxies = resolver.proxies(&raw);
    resolver.origins(&raw.client.allowed_origins);
    let channel = resolver.channel(raw.channel, &proxies);
    let config = Config {
        http_server: resolver.http_server(raw.http_server),
        client: resolver.client(raw.client, &channel),
        channel,
        http_api: raw.http_api,
        proxies,
        websocket: raw.websocket,
        http_stream: raw.http_stream,
        sse: raw.sse,
        emulation: raw.emulation,
        uni_websocket: raw.uni_websocket,
        uni_http_stream: raw.uni_http_stream,
        uni_sse: raw.uni_sse,
        init: raw.init,
        plain: raw.plain,
        shutdown: Resolver::shutdown(&raw.shutdown),
        memory: raw.memory,
        engine: resolver.engine(raw.engine),
        log: raw.log,
        node: raw.node,
        health: raw.health,
        prometheus: raw.prometheus,
        admin: raw.admin,
        written: Written::default(),
    };
    resolver.paths(&config);
    if !(1..=9).contains(&config.websocket.compression_level) {
        resolver.invalid("websocket.compression_level", "expected 1 to 9");
    }
    (Some(config), resolver.problems)
}

struct Resolver<'a> {
    tree: &'a Item,
    problems: Vec<Problem>,
}

/// A table of the tree, and what it is called when something in it is told.
#[derive(Clone)]
struct Place<'a> {
    key: String,
    table: Option<&'a Item>,
}

impl Place<'_> {
    /// Where a setting at this dotted path below the table came from; where nobody set it, the
    /// table, which then lacks it.
    fn origin(&self, option: &str) -> Origin {
        let set = self.table.and_then(|table| table.get(option));
        let set = set.filter(|item| item.origin != Origin::Default);
        set.map_or_else(|| self.whole(), |item| item.origin.clone())
    }

    /// Where the table came from.
    fn whole(&self) -> Origin {
        let table = self.table.map(|table| table.origin.clone());
        table.unwrap_or_default()
    }
}

impl<'a> Resolver<'a> {
    /// A table with a fixed path.
    fn place(&self, path: &str) -> Place<'a> {
        Place {
            key: path.to_owned(),
            table: self.tree.get(path),
        }
    }

    /// The tables of a list of `{name, options}`, called by these names.
    fn entries<'n>(&self, path: &str, names: impl Iterator<Item = &'n String>) -> Vec<Place<'a>> {
        let items = match self.tree.get(path).map(|list| &list.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let place = |(name, item): (&String, &'a Item)| Place {
            key: format!("{path}.{name}"),
            table: item.get("options"),
        };
        names.zip(items).map(place).collect()
    }

    fn invalid_in(&mut self, place: &Place<'_>, option: &str, reason: impl Into<String>) {
        let key = format!("{}.{option}", place.key);
        let kind = ProblemKind::Invalid(reason.into());
        self.problems
            .push(Problem::error(place.origin(option), key, kind));
    }

    fn warn_in(&mut self, place: &Place<'_>, option: &str, reason: impl Into<String>) {
        let key = format!("{}.{option}", place.key);
        let kind = ProblemKind::Invalid(reason.into());
        self.problems
            .push(Problem::warning(place.origin(option), key, kind));
    }

    fn invalid(&mut self, path: &str, reason: impl Into<String>) {
        let origin = self.tree.get(path).map(|item| item.origin.clone());
        let kind = ProblemKind::Invalid(reason.into());
        self.problems
            .push(Problem::error(origin.unwrap_or_default(), path, kind));
    }

    fn warn(&mut self, path: &str, reason: impl Into<String>) {
        let origin = self.tree.get(path).map(|item| item.origin.clone());
        let kind = ProblemKind::Invalid(reason.into());
        self.problems
            .push(Problem::warning(origin.unwrap_or_default(), path, kind));
    }

    fn shutdown(raw: &Shutdown) -> Shutdown {
        let delay = raw.delay.min(raw.timeout);
        Shutdown {
            delay,
            drain: raw.drain.min(raw.timeout - delay),
            is_drain_chosen: raw.drain != Shutdown::DRAIN_BY_DEFAULT,
            timeout: raw.timeout,
        }
    }

    fn http_server(&mut self, raw: raw::HttpServer) -> HttpServer {
        let ip = match raw.address.as_str() {
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            address => address.parse().unwrap_or_else(|_| {
                let reason = format!("expected an IP address, found {address:?}");
                self.invalid("http_server.address", reason);
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }),
        };
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        HttpServer {
            listen: SocketAddr::new(ip, raw.port),
            trusted_proxies: self.networks(&raw.trusted_proxies),
            workers: NonZeroUsize::new(raw.workers).unwrap_or_else(cores),
            tls: raw.tls.enabled.then(|| self.tls(raw.tls)),
        }
    }

    fn networks(&mut self, given: &[String]) -> Vec<Network> {
        let mut networks = Vec::with_capacity(given.len());
        for text in given {
            match text.parse() {
                Ok(network) => networks.push(network),
                Err(NotANetwork) => {
                    let reason = format!("expected addresses such as 10.0.0.0/8, found {text:?}");
                    self.invalid("http_server.trusted_proxies", reason);
                }
            }
        }
        networks
    }

    fn tls(&mut self, raw: raw::Tls) -> Tls {
        Tls {
            certificates: self.pem("cert_pem", Secret::new(raw.cert_pem)),
            key: self.pem("key_pem", raw.key_pem),
        }
    }

    fn pem(&mut self, name: &str, given: Secret) -> PemSource {
        let source = if given.is_empty() {
            Err("needed, as http_server.tls.enabled is true".to_owned())
        } else {
            pem::source(given)
        };
        source.unwrap_or_else(|reason| {
            self.invalid(&format!("http_server.tls.{name}"), reason);
            PemSource::Text(Secret::default())
        })
    }

    fn client(&mut self, raw: raw::Client, channel: &Channel) -> Client {
        if raw.ping_interval <= raw.pong_timeout {
            self.invalid(
                "client.ping_interval",
                "must be longer than client.pong_timeout",
            );
        }
        let personal = raw.subscribe_to_user_personal_channel;
        Client {
            authentication: Authentication {
                token: self.token("client.token", raw.token),
                subscription_token: raw
                    .subscription_token
                    .enabled
                    .then(|| self.token("client.subscription_token", raw.subscription_token.token)),
                allow_anonymous_connect_without_token: raw.allow_anonymous_connect_without_token,
                disallow_anonymous_connection_tokens: raw.disallow_anonymous_connection_tokens,
                insecure: raw.insecure,
                insecure_skip_token_signature_verify: raw.insecure_skip_token_signature_verify,
                user_id_http_header: self
                    .header_name("client.user_id_http_header", &raw.user_id_http_header),
            },
            timing: ClientTiming {
                ping_interval: raw.ping_interval,
                pong_timeout: raw.pong_timeout,
                expired_close_delay: raw.expired_close_delay,
                expired_sub_close_delay: raw.expired_sub_close_delay,
                stale_close_delay: raw.stale_close_delay,
                presence_update_interval: raw.presence_update_interval,
                channel_position_check_delay: Some(raw.channel_position_check_delay)
                    .filter(|delay| !delay.is_zero()),
                channel_position_max_time_lag: Some(raw.channel_position_max_time_lag)
                    .filter(|lag| !lag.is_zero()),
            },
            limits: ClientLimits {
                channel_limit: raw.channel_limit,
                queue_max_size: raw.queue_max_size,
                connection_limit: NonZeroUsize::new(raw.connection_limit),
                user_connection_limit: NonZeroUsize::new(raw.user_connection_limit),
                connection_rate_limit: NonZeroUsize::new(raw.connection_rate_limit),
                history_max_publication_limit: raw.history_max_publication_limit,
                recovery_max_publication_limit: raw.recovery_max_publication_limit,
                concurrency: NonZeroUsize::new(raw.concurrency).unwrap_or(NonZeroUsize::MIN),
            },
            allowed_origins: raw.allowed_origins,
            connect_include_server_time: raw.connect_include_server_time,
            personal_channel: personal.enabled.then(|| {
                self.personal_channel(&personal, channel);
                personal
            }),
        }
    }

    /// `None` for none.
    fn header_name(&mut self, path: &str, name: &str) -> Option<HeaderName> {
        if name.is_empty() {
            return None;
        }
        let parsed = name.parse();
        if parsed.is_err() {
            self.invalid(path, format!("{name:?} is no name of a header"));
        }
        parsed.ok()
    }

    fn personal_channel(&mut self, personal: &PersonalChannel, channel: &Channel) {
        const PATH: &str = "client.subscribe_to_user_personal_channel";
        let namespace = &personal.personal_channel_namespace;
        let options = if namespace.is_empty() {
            Some(&channel.without_namespace)
        } else {
            let found = channel
                .namespaces
                .iter()
                .find(|(name, _)| name == namespace);
            found.map(|(_, options)| options)
        };
        match options {
            None => {
                let reason = format!("there is no namespace {namespace:?}");
                self.invalid(&format!("{PATH}.personal_channel_namespace"), reason);
            }
            Some(options) if personal.single_connection && !options.presence => {
                let reason = "needs presence in the namespace of the personal channels";
                self.invalid(&format!("{PATH}.single_connection"), reason);
            }
            Some(_) => {}
        }
    }

    fn channel(&mut self, raw: raw::Channel, proxies: &Proxies) -> Channel {
        let inherit = |name: &str, mut options: ChannelOptions| {
            if options.history_meta_ttl.is_zero() {
                options.history_meta_ttl = raw.history_meta_ttl;
            }
            if options.publication_data_format == DataFormat::NotEmpty {
                options.publication_data_format = raw.publication_data_format;
            }
            options.unasked = proxies.unasked(name);
            options
        };
        let without_namespace = inherit("", raw.without_namespace.channel);
        let place = self.place("channel.without_namespace");
        self.namespace(&place, &without_namespace);
        let names = raw.namespaces.iter().map(|entry| &entry.name);
        let places = self.entries("channel.namespaces", names);
        let mut namespaces = Vec::with_capacity(raw.namespaces.len());
        for (namespace, place) in raw.namespaces.into_iter().zip(places) {
            let options = inherit(&namespace.name, namespace.options.channel);
            self.namespace(&place, &options);
            namespaces.push((namespace.name, options));
        }
        Channel {
            names: NameRules {
                max_length: raw.max_length,
                private_prefix: raw.private_prefix,
                namespace_boundary: raw.namespace_boundary,
                user_boundary: raw.user_boundary,
                user_separator: raw.user_separator,
            },
            without_namespace,
            namespaces,
        }
    }

    /// Rules within one namespace.
    fn namespace(&mut self, place: &Place<'_>, options: &ChannelOptions) {
        let has_history = options.history_size > 0 && !options.history_ttl.is_zero();
        let wrong = [
            (
                options.history_size > 0 && options.history_ttl.is_zero(),
                "history_size",
                "needs history_ttl",
            ),
            (
                options.history_size == 0 && options.history_ttl > Duration::ZERO,
                "history_ttl",
                "needs history_size",
            ),
            (
                options.history_ttl > options.history_meta_ttl,
                "history_ttl",
                "must not be longer than history_meta_ttl",
            ),
            (
                options.force_recovery && !has_history,
                "force_recovery",
                "needs history_size and history_ttl",
            ),
            (
                options.auto_cache_recover
                    && !(options.force_recovery
                        && options.force_recovery_mode == RecoveryMode::Cache),
                "auto_cache_recover",
                "needs force_recovery and force_recovery_mode = \"cache\"",
            ),
        ];
        for (_, option, reason) in wrong.iter().filter(|(is_wrong, ..)| *is_wrong) {
            self.invalid_in(place, option, *reason);
        }
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
