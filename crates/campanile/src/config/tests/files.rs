//! What files may say, and what is said about them.

use std::time::Duration;

use campanile_engine::channel::options::{DataFormat, DeltaType, RecoveryMode};

use proptest::proptest;

use super::{errors, load_json, load_toml, warnings};
use crate::config::{
    Config, ErrorMode, LogLevel, Sources, Unknown, default_toml, load, resolved::ClaimRule,
};

const CENTRIFUGO: &str = r##"{
  "client": {
    "token": {
      "hmac_secret_key": "secret", "hmac_previous_secret_key": "older",
      "hmac_previous_secret_key_valid_until": 1800000000,
      "audience": "chat", "issuer_regex": "^auth-[0-9]+$", "user_id_claim": "uid"
    },
    "subscription_token": {"enabled": true, "hmac_secret_key": "other"},
    "allowed_origins": ["https://app.example.com", "https://*.example.org"],
    "allow_anonymous_connect_without_token": true,
    "ping_interval": "20s", "pong_timeout": "5s", "channel_limit": 256,
    "queue_max_size": 2097152, "connection_limit": 50000, "user_connection_limit": 0
  },
  "http_server": {"address": "0.0.0.0", "port": 9000, "internal_port": ""},
  "http_api": {"key": "api-key", "error_mode": "transport"},
  "admin": {"enabled": false, "password": "", "secret": ""},
  "engine": {"type": "memory", "redis": {"address": ""}},
  "broker": {"enabled": false, "type": "memory"},
  "log": {"level": "debug"},
  "prometheus": {"enabled": true}, "health": {"enabled": true},
  "sse": {"enabled": false, "handler_prefix": "/connection/sse", "max_request_body_size": 65536},
  "shutdown": {"timeout": "3s"},
  "channel": {
    "history_meta_ttl": "48h", "publication_data_format": "json",
    "without_namespace": {"allow_subscribe_for_client": true, "presence": true},
    "namespaces": [
      {"name": "chat", "history_size": 100, "history_ttl": "300s", "force_recovery": true,
       "join_leave": true, "allow_subscribe_for_client": true, "allow_publish_for_subscriber": true,
       "allow_history_for_subscriber": true, "subscribe_proxy_name": "default",
       "channel_regex": "^[a-z]+$"},
      {"name": "news.eu", "history_meta_ttl": "1h", "publication_data_format": "binary"}
    ]
  }
}"##;

#[test]
fn a_centrifugo_file_loads_without_a_word() {
    let loaded = load_json(CENTRIFUGO).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.http_server.listen.to_string(), "0.0.0.0:9000");
    assert!(config.http_server.tls.is_none());
    assert_eq!(config.client.timing.ping_interval, Duration::from_secs(20));
    assert_eq!(config.client.limits.connection_limit.unwrap().get(), 50_000);
    assert_eq!(config.client.limits.user_connection_limit, None);
    assert_eq!(config.http_api.error_mode, ErrorMode::Transport);
    assert_eq!(config.log.level, LogLevel::Debug);
    // Our default of five seconds must not outlast a shorter timeout.
    assert_eq!(config.shutdown.drain, Duration::from_secs(3));
}

#[test]
fn a_centrifugo_file_brings_its_tokens() {
    let config = load_json(CENTRIFUGO).unwrap().config;
    let authentication = config.client.authentication;
    let token = authentication.token;
    let hmac = token.hmac.unwrap();
    assert_eq!(hmac.current.expose(), "secret");
    let previous = hmac.previous.unwrap();
    assert_eq!(previous.key.expose(), "older");
    assert_eq!(previous.valid_until, Some(1_800_000_000));
    assert!(matches!(token.audience, Some(ClaimRule::Exact(text)) if text == "chat"));
    assert!(matches!(token.issuer, Some(ClaimRule::Matches(regex)) if regex.is_match("auth-7")));
    assert_eq!(token.user_id_claim.as_deref(), Some("uid"));
    let subscription = authentication.subscription_token.unwrap();
    assert_eq!(subscription.hmac.unwrap().current.expose(), "other");
}

#[test]
fn a_centrifugo_file_brings_its_namespaces() {
    let channel = load_json(CENTRIFUGO).unwrap().config.channel;
    let [(chat_name, chat), (news_name, news)] = channel.namespaces.as_slice() else {
        panic!("{:?}", channel.namespaces);
    };
    assert_eq!(
        (chat_name.as_str(), news_name.as_str()),
        ("chat", "news.eu")
    );
    assert_eq!(chat.history_size, 100);
    assert_eq!(chat.history_ttl, Duration::from_secs(300));
    assert_eq!(chat.history_meta_ttl, Duration::from_secs(48 * 3600));
    assert_eq!(news.history_meta_ttl, Duration::from_secs(3600));
    assert_eq!(chat.publication_data_format, DataFormat::Json);
    assert_eq!(news.publication_data_format, DataFormat::Binary);
    let regex = chat.channel_regex.as_ref().unwrap();
    assert!(regex.matches("abc") && !regex.matches("ABC"));
    assert!(chat.force_recovery && channel.without_namespace.presence);
    assert_eq!(chat.force_recovery_mode, RecoveryMode::Stream);
}

#[test]
fn namespaces_may_be_tables_by_name() {
    let list = "[[channel.namespaces]]\nname = 'chat'\npresence = true\n\
                [[channel.namespaces]]\nname = 'news'\nhistory_size = 1\nhistory_ttl = '1s'\n";
    let tables = "[channel.namespaces.chat]\npresence = true\n\
                  [channel.namespaces.news]\nhistory_size = 1\nhistory_ttl = '1s'\n";
    let load = |text| {
        load_toml(text, &Sources::default())
            .unwrap()
            .config
            .channel
            .namespaces
    };
    assert_eq!(load(list), load(tables));
    assert_eq!(load(list).len(), 2);
}

#[test]
fn nothing_configured_means_the_documented_defaults() {
    let config = load(&Sources::default()).unwrap().config;
    assert_eq!(config.http_server.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(config.client.timing.pong_timeout, Duration::from_secs(8));
    assert_eq!(config.client.limits.queue_max_size, 1_048_576);
    assert_eq!(config.websocket.handler_prefix, "/connection/websocket");
    assert_eq!(config.channel.names, Default::default());
    assert_eq!(
        config.channel.without_namespace.history_meta_ttl,
        Duration::from_secs(720 * 3600)
    );
    assert!(config.client.authentication.token.hmac.is_none());
    assert!(config.memory.limit.is_none());
}

#[test]
fn the_default_file_loads_and_changes_nothing() {
    let strict = Sources {
        unknown: Unknown::Refuse,
        ..Sources::default()
    };
    let text = |config: &Config| format!("{config:#?}");
    let from_file = load_toml(&default_toml(), &strict).unwrap();
    assert_eq!(from_file.warnings, []);
    let from_nothing = load(&Sources::default()).unwrap();
    assert_eq!(text(&from_file.config), text(&from_nothing.config));
}

#[test]
fn an_unknown_key_is_a_warning_that_names_the_nearest() {
    let text = "[client]\nping_intervall = '5s'\n\n[[channel.namespaces]]\nname = 'chat'\n  histroy_size = 5\n";
    assert_eq!(
        warnings(text),
        [
            "campanile.toml:2:1: client.ping_intervall: unknown key; did you mean \"ping_interval\"?",
            "campanile.toml:6:3: channel.namespaces[0].histroy_size: unknown key; \
             did you mean \"history_size\"?",
        ]
    );
}

#[test]
fn an_unknown_key_is_an_error_when_strict() {
    let strict = Sources {
        unknown: Unknown::Refuse,
        ..Sources::default()
    };
    let error = load_toml("api_key = 'x'\nxyzzy = 1\n", &strict).unwrap_err();
    assert_eq!(
        error.to_string(),
        "campanile.toml:1:1: api_key: unknown key; did you mean \"http_api.key\"?\n\
         campanile.toml:2:1: xyzzy: unknown key"
    );
}

#[test]
fn what_only_centrifugo_does_is_a_warning() {
    assert_eq!(
        warnings(
            "[client.token]\naudience = 'a'\n\
             [admin]\nenabled = true\n[channel.without_namespace]\n\
             subscribe_stream_proxy_enabled = true\n[webtransport]\nenabled = true\n"
        ),
        [
            "campanile.toml:4:1: admin.enabled: not supported by Campanile yet; it has no effect",
            "campanile.toml:6:1: channel.without_namespace.subscribe_stream_proxy_enabled: \
             not supported by Campanile yet; it has no effect",
            "campanile.toml:7:2: webtransport: not supported by Campanile yet; it has no effect",
        ]
    );
}

#[test]
fn what_the_engine_acts_on_is_no_reason_to_warn() {
    let text = "[client]\nchannel_position_check_delay = '0s'\n\
                [client.subscribe_to_user_personal_channel]\nenabled = true\n\
                personal_channel_namespace = 'chat'\nsingle_connection = true\n\
                [channel.namespaces.chat]\npresence = true\nallow_tags_filter = true\n\
                history_size = 1\nhistory_ttl = '60s'\nforce_recovery = true\n\
                force_recovery_mode = 'cache'\nauto_cache_recover = true\n";
    assert!(warnings(text).is_empty());
    let client = load_toml(text, &Sources::default()).unwrap().config.client;
    assert_eq!(client.timing.channel_position_check_delay, None);
    assert!(client.personal_channel.unwrap().single_connection);
}

#[test]
fn what_is_not_supported_yet_is_still_kept() {
    let text = "[admin]\nenabled = true\n";
    let config = load_toml(text, &Sources::default()).unwrap().config;
    assert!(config.admin.enabled);
}

#[test]
fn deltas_are_configured_per_namespace_by_names_that_are_known() {
    let text = "[channel.without_namespace]\n\
                allowed_delta_types = ['fossil']\ndelta_publish = true\n";
    assert!(warnings(text).is_empty());
    let config = load_toml(text, &Sources::default()).unwrap().config;
    let options = config.channel.without_namespace;
    assert_eq!(options.allowed_delta_types, [DeltaType::Fossil]);
    assert!(options.delta_publish);
    assert_eq!(
        errors("[channel.without_namespace]\nallowed_delta_types = ['xdelta3']\n"),
        [
            "campanile.toml:2:1: channel.without_namespace.allowed_delta_types: \
          expected a list of \"fossil\", found \"xdelta3\""
        ]
    );
}

#[test]
fn a_client_certificate_authority_is_not_silently_ignored() {
    let text = errors("[http_server.tls]\nclient_ca_pem = 'ca.pem'\n").join("\n");
    assert_eq!(
        text,
        "campanile.toml:2:1: http_server.tls.client_ca_pem: not supported by Campanile yet; \
         without it clients would not be asked for certificates"
    );
}

#[test]
fn every_wrong_type_is_told_at_once_with_its_place() {
    assert_eq!(
        errors(
            "log = 'info'\n[client]\nping_interval = 25\nallowed_origins = 'https://a'\n\
             channel_limit = 0\n  insecure = 'yes'\n[http_api]\nkey = 1234\n[channel]\nnamespaces = 3\n"
        ),
        [
            "campanile.toml:1:1: log: expected a table, found a string",
            "campanile.toml:3:1: client.ping_interval: \
             expected a duration such as \"25s\" or \"1h30m\", found an integer",
            "campanile.toml:4:1: client.allowed_origins: expected a list of strings, found a string",
            "campanile.toml:5:1: client.channel_limit: expected an integer of 1 or more, found 0 or less",
            "campanile.toml:6:3: client.insecure: expected true or false, found a string",
            "campanile.toml:8:1: http_api.key: expected a string, found an integer",
            "campanile.toml:10:1: channel.namespaces: \
             expected a list, or tables by name, found an integer",
        ]
    );
}

#[test]
fn json_places_are_told_too() {
    let error = load_json("{\n  \"client\": {\n    \"channel_limit\": \"x\"}\n}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "config.json:3:5: client.channel_limit: expected an integer of 1 or more, found a string"
    );
    let json = error.problems()[0].to_json();
    assert_eq!((&json["line"], &json["column"]), (&3.into(), &5.into()));
    assert_eq!(json["key"], "client.channel_limit");
}

/// Holds that each text is refused with its message.
fn assert_refused(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        let errors = errors(text);
        assert!(errors.iter().any(|e| e == message), "{errors:#?}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert_refused(&[
        (
            "[client]\nping_interval = '8s'",
            "campanile.toml:2:1: client.ping_interval: must be longer than client.pong_timeout",
        ),
        (
            "[channel.without_namespace]\nhistory_size = 5",
            "campanile.toml:2:1: channel.without_namespace.history_size: needs history_ttl",
        ),
        (
            "[[channel.namespaces]]\nname = 'chat'\nhistory_ttl = '5s'",
            "campanile.toml:3:1: channel.namespaces.chat.history_ttl: needs history_size",
        ),
        (
            "[channel]\nhistory_meta_ttl = '1s'\n\
             without_namespace = { history_size = 1, history_ttl = '5s' }",
            "campanile.toml:3:41: channel.without_namespace.history_ttl: \
             must not be longer than history_meta_ttl",
        ),
        (
            "[channel.namespaces.chat]\nforce_recovery = true",
            "campanile.toml:2:1: channel.namespaces.chat.force_recovery: \
             needs history_size and history_ttl",
        ),
    ]);
}

#[test]
fn values_that_mean_nothing_are_refused() {
    assert_refused(&[
        (
            "[[channel.namespaces]]\nname = 'a'",
            "campanile.toml:2:1: channel.namespaces[0].name: \"a\" is no name of a namespace: \
             two or more of a-z A-Z 0-9 - _ .",
        ),
        (
            "[[channel.namespaces]]\nname = 'ab'\n[[channel.namespaces]]\nname = 'ab'",
            "campanile.toml:4:1: channel.namespaces[1].name: \
             namespace \"ab\" was already defined at campanile.toml:2:1",
        ),
        (
            "[[channel.namespaces]]\npresence = true",
            "campanile.toml:1:1: channel.namespaces[0]: a namespace needs a name",
        ),
        (
            "[channel.namespaces.chat]\nchannel_regex = '(a'",
            "campanile.toml:2:1: channel.namespaces.chat.channel_regex: \
             does not compile: unclosed group",
        ),
        (
            "[channel]\npublication_data_format = 'xml'",
            "campanile.toml:2:1: channel.publication_data_format: \
             expected one of \"\", \"json\", \"json_object\", \"binary\", found \"xml\"",
        ),
        (
            "[client.token]\naudience = 'a'\naudience_regex = 'b'",
            "campanile.toml:3:1: client.token.audience_regex: \
             cannot be combined with client.token.audience",
        ),
        (
            "[client.token]\nuser_id_claim = 'a.b'",
            "campanile.toml:2:1: client.token.user_id_claim: expected letters and underscores only",
        ),
        (
            "[http_server.tls]\nenabled = true\ncert_pem = 'a.pem'",
            "default: http_server.tls.key_pem: needed, as http_server.tls.enabled is true",
        ),
        (
            "[http_server]\naddress = 'example.com'",
            "campanile.toml:2:1: http_server.address: \
             expected an IP address, found \"example.com\"",
        ),
        (
            "[http_api]\nhandler_prefix = 'api'",
            "campanile.toml:2:1: http_api.handler_prefix: \
             expected a path such as \"/path\", found \"api\"",
        ),
    ]);
}

#[test]
fn auto_cache_recovery_needs_cache_recovery() {
    let text = errors("[channel.namespaces.chat]\nauto_cache_recover = true").join("\n");
    assert!(
        text.contains("needs force_recovery and force_recovery_mode"),
        "{text}"
    );
}

#[test]
fn personal_channels_need_their_namespace_and_presence() {
    const TABLE: &str = "[client.subscribe_to_user_personal_channel]\nenabled = true\n";
    let missing = errors(&format!("{TABLE}personal_channel_namespace = 'me'"));
    assert!(
        missing.contains(
            &"campanile.toml:3:1: \
          client.subscribe_to_user_personal_channel.personal_channel_namespace: \
          there is no namespace \"me\""
                .to_owned()
        )
    );
    let absent = errors(&format!("{TABLE}single_connection = true")).join("\n");
    assert!(absent.contains("needs presence"), "{absent}");
}

#[test]
fn a_file_of_another_format_is_refused() {
    let sources = Sources {
        file: Some("config.yaml".into()),
        ..Sources::default()
    };
    let error = load(&sources).unwrap_err().to_string();
    assert!(
        error.starts_with("config.yaml: cannot be read: only TOML and JSON"),
        "{error}"
    );
}

#[test]
fn certificates_are_texts_or_files_that_are_there() {
    let tls = |cert: &str, key: &str| {
        let text =
            format!("[http_server.tls]\nenabled = true\ncert_pem = '{cert}'\nkey_pem = '{key}'");
        load_toml(&text, &Sources::default())
    };
    let pem = "-----BEGIN CERTIFICATE-----";
    let encoded = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t";
    let config = tls(pem, encoded).unwrap().config;
    let tls_settings = config.http_server.tls.unwrap();
    assert_eq!(tls_settings.certificates.read().unwrap(), pem.as_bytes());
    assert_eq!(tls_settings.key.read().unwrap(), pem.as_bytes());
    let path = std::env::temp_dir().join(format!("campanile-{}-cert.pem", std::process::id()));
    std::fs::write(&path, pem).unwrap();
    let config = tls(&path.display().to_string(), pem).unwrap().config;
    assert!(
        !config
            .http_server
            .tls
            .unwrap()
            .certificates
            .read()
            .unwrap()
            .is_empty()
    );
    std::fs::remove_file(path).unwrap();
    let error = tls(pem, "damaged-key").unwrap_err().to_string();
    assert!(error.contains("key_pem: neither PEM nor a file"), "{error}");
    assert!(!error.contains("damaged-key"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in r#"([\[\]{}=:,."'a\n\\ü#0-]|client|channel|namespaces|name|true|1e9|-7){0,40}"#) {
        let _ = load_toml(&text, &Sources::default());
        let _ = load_json(&text);
        let variables = [("CAMPANILE_CHANNEL_NAMESPACES", text.as_str())];
        let _ = load(&super::environment(&variables));
    }
}
