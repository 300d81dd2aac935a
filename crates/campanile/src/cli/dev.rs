//! Development: a server for the first minute, which needs no reading.
//!
//! It listens on the loopback only, makes its secrets for this run and shows them.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use campanile_protocol::ClientId;

use crate::config::{Config, HmacKeys, Secret};
use crate::token::{NewToken, sign};

/// Who the token made at start is for.
const USER: &str = "dev";

/// How long it is good for, in seconds.
const TOKEN_TTL: u64 = 7 * 24 * 60 * 60;

/// What was made for this run.
#[derive(Clone, Debug)]
pub(super) struct Dev {
    api_key: Secret,
    /// Signs and verifies tokens.
    keys: HmacKeys,
    token: String,
    api_prefix: String,
    websocket_path: String,
    has_tls: bool,
}

/// Fills in the secrets that a configuration for development leaves out.
pub(super) fn prepare(mut config: Config) -> (Config, Option<Dev>) {
    let rules = &config.client.authentication.token;
    // Where only published keys count, no secret of ours signs anything.
    let can_sign = rules.jwks.is_none();
    let keys = rules.hmac.clone().unwrap_or_else(|| HmacKeys {
        current: random_secret(),
        previous: None,
    });
    fill_in(&mut config, &keys, random_secret);
    let iat = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let token = NewToken {
        sub: USER.into(),
        iat,
        exp: Some(iat + TOKEN_TTL),
        ..NewToken::default()
    };
    let signed = can_sign.then(|| sign(&token, &keys.current).ok()).flatten();
    let token = signed.unwrap_or_default();
    let dev = Dev {
        keys,
        api_key: config.http_api.key.clone(),
        token,
        api_prefix: config.http_api.handler_prefix.clone(),
        websocket_path: config.websocket.handler_prefix.clone(),
        has_tls: config.http_server.tls.is_some(),
    };
    (config, Some(dev))
}

impl Dev {
    /// Fills in the same secrets once more.
    pub(super) fn again(&self, mut config: Config) -> Config {
        fill_in(&mut config, &self.keys, || self.api_key.clone());
        config
    }
}

fn fill_in(config: &mut Config, keys: &HmacKeys, api_key: impl FnOnce() -> Secret) {
    let rules = &mut config.client.authentication.token;
    rules.hmac.get_or_insert_with(|| keys.clone());
    for transport in [
        &mut config.http_stream,
        &mut config.sse,
        &mut config.uni_http_stream,
        &mut config.uni_sse,
    ] {
        transport.enabled = true;
    }
    config.uni_websocket.enabled = true;
    config.init.enabled = true;
    if config.http_api.key.is_empty() {
        config.http_api.key = api_key();
    }
}

fn random_secret() -> Secret {
    let random = || {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        ClientId::from_random(bytes, bytes[15]).to_string()
    };
    Secret::new(random())
}

impl Dev {
    /// Tells a newcomer what to do next.
    pub(super) fn announce(&self, address: SocketAddr) {
        let s = if self.has_tls { "s" } else { "" };
        let Self {
            token,
            api_prefix,
            websocket_path,
            ..
        } = self;
        let key = self.api_key.expose();
        crate::cli::say(&format!(
            "
  Campanile {version} in DEVELOPMENT mode: everyone on this machine may do everything.

  Playground   http{s}://{address}/
  WebSocket    ws{s}://{address}{websocket_path}
  API key: {key}
  Token: {token}

  Publish:
    curl -H 'X-API-Key: {key}' -d '{{\"channel\":\"news\",\"data\":{{\"hello\":\"world\"}}}}' \\
      http{s}://{address}{api_prefix}/publish

  Stop with Ctrl-C.
",
            version = env!("CARGO_PKG_VERSION"),
        ));
    }

    /// The playground's pages.
    pub(super) fn configure(&self, services: &mut ServiceConfig) {
        let config = serde_json::json!({
            "token": self.token,
            "user": USER,
            "apiKey": self.api_key.expose(),
        });
        let config = config.to_string();
        services.route(
            "/playground/config.json",
            web::get().to(move || {
                let config = config.clone();
                async move { page("application/json", config.into()) }
            }),
        );
        for (path, kind, content) in PAGES {
            services.route(
                path,
                web::get().to(move || async move { page(kind, (*content).into()) }),
            );
        }
    }
}

/// The playground, as it was built.
const PAGES: &[(&str, &str, &str)] = &[
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../playground/dist/index.html"),
    ),
    (
        "/app.js",
        "text/javascript; charset=utf-8",
        include_str!("../playground/dist/app.js"),
    ),
    (
        "/app.css",
        "text/css; charset=utf-8",
        include_str!("../playground/dist/app.css"),
    ),
    (
        "/licenses.md",
        "text/plain; charset=utf-8",
        include_str!("../playground/dist/licenses.md"),
    ),
];

/// A page that may load nothing but its own files and talk to nobody but this server.
fn page(kind: &str, content: web::Bytes) -> impl Responder + use<> {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header((
            "Content-Security-Policy",
            "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'",
        ))
        .body(content)
}
