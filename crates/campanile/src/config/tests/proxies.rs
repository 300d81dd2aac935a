//! Services that are asked: who, about what, and how.

mod misleading;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::application::Interests;
use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Refusal};
use rcgen::generate_simple_self_signed;

use super::{environment, errors, load_json, load_toml, warnings};
use crate::config::{Config, Proxies, Proxy, Sources, default_toml, load};

const CENTRIFUGO: &str = r##"{
  "client": {"proxy": {
    "connect": {"enabled": true, "endpoint": "http://localhost:3000/connect", "timeout": "2s",
      "http_headers": ["Cookie", "Authorization"], "emulated_headers": ["X-Token"],
      "binary_encoding": true, "include_connection_meta": true,
      "http": {"static_headers": {"X-Api-Key": "hunter2"},
        "status_to_code_transforms": [
          {"status_code": 404, "to_error": {"code": 404, "message": "nobody", "temporary": true}},
          {"status_code": 403, "to_disconnect": {"code": 4504, "reason": "go"}}]}},
    "refresh": {"enabled": false, "endpoint": "grpc://localhost:3001"}}},
  "channel": {
    "proxy": {"subscribe": {"endpoint": "https://a/subscribe"},
              "publish": {"endpoint": "https://a/publish"},
              "sub_refresh": {"endpoint": "https://a/sub_refresh"}},
    "without_namespace": {"subscribe_proxy_enabled": true},
    "namespaces": [
      {"name": "chat", "publish_proxy_enabled": true, "publish_proxy_name": "other",
       "sub_refresh_proxy_enabled": true, "subscribe_proxy_name": "nobody"},
      {"name": "news", "subscribe_proxy_enabled": true},
      {"name": "plain"}]},
  "rpc": {"namespace_boundary": "/", "proxy": {"endpoint": "https://a/rpc"},
    "without_namespace": {"proxy_enabled": true},
    "namespaces": [{"name": "chat", "proxy_enabled": true, "proxy_name": "other"},
                   {"name": "none"}],
    "ping": {"enabled": true, "method": "echo"}},
  "proxies": [{"name": "other", "endpoint": "https://b/"}]
}"##;

fn proxies(text: &str) -> Proxies {
    let loaded = load_toml(text, &Sources::default()).expect("no error");
    loaded.config.proxies
}

/// A `[client.proxy.connect]` that is right, with these lines below.
fn connect(more: &str) -> String {
    format!("[client.proxy.connect]\nenabled = true\nendpoint = 'https://a'\n{more}\n")
}

fn connect_of(text: &str) -> Arc<Proxy> {
    proxies(text).connect.expect("a service")
}

fn endpoint(service: &Option<Arc<Proxy>>) -> Option<&str> {
    service.as_ref().map(|proxy| proxy.endpoint.as_str())
}

fn centrifugo() -> Config {
    let loaded = load_json(CENTRIFUGO).unwrap();
    assert_eq!(loaded.warnings, []);
    loaded.config
}

#[test]
fn nobody_is_asked_unless_that_is_configured() {
    let config = load(&Sources::default()).unwrap().config;
    assert_eq!(config.proxies.all().count(), 0);
    assert!(config.proxies.channels.is_empty() && config.proxies.rpc.ping.is_none());
    assert_eq!(config.proxies.rpc.namespace_boundary, ":");
    let all = Interests::SUBSCRIBE | Interests::PUBLISH | Interests::SUB_REFRESH;
    assert_eq!(config.channel.without_namespace.unasked, all);
}

#[test]
fn a_centrifugo_file_brings_its_services_in_every_part() {
    let connect = centrifugo().proxies.connect.unwrap();
    assert_eq!(connect.name, "default");
    assert_eq!(connect.endpoint, "http://localhost:3000/connect");
    assert_eq!(connect.timeout, Duration::from_secs(2));
    assert_eq!(connect.http_headers, ["cookie", "authorization"]);
    assert_eq!(connect.emulated_headers, ["x-token"]);
    assert!(connect.binary_encoding && connect.include_connection_meta);
    let [(name, value)] = connect.static_headers.as_slice() else {
        panic!("one header");
    };
    assert_eq!((name.as_str(), value.expose()), ("x-api-key", "hunter2"));
    let error = Refusal {
        code: 404,
        message: "nobody".into(),
        temporary: true,
    };
    let disconnect = Disconnect {
        code: 4504,
        reason: "go".into(),
    };
    assert_eq!(
        connect.transforms,
        [
            (404, Rejection::from(error)),
            (403, Rejection::from(disconnect))
        ]
    );
    assert!(connect.tls.is_none());
}

#[test]
fn namespaces_choose_whom_they_ask() {
    let config = centrifugo();
    let Proxies { channels, rpc, .. } = &config.proxies;
    let names: Vec<_> = channels.keys().collect();
    assert_eq!(names, ["", "chat", "news"]);
    assert_eq!(
        endpoint(&channels[""].subscribe),
        Some("https://a/subscribe")
    );
    assert_eq!(endpoint(&channels[""].publish), None);
    let chat = &channels["chat"];
    assert_eq!(endpoint(&chat.subscribe), None);
    assert_eq!(endpoint(&chat.publish), Some("https://b/"));
    assert_eq!(endpoint(&chat.sub_refresh), Some("https://a/sub_refresh"));
    assert_eq!(endpoint(&rpc.without_namespace), Some("https://a/rpc"));
    assert_eq!(endpoint(&rpc.namespaces["chat"]), Some("https://b/"));
    assert_eq!(endpoint(&rpc.namespaces["none"]), None);
    assert_eq!(rpc.ping.as_deref(), Some("echo"));
    assert_eq!(rpc.namespace_boundary, "/");
    assert!(config.proxies.refresh.is_none(), "it is not enabled");
    // One service for both who choose it.
    let (here, there) = (chat.publish.as_ref(), rpc.namespaces["chat"].as_ref());
    assert!(Arc::ptr_eq(here.unwrap(), there.unwrap()));
    assert_eq!(here.unwrap().name, "other");
    assert_eq!(here.unwrap().timeout, Duration::from_secs(1));
}

#[test]
fn a_namespace_is_not_asked_about_where_it_chose_nobody() {
    let Config { channel, .. } = centrifugo();
    let unasked: Vec<_> = channel.namespaces.iter().map(|(_, o)| o.unasked).collect();
    let subscribe = Interests::SUBSCRIBE;
    let others = Interests::PUBLISH | Interests::SUB_REFRESH;
    assert_eq!(channel.without_namespace.unasked, others);
    assert_eq!(unasked, [subscribe, others, subscribe | others]);
}

#[test]
fn services_may_be_tables_by_name() {
    let text = "[proxies.'a.b']\nendpoint = 'https://a'\n\
                [proxies.'a.b'.http.static_headers]\nX-A = '1'\n\
                [rpc.namespaces.chat]\nproxy_enabled = true\nproxy_name = 'a.b'\n";
    let rpc = proxies(text).rpc;
    let service = rpc.namespaces["chat"].as_ref().unwrap();
    assert_eq!(service.name, "a.b");
    assert_eq!(service.static_headers.len(), 1);
}

#[test]
fn a_code_without_a_text_gets_the_name_of_its_status() {
    let service = connect_of(&connect(
        "http.status_to_code_transforms = [\n\
         { status_code = 403, to_error = { code = 1000 } },\n\
         { status_code = 599, to_disconnect = { code = 4500, reason = '' } }]",
    ));
    let [
        (_, Rejection::Refuse(refusal)),
        (_, Rejection::Disconnect(disconnect)),
    ] = service.transforms.as_slice()
    else {
        panic!("{:?}", service.transforms);
    };
    assert_eq!(refusal.message, "forbidden");
    assert_eq!(disconnect.reason, "refused");
}

#[test]
fn tls_says_who_is_believed_and_what_is_shown() {
    let pair = generate_simple_self_signed(["a".into()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let tls = |lines: &str| {
        connect(&format!(
            "[client.proxy.connect.http.tls]\nenabled = true\n{lines}"
        ))
    };
    let whole = format!(
        "cert_pem = '''{certificate}'''\nkey_pem = '''{key}'''\n\
         server_ca_pem = '''{certificate}'''\nserver_name = 'b'\ninsecure_skip_verify = true"
    );
    let found = connect_of(&tls(&whole)).tls.clone().unwrap();
    assert_eq!(
        found.server_ca.unwrap().read().unwrap(),
        certificate.as_bytes()
    );
    assert_eq!(found.client.unwrap().1.read().unwrap(), key.as_bytes());
    assert_eq!(found.server_name.as_deref(), Some("b"));
    assert!(found.insecure_skip_verify);
    let least = connect_of(&tls("")).tls.clone().unwrap();
    assert!(least.server_ca.is_none() && least.client.is_none() && least.server_name.is_none());
    let place = "campanile.toml:6:1: client.proxy.connect.http.tls.";
    let alone = tls(&format!("cert_pem = '''{certificate}'''"));
    assert_eq!(errors(&alone), [format!("{place}cert_pem: needs key_pem")]);
    let told = errors(&tls("server_ca_pem = 'no/such'")).concat();
    assert!(
        told.starts_with(&format!("{place}server_ca_pem: neither PEM nor")),
        "{told}"
    );
    assert!(!told.contains("no/such"), "{told}");
    let plain = tls("").replace("https:", "http:");
    assert_eq!(
        warnings(&plain),
        [
            "campanile.toml:5:1: client.proxy.connect.http.tls.enabled: has no effect, as the \
             endpoint is not https"
        ]
    );
}

#[test]
fn the_environment_reaches_services() {
    let variables = [
        ("CAMPANILE_CLIENT_PROXY_CONNECT_ENABLED", "true"),
        ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", "http://a"),
        (
            "CAMPANILE_CLIENT_PROXY_CONNECT_HTTP_HEADERS",
            "Cookie Origin",
        ),
        (
            "CAMPANILE_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS",
            r#"{"X-Key": "a"}"#,
        ),
        (
            "CAMPANILE_CLIENT_PROXY_CONNECT_HTTP_STATUS_TO_CODE_TRANSFORMS",
            r#"[{"status_code": 404, "to_error": {"code": 404}}]"#,
        ),
        ("CENTRIFUGO_PROXIES", "one-and two"),
        ("CENTRIFUGO_PROXIES_ONE_AND_ENDPOINT", "http://one"),
        ("CENTRIFUGO_PROXIES_ONE_AND_TIMEOUT", "3s"),
        ("CENTRIFUGO_PROXIES_TWO_ENDPOINT", "http://two"),
        ("CAMPANILE_PROXIES_TWO_HTTP_STATIC_HEADERS", r#"{"a": "b"}"#),
        ("CENTRIFUGO_RPC_NAMESPACES", r#"[{"name": "chat"}]"#),
        ("CENTRIFUGO_RPC_NAMESPACES_CHAT_PROXY_ENABLED", "true"),
        ("CENTRIFUGO_RPC_NAMESPACES_CHAT_PROXY_NAME", "one-and"),
        (
            "CAMPANILE_CHANNEL_WITHOUT_NAMESPACE_SUBSCRIBE_PROXY_ENABLED",
            "true",
        ),
        (
            "CAMPANILE_CHANNEL_WITHOUT_NAMESPACE_SUBSCRIBE_PROXY_NAME",
            "two",
        ),
    ];
    let loaded = load(&environment(&variables)).unwrap();
    assert_eq!(loaded.warnings, []);
    let proxies = loaded.config.proxies;
    let connect = proxies.connect.unwrap();
    assert_eq!(connect.http_headers, ["cookie", "origin"]);
    assert_eq!(connect.static_headers[0].1.expose(), "a");
    assert_eq!(connect.transforms.len(), 1);
    let chat = proxies.rpc.namespaces["chat"].as_ref().unwrap();
    assert_eq!(
        (chat.endpoint.as_str(), chat.timeout.as_secs()),
        ("http://one", 3)
    );
    let two = proxies.channels[""].subscribe.as_ref().unwrap();
    assert_eq!(two.static_headers.len(), 1);
}

#[test]
fn static_headers_and_queries_are_never_shown_and_the_rest_loads_again() {
    let text = connect(
        "http.static_headers = { X-Key = 'hunter2' }\n\
         http.status_to_code_transforms = [{ status_code = 404, to_error = { code = 404 } }]\n\
         [proxies.'a.b']\nendpoint = 'https://a?key=hunter2'\n\
         [rpc.namespaces.chat]\nproxy_enabled = true\nproxy_name = 'a.b'",
    );
    let loaded = load_toml(&text, &Sources::default()).unwrap();
    let shown = [
        // Of what is not the query of a URL, which is only masked where it is printed.
        format!("{loaded:?}").replace("?key=hunter2", ""),
        loaded.to_toml(),
        loaded.to_json().to_string(),
    ];
    for text in &shown {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
    let again = load_toml(&shown[1], &Sources::default()).unwrap().config;
    let masked = text.replace("key=hunter2", "***").replace("hunter2", "***");
    let masked = load_toml(&masked, &Sources::default()).unwrap().config;
    assert_eq!(format!("{again:?}"), format!("{masked:?}"));
    let json = loaded.to_json();
    assert_eq!(json["proxies.a.b.http.static_headers"]["from"], "default");
}

#[test]
fn every_setting_of_services_is_in_the_default_file() {
    let text = default_toml();
    for table in [
        "[client.proxy.connect]\n",
        "[client.proxy.refresh.http]\n",
        "[channel.proxy.sub_refresh.http.tls]\n",
        "[rpc.proxy]\n",
        "[rpc.ping]\n",
        "# [proxies.NAME]",
    ] {
        assert!(text.contains(table), "{table}");
    }
    let first = text.split("[client.proxy.connect.http]").nth(1).unwrap();
    let lines: Vec<_> = first.lines().take(5).collect();
    assert_eq!(lines[2], "static_headers = {}");
    assert_eq!(lines[4], "status_to_code_transforms = []");
}
