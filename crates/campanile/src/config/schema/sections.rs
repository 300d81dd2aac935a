//! Every table of the file, in the order in which `config default` prints them.
//!
//! Keys, nesting and defaults are those of Centrifugo 6, except for settings marked as ours.

use super::engine::{DISK, ENGINE};
use super::nats::NATS;
use super::proxy::{CLIENT_PROXY, PROXY, PROXY_HTTP, PROXY_TLS, RPC, RPC_NAMESPACE, RPC_PING};
use super::redis::REDIS;
use super::{Kind, NAMESPACE_OPTIONS, Section, Setting};

const fn section(path: &'static str, settings: &'static [Setting]) -> Section {
    Section::new(path, settings)
}

/// All tables with fixed keys.
pub(crate) const SECTIONS: &[Section] = &[
    section("http_server", HTTP_SERVER),
    section("http_server.tls", TLS),
    section("log", LOG),
    section("node", NODE),
    section("shutdown", SHUTDOWN),
    section("memory", MEMORY),
    section("engine", ENGINE),
    section("engine.disk", DISK),
    section("engine.nats", NATS),
    section("engine.nats.tls", PROXY_TLS),
    section("engine.redis", REDIS),
    section("engine.redis.tls", PROXY_TLS),
    section("engine.redis.sentinel_tls", PROXY_TLS),
    section("client", CLIENT),
    section("client.token", TOKEN),
    section("client.subscription_token", SUBSCRIPTION_TOKEN),
    section(
        "client.subscribe_to_user_personal_channel",
        PERSONAL_CHANNEL,
    ),
    section("client.proxy.connect", CLIENT_PROXY),
    section("client.proxy.connect.http", PROXY_HTTP),
    section("client.proxy.connect.http.tls", PROXY_TLS),
    section("client.proxy.refresh", CLIENT_PROXY),
    section("client.proxy.refresh.http", PROXY_HTTP),
    section("client.proxy.refresh.http.tls", PROXY_TLS),
    section("channel", CHANNEL),
    section("channel.without_namespace", NAMESPACE_OPTIONS),
    section("channel.proxy.subscribe", PROXY),
    section("channel.proxy.subscribe.http", PROXY_HTTP),
    section("channel.proxy.subscribe.http.tls", PROXY_TLS),
    section("channel.proxy.publish", PROXY),
    section("channel.proxy.publish.http", PROXY_HTTP),
    section("channel.proxy.publish.http.tls", PROXY_TLS),
    section("channel.proxy.sub_refresh", PROXY),
    section("channel.proxy.sub_refresh.http", PROXY_HTTP),
    section("channel.proxy.sub_refresh.http.tls", PROXY_TLS),
    section("rpc", RPC),
    section("rpc.without_namespace", RPC_NAMESPACE),
    section("rpc.ping", RPC_PING),
    section("rpc.proxy", PROXY),
    section("rpc.proxy.http", PROXY_HTTP),
    section("rpc.proxy.http.tls", PROXY_TLS),
    section("http_api", HTTP_API),
    section("websocket", WEBSOCKET),
    section("http_stream", HTTP_STREAM),
    section("sse", SSE),
    section("emulation", EMULATION),
    section("uni_websocket", UNI_WEBSOCKET),
    section("uni_http_stream", UNI_HTTP_STREAM),
    section("uni_sse", UNI_SSE),
    section("init", INIT),
    section("plain", PLAIN),
    section("admin", ADMIN),
    section("prometheus", PROMETHEUS),
    section("health", HEALTH),
];

const HTTP_SERVER: &[Setting] = &[
    Setting::text(
        "address",
        "",
        "IP address to listen on; empty for every IPv4 address, \"::\" for every address.",
    ),
    Setting::new("port", Kind::Port, "8000", "TCP port to listen on."),
    Setting::count("workers", "0", "Worker threads; 0 for one per core.").ours(),
    Setting::list(
        "trusted_proxies",
        "Addresses and networks whose X-Forwarded-For says where clients are, for handlers.",
    )
    .ours(),
];

const TLS: &[Setting] = &[
    Setting::flag("enabled", "Serve TLS."),
    Setting::text(
        "cert_pem",
        "",
        "Certificate chain: PEM, base64 of PEM, or the path of a PEM file.",
    ),
    Setting::secret(
        "key_pem",
        "Private key: PEM, base64 of PEM, or the path of a PEM file.",
    ),
];

const LOG: &[Setting] = &[Setting::one_of(
    "level",
    &["none", "trace", "debug", "info", "warn", "error", "fatal"],
    "info",
    "Least severe events to log.",
)];

const NODE: &[Setting] = &[Setting::text(
    "name",
    "",
    "Name of this node; empty for the host's name and port.",
)];

const SHUTDOWN: &[Setting] = &[
    Setting::duration(
        "timeout",
        "30s",
        "Longest time that others are waited for after SIGTERM.",
    ),
    Setting::duration(
        "delay",
        "0s",
        "Time from SIGTERM, when /ready turns red, until nobody is let in any more; for load balancers to notice.",
    )
    .ours(),
    Setting::duration(
        "drain",
        "5s",
        "Time over which connections are closed evenly at shutdown; 0s, also by default where systemd hands the socket to the next process, for all at once.",
    )
    .ours(),
];

const MEMORY: &[Setting] = &[Setting::count(
    "limit",
    "0",
    "Bytes that queues and history may hold on this node; 0 for half of the machine's memory.",
)
.ours()];

const CLIENT: &[Setting] = &[
    Setting::list(
        "allowed_origins",
        "Origins of browsers that may connect, with * as a wildcard, or same-origin for pages of this very host and port; none if empty.",
    ),
    Setting::flag(
        "allow_anonymous_connect_without_token",
        "Let clients connect without a token.",
    ),
    Setting::flag(
        "disallow_anonymous_connection_tokens",
        "Refuse connection tokens without a user.",
    ),
    Setting::duration("ping_interval", "25s", "How often a client is pinged."),
    Setting::duration(
        "pong_timeout",
        "8s",
        "How long a client may take to answer a ping.",
    ),
    Setting::duration(
        "expired_close_delay",
        "25s",
        "Grace for a connection whose token expired.",
    ),
    Setting::duration(
        "expired_sub_close_delay",
        "25s",
        "Grace for a subscription whose token expired.",
    ),
    Setting::duration(
        "stale_close_delay",
        "10s",
        "Time a new connection has to authenticate.",
    ),
    Setting::size("channel_limit", "128", "Subscriptions per connection."),
    Setting::size(
        "queue_max_size",
        "1048576",
        "Bytes queued for a connection before it is closed as too slow.",
    ),
    Setting::count(
        "connection_limit",
        "0",
        "Connections of this node; 0 for no limit.",
    ),
    Setting::count(
        "user_connection_limit",
        "0",
        "Connections of one user on this node; 0 for no limit.",
    ),
    Setting::count(
        "connection_rate_limit",
        "0",
        "Connections accepted per second; 0 for no limit.",
    ),
    Setting::flag(
        "connect_include_server_time",
        "Tell clients the server's time when they connect.",
    ),
    Setting::size(
        "history_max_publication_limit",
        "300",
        "Publications in one answer about history.",
    ),
    Setting::size(
        "recovery_max_publication_limit",
        "300",
        "Publications in one recovery.",
    ),
    Setting::flag(
        "insecure",
        "Let anyone connect and do everything. For development only.",
    ),
    Setting::flag(
        "insecure_skip_token_signature_verify",
        "Believe every token. For development only.",
    ),
    Setting::duration(
        "presence_update_interval",
        "27s",
        "How often presence is renewed.",
    )
    .not_yet(),
    Setting::count(
        "concurrency",
        "0",
        "Commands of one client handled at a time; 0 for one.",
    ),
    Setting::duration(
        "channel_position_check_delay",
        "40s",
        "How long a channel may be quiet before its position is compared; 0s for never.",
    ),
    Setting::duration(
        "channel_position_max_time_lag",
        "0s",
        "Age of a publication at which a position counts as lost; 0s for never.",
    )
    .not_yet(),
    Setting::text(
        "user_id_http_header",
        "",
        "Header of a trusted proxy that carries the user's id.",
    ),
];

/// The settings of token verification. A macro, as a constant list cannot be spliced into another.
macro_rules! token_settings {
    ($($before:expr,)*) => {
        &[
            $($before,)*
            Setting::secret("hmac_secret_key", "Key of HS256, HS384 and HS512 tokens."),
            Setting::secret(
                "hmac_previous_secret_key",
                "Key that is tried when the current one fails, to change keys in peace.",
            ),
            Setting::count(
                "hmac_previous_secret_key_valid_until",
                "0",
                "Unix time in seconds until when it is tried; 0 for always.",
            ),
            Setting::text(
                "rsa_public_key",
                "",
                "Key of RS and PS tokens: PEM, base64 of PEM, or the path of a PEM file.",
            ),
            Setting::text(
                "ecdsa_public_key",
                "",
                "Key of ES256 or ES384 tokens: PEM, base64 of PEM, or the path of a PEM file.",
            ),
            Setting::new(
                "jwks_public_endpoint",
                Kind::Url,
                "",
                "URL of a JSON Web Key Set, which is then all that counts; {{name}} stands for a group.",
            ),
            Setting::text("audience", "", "The aud claim that tokens must have."),
            Setting::regex("audience_regex", "What the aud claim must match."),
            Setting::text("issuer", "", "The iss claim that tokens must have."),
            Setting::regex("issuer_regex", "What the iss claim must match."),
            Setting::text("user_id_claim", "", "The claim that names the user; empty for sub."),
        ]
    };
}

const TOKEN: &[Setting] = token_settings!();

const SUBSCRIPTION_TOKEN: &[Setting] = token_settings!(Setting::flag(
    "enabled",
    "Verify subscription tokens by the settings here, not by those of client.token.",
),);

const PERSONAL_CHANNEL: &[Setting] = &[
    Setting::flag("enabled", "Subscribe users to a channel of their own."),
    Setting::text(
        "personal_channel_namespace",
        "",
        "Namespace of these channels.",
    ),
    Setting::flag(
        "single_connection",
        "Let a user's new connection end the others.",
    ),
];

const CHANNEL: &[Setting] = &[
    Setting::duration(
        "history_meta_ttl",
        "720h",
        "How long a channel's epoch and offset are kept after its last publication.",
    ),
    Setting::size("max_length", "255", "Bytes of a channel's name."),
    Setting::one_of(
        "publication_data_format",
        &["", "json", "json_object", "binary"],
        "",
        "What data must be; empty for anything but nothing.",
    ),
    Setting::text(
        "private_prefix",
        "$",
        "Begins the name of a channel that needs a subscription token.",
    ),
    Setting::text(
        "namespace_boundary",
        ":",
        "Ends the namespace in a channel's name.",
    ),
    Setting::text(
        "user_boundary",
        "#",
        "Begins the users in a channel's name.",
    ),
    Setting::text("user_separator", ",", "Stands between these users."),
];

const HTTP_API: &[Setting] = &[
    Setting::flag("disabled", "Switch the HTTP API off."),
    Setting::text("handler_prefix", "/api", "Path of the HTTP API."),
    Setting::secret("key", "Key that calls must present."),
    Setting::one_of(
        "error_mode",
        &["", "transport"],
        "",
        "With transport, errors are HTTP statuses too.",
    ),
    Setting::flag("external", "Serve the API on the external port too.").not_yet(),
    Setting::flag("insecure", "Ask for no key. For development only."),
];

const WEBSOCKET: &[Setting] = &[
    Setting::flag("disabled", "Switch WebSocket off."),
    Setting::text(
        "handler_prefix",
        "/connection/websocket",
        "Path of the WebSocket endpoint.",
    ),
    Setting::size(
        "message_size_limit",
        "65536",
        "Bytes of one incoming message.",
    ),
    Setting::flag(
        "compression",
        "Compress messages for clients that offer to read them so.",
    ),
    Setting::count(
        "compression_min_size",
        "0",
        "Bytes from which on a message is compressed; 0 for 512.",
    ),
    Setting::count(
        "compression_level",
        "1",
        "How hard it is tried, from 1 (fastest) to 9 (smallest).",
    ),
    Setting::count(
        "decompressed_message_size_limit",
        "0",
        "Bytes that a compressed message may become; 0 for message_size_limit.",
    ),
    Setting::duration(
        "write_timeout",
        "1s",
        "How long a write may make no progress.",
    )
    .not_yet(),
];

/// The settings of an endpoint that takes a body. A macro, for the same reason as the one above.
macro_rules! body_settings {
    ($path:literal $(, $before:expr)* $(,)?) => {
        &[
            $($before,)*
            Setting::text("handler_prefix", $path, "Path of the endpoint."),
            Setting::size("max_request_body_size", "65536", "Bytes of a request's body."),
        ]
    };
}

const HTTP_STREAM: &[Setting] = body_settings!(
    "/connection/http_stream",
    Setting::flag("enabled", "Serve clients over streamed HTTP responses."),
);

const SSE: &[Setting] = body_settings!(
    "/connection/sse",
    Setting::flag("enabled", "Serve clients over server-sent events."),
);

const EMULATION: &[Setting] = body_settings!("/emulation");

const UNI_WEBSOCKET: &[Setting] = &[
    Setting::flag("enabled", "Serve clients that only listen over WebSocket."),
    Setting::text(
        "handler_prefix",
        "/connection/uni_websocket",
        "Path of the endpoint.",
    ),
    Setting::flag(
        "disable_closing_handshake",
        "End connections without a close frame.",
    )
    .not_yet(),
    Setting::flag(
        "disable_disconnect_push",
        "Say why a connection ends in its close frame only.",
    )
    .not_yet(),
    Setting::flag(
        "join_push_messages",
        "Put messages that wait together into one frame.",
    )
    .not_yet(),
];

const UNI_HTTP_STREAM: &[Setting] = body_settings!(
    "/connection/uni_http_stream",
    Setting::flag(
        "enabled",
        "Serve clients that only listen over streamed HTTP responses."
    ),
);

const UNI_SSE: &[Setting] = body_settings!(
    "/connection/uni_sse",
    Setting::flag(
        "enabled",
        "Serve clients that only listen over server-sent events."
    ),
);

const INIT: &[Setting] = &[
    Setting::flag("enabled", "Serve an endpoint to measure the distance to."),
    Setting::text(
        "handler_prefix",
        "/connection/init",
        "Path of the endpoint.",
    ),
];

const PLAIN: &[Setting] = &[
    // Nothing is there for it that other endpoints would not give too: the same origins, tokens and
    // permissions decide.
    Setting::new(
        "enabled",
        Kind::Bool,
        "true",
        "Serve sockets that carry the payloads of one channel and nothing else.",
    )
    .ours(),
    Setting::text(
        "handler_prefix",
        "/connection/plain",
        "Path in front of the name of a channel.",
    )
    .ours(),
];

const ADMIN: &[Setting] = &[
    Setting::flag("enabled", "Serve the admin page.").not_yet(),
    Setting::text("handler_prefix", "", "Path of the admin page.").not_yet(),
    Setting::secret("password", "Password of the admin page.").not_yet(),
    Setting::secret("secret", "Key that signs the sessions of the admin page.").not_yet(),
    Setting::flag("insecure", "Ask for no password. For development only.").not_yet(),
    Setting::flag("external", "Serve the admin page on the external port too.").not_yet(),
];

const PROMETHEUS: &[Setting] = &[
    Setting::flag("enabled", "Serve metrics for Prometheus."),
    Setting::text("handler_prefix", "/metrics", "Path of the metrics."),
];

const HEALTH: &[Setting] = &[
    Setting::flag("enabled", "Serve health checks."),
    Setting::text("handler_prefix", "/health", "Path of the health check."),
];
