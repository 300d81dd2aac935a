//! Where endpoints are: no two of them may want the same requests. The router would give all of
//! them to one, and nobody would hear of it.

use super::Resolver;
use crate::api;
use crate::config::resolved::Config;
use crate::config::tree::Origin;

/// What is there whatever is configured.
const FIXED: [&str; 3] = ["/connection/echo", "/ready", "/healthcheck"];

const API: &str = "http_api.handler_prefix";
const PLAIN: &str = "plain.handler_prefix";

/// A path that is served, and the setting that put it there; `None` for what is always there.
type Claim = (Option<&'static str>, String);

impl Resolver<'_> {
    pub(super) fn paths(&mut self, config: &Config) {
        let found_before = self.problems.len();
        let others = [
            (API, &config.http_api.handler_prefix),
            (PLAIN, &config.plain.handler_prefix),
        ];
        let endpoints = endpoints(config).map(|(key, _, path)| (key, path));
        for (key, path) in endpoints.into_iter().chain(others) {
            // Braces would be the router's own, and match anything.
            if !path.starts_with('/') || path.contains(['{', '}', '?', '#']) {
                self.no_path(key, path);
            }
        }
        let prefix = &config.plain.handler_prefix;
        if prefix.starts_with('/') && prefix.ends_with('/') {
            // Every path would be that of a channel, or none.
            self.no_path(PLAIN, prefix);
        }
        if self.problems.len() == found_before {
            self.shared_paths(config);
        }
    }

    fn no_path(&mut self, key: &str, path: &str) {
        let reason = format!("expected a path such as \"/path\", found {path:?}");
        self.invalid(key, reason);
    }

    fn shared_paths(&mut self, config: &Config) {
        let claims = claims(config);
        for (index, (key, path)) in claims.iter().enumerate() {
            let first = claims[..index].iter().find(|(_, other)| other == path);
            if let (Some(key), Some((first, _))) = (*key, first) {
                self.shared_path(key, *first, path);
            }
        }
        let prefix = &config.plain.handler_prefix;
        let is_channel = |path: &str| {
            let below = path.strip_prefix(prefix.as_str());
            below.is_some_and(|below| below.starts_with('/') && below.len() > 1)
        };
        if config.plain.enabled
            && let Some((key, path)) = claims.iter().find(|(_, path)| is_channel(path))
        {
            self.shared_path(PLAIN, *key, path);
        }
    }

    /// Told at the setting that somebody touched, or else at the first of the two.
    fn shared_path(&mut self, key: &'static str, other: Option<&'static str>, path: &str) {
        let is_untouched = |key: &str| {
            let item = self.tree.get(key);
            item.is_none_or(|item| item.origin == Origin::Default)
        };
        let (key, other) = match other {
            Some(other) if is_untouched(key) => (other, Some(key)),
            other => (key, other),
        };
        let other = other.unwrap_or("the server itself");
        self.invalid(key, format!("{path:?} belongs to {other} as well"));
    }
}

/// Those with one path: its setting, whether it is served, and where.
fn endpoints(config: &Config) -> [(&'static str, bool, &String); 10] {
    let Config {
        websocket,
        uni_websocket,
        http_stream,
        sse,
        uni_http_stream,
        uni_sse,
        emulation,
        init,
        prometheus,
        health,
        ..
    } = config;
    // Where nothing needs emulating, it is not served.
    let emulates = http_stream.enabled || sse.enabled;
    [
        (
            "websocket.handler_prefix",
            !websocket.disabled,
            &websocket.handler_prefix,
        ),
        (
            "uni_websocket.handler_prefix",
            uni_websocket.enabled,
            &uni_websocket.handler_prefix,
        ),
        (
            "http_stream.handler_prefix",
            http_stream.enabled,
            &http_stream.handler_prefix,
        ),
        ("sse.handler_prefix", sse.enabled, &sse.handler_prefix),
        (
            "uni_http_stream.handler_prefix",
            uni_http_stream.enabled,
            &uni_http_stream.handler_prefix,
        ),
        (
            "uni_sse.handler_prefix",
            uni_sse.enabled,
            &uni_sse.handler_prefix,
        ),
        (
            "emulation.handler_prefix",
            emulates,
            &emulation.handler_prefix,
        ),
        ("init.handler_prefix", init.enabled, &init.handler_prefix),
        (
            "prometheus.handler_prefix",
            prometheus.enabled,
            &prometheus.handler_prefix,
        ),
        (
            "health.handler_prefix",
            health.enabled,
            &health.handler_prefix,
        ),
    ]
}

/// Every path that is served, except those of plain channel sockets, which are without number.
fn claims(config: &Config) -> Vec<Claim> {
    let fixed = FIXED.map(|path| (None, path.to_owned()));
    let api = (!config.http_api.disabled).then(|| api::paths(&config.http_api.handler_prefix));
    let api = api.into_iter().flatten().map(|path| (Some(API), path));
    let endpoints = endpoints(config).into_iter();
    let enabled = endpoints.filter(|(_, is_enabled, _)| *is_enabled);
    let enabled = enabled.map(|(key, _, path)| (Some(key), path.clone()));
    fixed.into_iter().chain(api).chain(enabled).collect()
}
