//! Which source wins, how the environment spells things, and what is shown of them.

use std::fs;

use super::{environment, load_toml};
use crate::config::{Flag, LogLevel, Sources, load};

const SECRETS: &str = "[client.token]\nhmac_secret_key = 'hunter2'\n[http_api]\nkey = 'hunter2'\n\
                       [http_server.tls]\nkey_pem = 'hunter2'\n[admin]\npassword = 'hunter2'\n";

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[http_server]\nport = 1\naddress = '127.0.0.1'\n[log]\nlevel = 'debug'\n";
    let mut sources = environment(&[("CAMPANILE_HTTP_SERVER_PORT", "2")]);
    let port = |sources: &Sources| {
        let config = load_toml(file, sources).unwrap().config;
        assert_eq!(config.log.level, LogLevel::Debug);
        config.http_server.listen.port()
    };
    assert_eq!(port(&Sources::default()), 1);
    assert_eq!(port(&sources), 2);
    sources.flags = vec![Flag {
        name: "--port",
        path: "http_server.port",
        text: "3".into(),
    }];
    assert_eq!(port(&sources), 3);
}

#[test]
fn our_prefix_wins_over_the_alias() {
    let load = |variables| load(&environment(variables)).unwrap();
    let both = load(&[
        ("CENTRIFUGO_HTTP_API_KEY", "theirs"),
        ("CAMPANILE_HTTP_API_KEY", "ours"),
    ]);
    assert_eq!(both.config.http_api.key.expose(), "ours");
    assert_eq!(both.warnings, []);
    let alias = load(&[("CENTRIFUGO_HTTP_API_KEY", "theirs")]);
    assert_eq!(alias.config.http_api.key.expose(), "theirs");
}

#[test]
fn texts_in_the_environment_are_read_by_type() {
    let config = load(&environment(&[
        (
            "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS",
            "https://a.com https://b.com",
        ),
        ("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_PRESENCE", "true"),
        ("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", "1234"),
        ("CAMPANILE_CLIENT_PING_INTERVAL", "1m30s"),
        ("CAMPANILE_CLIENT_CHANNEL_LIMIT", "7"),
        ("CAMPANILE_CLIENT_PONG_TIMEOUT", ""),
    ]))
    .unwrap()
    .config;
    assert_eq!(
        config.client.allowed_origins,
        ["https://a.com", "https://b.com"]
    );
    assert!(config.channel.without_namespace.presence);
    let hmac = config.client.authentication.token.hmac.unwrap();
    assert_eq!(hmac.current.expose(), "1234");
    assert_eq!(config.client.timing.ping_interval.as_secs(), 90);
    assert_eq!(config.client.limits.channel_limit, 7);
    assert_eq!(config.client.timing.pong_timeout.as_secs(), 8);
}

#[test]
fn the_environment_defines_namespaces() {
    for list in [
        r#"[{"name": "chat", "presence": true}, {"name": "news-eu"}]"#,
        r#"{"chat": {"presence": true}, "news-eu": {}}"#,
    ] {
        let namespaces = load(&environment(&[("CENTRIFUGO_CHANNEL_NAMESPACES", list)]))
            .unwrap()
            .config
            .channel
            .namespaces;
        assert_eq!(namespaces.len(), 2, "{list}");
        assert!(namespaces[0].1.presence, "{list}");
    }
}

#[test]
fn the_environment_reaches_one_option_of_one_namespace() {
    let variables = [
        ("CAMPANILE_CHANNEL_NAMESPACES_CHAT_PRESENCE", "true"),
        ("CAMPANILE_CHANNEL_NAMESPACES_NEWS_EU_JOIN_LEAVE", "true"),
    ];
    let sources = environment(&variables);
    for file in [
        "[channel.namespaces.chat]\n[channel.namespaces.'news.eu']\n",
        "[[channel.namespaces]]\nname = 'chat'\n[[channel.namespaces]]\nname = 'news.eu'\n",
    ] {
        let loaded = load_toml(file, &sources).unwrap();
        assert_eq!(loaded.warnings, []);
        let [(_, chat), (_, news)] = loaded.config.channel.namespaces.as_slice() else {
            panic!("two namespaces");
        };
        assert!(chat.presence && !chat.join_leave, "{file}");
        assert!(news.join_leave && !news.presence, "{file}");
    }
    let named = [
        &variables[..],
        &[("CAMPANILE_CHANNEL_NAMESPACES", "chat news-eu")],
    ]
    .concat();
    let namespaces = load(&environment(&named))
        .unwrap()
        .config
        .channel
        .namespaces;
    assert!(namespaces[0].1.presence && namespaces[1].1.join_leave);
}

#[test]
fn a_misspelled_variable_is_told_but_never_fatal() {
    let sources = Sources {
        unknown: crate::config::Unknown::Refuse,
        ..environment(&[
            ("CAMPANILE_HTTP_SERVER_PROT", "1"),
            ("CAMPANILE_SERVICE_HOST", "10.0.0.1"),
            ("CENTRIFUGO_GRPC_API_ENABLED", "true"),
            ("CENTRIFUGO_SSE_ENABLED", "false"),
            ("HOME", "/"),
        ])
    };
    let warnings = load(&sources).unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "$CAMPANILE_HTTP_SERVER_PROT: unknown key; \
             did you mean \"CAMPANILE_HTTP_SERVER_PORT\"?",
            "$CAMPANILE_SERVICE_HOST: unknown key",
            "$CENTRIFUGO_GRPC_API_ENABLED: not supported by Campanile yet; it has no effect",
        ]
    );
}

#[test]
fn a_wrong_variable_is_an_error_that_names_it() {
    for (name, value, message) in [
        (
            "CAMPANILE_CLIENT_INSECURE",
            "maybe",
            "$CAMPANILE_CLIENT_INSECURE: client.insecure: expected true or false, found \"maybe\"",
        ),
        (
            "CENTRIFUGO_CLIENT_PING_INTERVAL",
            "25",
            "$CENTRIFUGO_CLIENT_PING_INTERVAL: client.ping_interval: \
             expected a duration such as \"25s\" or \"1h30m\", found \"25\"",
        ),
        (
            "CAMPANILE_CHANNEL_NAMESPACES",
            "[{]",
            "$CAMPANILE_CHANNEL_NAMESPACES: channel.namespaces: \
             syntax error: key must be a string",
        ),
    ] {
        let error = load(&environment(&[(name, value)])).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_secret_may_be_in_a_file() {
    let path = std::env::temp_dir().join(format!("campanile-secret-{}", std::process::id()));
    fs::write(&path, "from file\r\n").unwrap();
    let path_text = path.to_str().unwrap();
    let key = |variables: &[_]| {
        load(&environment(variables)).map(|l| l.config.http_api.key.expose().to_owned())
    };
    let file = ("CAMPANILE_HTTP_API_KEY_FILE", path_text);
    assert_eq!(key(&[file]).unwrap(), "from file");
    // The whole of ours wins over the whole of theirs.
    assert_eq!(
        key(&[file, ("CENTRIFUGO_HTTP_API_KEY", "x")]).unwrap(),
        "from file"
    );
    let twice = key(&[file, ("CAMPANILE_HTTP_API_KEY", "x")]).unwrap_err();
    assert!(twice.to_string().contains("is set too"), "{twice}");
    fs::remove_file(&path).unwrap();
    let gone = key(&[file]).unwrap_err().to_string();
    assert!(gone.contains("cannot read"), "{gone}");
}

#[test]
fn secrets_are_never_shown() {
    let loaded = load_toml(SECRETS, &Sources::default()).unwrap();
    assert_eq!(loaded.config.http_api.key.expose(), "hunter2");
    let shown = [
        format!("{loaded:?}"),
        loaded.to_toml(),
        loaded.to_json().to_string(),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
}

#[test]
fn what_is_in_effect_is_shown_with_where_it_came_from() {
    let sources = environment(&[("CENTRIFUGO_HTTP_SERVER_PORT", "9")]);
    let file = "[client]\ninsecure = true\n[channel.namespaces.'a.b']\npresence = true\n";
    let loaded = load_toml(file, &sources).unwrap();
    let text = loaded.to_toml();
    for line in [
        "port = 9  # $CENTRIFUGO_HTTP_SERVER_PORT\n",
        "insecure = true  # campanile.toml:2:1\n",
        "ping_interval = \"25s\"\n",
        "[channel.namespaces.\"a.b\"]\npresence = true  # campanile.toml:4:1\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json = loaded.to_json();
    assert_eq!(json["http_server.port"]["value"], 9);
    assert_eq!(json["client.ping_interval"]["from"], "default");
}

#[test]
fn the_shown_configuration_loads_as_the_same() {
    let file = "[client]\nallowed_origins = ['https://a \"b\"']\n[channel.namespaces.'a.b']\n\
                history_size = 3\nhistory_ttl = '3s'\n";
    let first = load_toml(file, &Sources::default()).unwrap();
    let second = load_toml(&first.to_toml(), &Sources::default()).unwrap();
    assert_eq!(
        format!("{:?}", first.config),
        format!("{:?}", second.config)
    );
}

#[test]
fn development_is_open_but_only_to_this_machine() {
    let dev = |file: &str| {
        let sources = Sources {
            is_dev: true,
            ..Sources::default()
        };
        load_toml(file, &sources)
    };
    let config = dev("").unwrap().config;
    assert!(config.client.authentication.insecure && !config.http_api.insecure);
    assert_eq!(config.http_server.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(
        config.client.allowed_origins,
        ["http://localhost:*", "http://127.0.0.1:*"]
    );
    let closed = dev("[client]\ninsecure = false").unwrap().config;
    assert!(!closed.client.authentication.insecure);
    let error = dev("[http_server]\naddress = '0.0.0.0'").unwrap_err();
    assert_eq!(
        error.to_string(),
        "campanile.toml:2:1: http_server.address: --dev only listens on a loopback address"
    );
}
