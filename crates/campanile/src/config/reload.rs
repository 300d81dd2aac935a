//! What of a configuration may change while the server runs, and what did change.
//!
//! Everything here is about two configurations and neither about the server that runs on one of
//! them nor about files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::Retention;
use campanile_engine::channel::options::{ChannelOptions, NameRules};

use super::engine::Engine;
use super::render::{each_entry, each_setting, masked_text};
use super::resolved::{Authentication, Channel, Client, ClientTiming, Config, HttpApi, HttpServer};
use super::tree::{Item, Table, Value};

/// What is live: these settings and everything below these tables.
const LIVE: &[&str] = &[
    "channel.max_length",
    "channel.namespaces",
    "channel.without_namespace",
    "client.allow_anonymous_connect_without_token",
    "client.allowed_origins",
    "client.channel_limit",
    "client.channel_position_check_delay",
    "client.concurrency",
    "client.connect_include_server_time",
    "client.connection_limit",
    "client.connection_rate_limit",
    "client.disallow_anonymous_connection_tokens",
    "client.expired_close_delay",
    "client.expired_sub_close_delay",
    "client.history_max_publication_limit",
    "client.insecure",
    "client.insecure_skip_token_signature_verify",
    "client.queue_max_size",
    "client.recovery_max_publication_limit",
    "client.stale_close_delay",
    "client.subscribe_to_user_personal_channel",
    "client.subscription_token",
    "client.token",
    "client.user_connection_limit",
    "http_api.insecure",
    "http_api.key",
    "http_server.tls.cert_pem",
    "http_server.tls.key_pem",
    "log.level",
];

/// Where a setting of a namespace says that a service is asked.
const OF_PROXIES: &str = "_proxy_";

/// The tree that a configuration was made of, for comparison. Prints nothing: there are secrets in
/// it.
#[derive(Clone)]
pub(super) struct Written(pub(super) Arc<Item>);

impl Default for Written {
    fn default() -> Self {
        let nothing = Item::new(Value::Table(Table::new()), super::Origin::Default);
        Self(Arc::new(nothing))
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, or that of a table with a name of the operator's choice.
    pub key: String,
    /// In words for people, with secrets masked: `128 → 64`, `added`, `removed`, `changed`.
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

impl Config {
    /// This configuration with everything of `new` that may change while a server runs on it.
    ///
    /// A namespace that other services are asked about than before stays what it was, and is left
    /// out if it is new: its rules are of no use without those.
    #[must_use]
    pub(crate) fn adopting(&self, new: &Self) -> Self {
        let (old, new) = (self.clone(), new.clone());
        let tls = match (&old.http_server.tls, new.http_server.tls) {
            (Some(_), Some(tls)) => Some(tls),
            _ => old.http_server.tls,
        };
        Self {
            channel: self.adopted_channels(&new.channel, &new.proxies),
            client: Client {
                authentication: Authentication {
                    user_id_http_header: old.client.authentication.user_id_http_header,
                    ..new.client.authentication
                },
                timing: ClientTiming {
                    // Clients were told how often they are pinged.
                    ping_interval: old.client.timing.ping_interval,
                    pong_timeout: old.client.timing.pong_timeout,
                    presence_update_interval: old.client.timing.presence_update_interval,
                    channel_position_max_time_lag: old.client.timing.channel_position_max_time_lag,
                    ..new.client.timing
                },
                ..new.client
            },
            http_api: HttpApi {
                key: new.http_api.key,
                insecure: new.http_api.insecure,
                ..old.http_api
            },
            http_server: HttpServer {
                tls,
                ..old.http_server
            },
            log: new.log,
            written: new.written,
            ..old
        }
    }

    fn adopted_channels(&self, new: &Channel, proxies: &super::Proxies) -> Channel {
        let floor = self.shortest_meta_ttl();
        let (size_max, age_max) = self.kept_elsewhere();
        let old = |name: &str| {
            let mut named = self.channel.namespaces.iter();
            named.find(|(known, _)| known == name).map(|(_, o)| o)
        };
        let adopt = |name: &str, old: Option<&ChannelOptions>, new: &ChannelOptions| {
            if self.proxies.unasked(name) != proxies.unasked(name) {
                return old.cloned();
            }
            // Epochs change at least once within the shortest of these lifetimes, which is decided
            // when the broker begins.
            let history_meta_ttl = new.history_meta_ttl.max(floor);
            Some(ChannelOptions {
                history_size: new.history_size.min(size_max),
                history_ttl: new.history_ttl.min(age_max),
                history_meta_ttl: history_meta_ttl.min(age_max),
                ..new.clone()
            })
        };
        let without = &self.channel.without_namespace;
        let named = new.namespaces.iter();
        let named = named
            .filter_map(|(name, options)| Some((name.clone(), adopt(name, old(name), options)?)));
        Channel {
            names: NameRules {
                max_length: new.names.max_length,
                ..self.channel.names.clone()
            },
            without_namespace: adopt("", Some(without), &new.without_namespace)
                .unwrap_or_else(|| without.clone()),
            namespaces: named.collect(),
        }
    }

    /// The shortest time for which what is known of a stream is kept, over all namespaces with a
    /// history; 30 days without any.
    pub(crate) fn shortest_meta_ttl(&self) -> Duration {
        const DEFAULT: Duration = Duration::from_secs(720 * 60 * 60);
        let kept = self.retentions().map(|retention| retention.meta_ttl);
        kept.min().unwrap_or(DEFAULT)
    }

    /// Those of all namespaces with a history.
    pub(crate) fn retentions(&self) -> impl Iterator<Item = Retention> {
        let namespaces = self.channel.namespaces.iter().map(|(_, options)| options);
        let all = namespaces.chain([&self.channel.without_namespace]);
        all.filter_map(ChannelOptions::retention)
    }

    /// How much and for how long the servers of NATS keep of each channel, which they are told when
    /// the broker begins: what a history is believed to have beyond that would not be there.
    fn kept_elsewhere(&self) -> (usize, Duration) {
        if !matches!(self.engine, Engine::Nats(_)) {
            return (usize::MAX, Duration::MAX);
        }
        let none = (0, Duration::ZERO);
        self.retentions().fold(none, |(size, age), retention| {
            (size.max(retention.size), age.max(retention.meta_ttl))
        })
    }

    /// What `new` says otherwise and a running server takes over.
    pub(crate) fn live_changes(&self, new: &Self) -> Vec<Change> {
        self.changes(new, true)
    }

    /// What `new` says otherwise and takes a restart.
    pub(crate) fn pending_changes(&self, new: &Self) -> Vec<Change> {
        self.changes(new, false)
    }

    fn changes(&self, new: &Self, live: bool) -> Vec<Change> {
        let asks_others = |name: &str| self.proxies.unasked(name) != new.proxies.unasked(name);
        let is_live = |key: &str| {
            let named = key.strip_prefix("channel.namespaces.");
            let namespace = named.map(|rest| rest.rsplit_once('.').map_or(rest, |(name, _)| name));
            let namespace = namespace.unwrap_or_default();
            let is_of_channels = named.is_some() || key.starts_with("channel.without_namespace.");
            let is_below = |live: &str| {
                let rest = key.strip_prefix(live);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            LIVE.iter().any(|live| is_below(live))
                && !key.contains(OF_PROXIES)
                && !(is_of_channels && asks_others(namespace))
        };
        let mut changes = differences(&self.written.0, &new.written.0);
        changes.retain(|change| is_live(&change.key) == live);
        changes
    }
}

/// What is not the same in both, by path.
fn differences(old: &Item, new: &Item) -> Vec<Change> {
    let mut changes = BTreeMap::new();
    let mut add = |key: String, what: &str| changes.insert(key, what.to_owned());
    let (was, is) = (entries(old), entries(new));
    for key in was.difference(&is) {
        add(key.clone(), "removed");
    }
    for key in is.difference(&was) {
        add(key.clone(), "added");
    }
    let mut before = BTreeMap::new();
    each_setting(old, |key, setting, item| {
        before.insert(key, (setting, item));
    });
    each_setting(new, |key, setting, item| {
        let Some((_, was)) = before.get(&key) else {
            return;
        };
        if was.value != item.value {
            let (old, new) = (
                masked_text(setting, &was.value),
                masked_text(setting, &item.value),
            );
            let is_told = old != new;
            let what = if is_told {
                format!("{old} → {new}")
            } else {
                "changed".into()
            };
            add(key, &what);
        }
    });
    let changes = changes.into_iter();
    changes.map(|(key, what)| Change { key, what }).collect()
}

/// The paths of all tables whose names are the operator's.
fn entries(tree: &Item) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    each_entry(tree, |key| {
        keys.insert(key);
    });
    keys
}

#[cfg(test)]
mod tests {
    use super::super::schema::FILE;
    use super::*;

    const OLD: &str = r#"
        [client]
        channel_limit = 10
        ping_interval = "20s"
        [client.token]
        hmac_secret_key = "one"
        [channel.namespaces.chat]
        presence = true
        [channel.namespaces.old]
    "#;

    fn config(text: &str) -> Config {
        Config::from_toml(text).expect("it is a configuration")
    }

    fn told(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_live_setting_exists() {
        for live in LIVE {
            let is_table = FILE.is_table(live) || FILE.named(live).is_some();
            let (path, name) = live.rsplit_once('.').expect("a path");
            let setting = FILE.section(path).and_then(|section| section.setting(name));
            assert!(is_table || setting.is_some(), "{live}");
        }
    }

    #[test]
    fn changes_are_told_apart_and_secrets_are_not_told() {
        let old = config(OLD);
        let new = config(
            r#"
            [client]
            channel_limit = 20
            ping_interval = "30s"
            [client.token]
            hmac_secret_key = "two"
            [channel.namespaces.chat]
            presence = false
            [channel.namespaces.new]
            [websocket]
            message_size_limit = 100000
            "#,
        );
        assert_eq!(
            told(&old.live_changes(&new)),
            [
                "channel.namespaces.chat.presence: true → false",
                "channel.namespaces.new: added",
                "channel.namespaces.old: removed",
                "client.channel_limit: 10 → 20",
                "client.token.hmac_secret_key: changed",
            ]
        );
        assert_eq!(
            told(&old.pending_changes(&new)),
            [
                "client.ping_interval: \"20s\" → \"30s\"",
                "websocket.message_size_limit: 65536 → 100000",
            ]
        );
        let next = old.adopting(&new);
        assert_eq!(next.client.limits.channel_limit, 20);
        assert_eq!(next.client.timing.ping_interval, Duration::from_secs(20));
        assert_eq!(next.websocket.message_size_limit, 65536);
        let names: Vec<_> = next.channel.namespaces.iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["chat", "new"]);
        assert!(next.live_changes(&new).is_empty());
        assert!(told(&old.live_changes(&old)).is_empty());
    }

    #[test]
    fn a_namespace_that_asks_another_service_waits_for_the_restart() {
        const SERVICE: &str = r#"
            [channel.proxy.subscribe]
            endpoint = "http://127.0.0.1:1/subscribe"
        "#;
        let asking = "subscribe_proxy_enabled = true";
        let old = config(&format!("[channel.namespaces.chat]\n{SERVICE}"));
        let new = config(&format!(
            "[channel.namespaces.chat]\npresence = true\n{asking}\n\
             [channel.namespaces.new]\n{asking}\n{SERVICE}"
        ));
        let next = old.adopting(&new);
        let [(name, options)] = &next.channel.namespaces[..] else {
            panic!("not one: {next:?}");
        };
        assert_eq!((name.as_str(), options.presence), ("chat", false));
        assert!(old.live_changes(&new).is_empty());
        assert_eq!(
            told(&old.pending_changes(&new)),
            [
                "channel.namespaces.chat.presence: false → true",
                "channel.namespaces.chat.subscribe_proxy_enabled: false → true",
                "channel.namespaces.new: added",
            ]
        );
    }

    #[test]
    fn what_is_known_of_streams_is_kept_no_shorter_than_the_broker_was_told() {
        let with = |ttl: &str| {
            config(&format!(
                "[channel.without_namespace]\nhistory_size = 1\nhistory_ttl = \"1s\"\n\
                 history_meta_ttl = \"{ttl}\""
            ))
        };
        let next = with("10s").adopting(&with("5s"));
        let kept = next.channel.without_namespace.history_meta_ttl;
        assert_eq!(kept, Duration::from_secs(10));
    }

    #[test]
    fn histories_in_nats_become_no_larger_than_its_servers_were_told() {
        let with = |history: &str| {
            let engine = "[engine]\ntype = \"nats\"";
            config(&format!("{engine}\n[channel.without_namespace]\n{history}"))
        };
        let small = "history_size = 10\nhistory_ttl = \"5m\"\nhistory_meta_ttl = \"1h\"";
        let large = "history_size = 20\nhistory_ttl = \"2h\"\nhistory_meta_ttl = \"2h\"";
        let kept = |old: &str, new: &str| {
            let next = with(old).adopting(&with(new));
            let retention = next.channel.without_namespace.retention();
            retention.map(|kept| (kept.size, kept.ttl.as_secs(), kept.meta_ttl.as_secs()))
        };
        assert_eq!(kept(small, large), Some((10, 3600, 3600)));
        assert_eq!(kept(large, small), Some((10, 300, 7200)));
        assert_eq!(kept("", small), None, "nothing was prepared for any");
    }
}
