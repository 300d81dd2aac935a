//! Keys that Centrifugo 6 has and Campanile does not act on.
//!
//! Known, so that an operator who brings a file along is told "not supported" and not "unknown".

use crate::config::problem::{Problem, ProblemKind, Severity};
use crate::config::tree::{Origin, Value};

/// A key, or with all that is below it, that has no effect.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// Dotted; stands for everything below it too.
    path: &'static str,
    /// A text that asks for nothing we lack, beside the empty and false values.
    harmless: &'static str,
    /// What it means that the key has no effect, where that is not plain.
    note: &'static str,
    /// True where going on without it would silently weaken security.
    is_fatal: bool,
}

impl Foreign {
    pub(super) const fn path(&self) -> &'static str {
        self.path
    }

    /// What to tell about this key having `value`; nothing if it asks for nothing.
    pub(crate) fn problem(&self, origin: &Origin, key: &str, value: &Value) -> Option<Problem> {
        let is_harmless = value.is_inert() || *value == Value::Text(self.harmless.to_owned());
        (!is_harmless).then(|| Problem {
            severity: if self.is_fatal {
                Severity::Error
            } else {
                Severity::Warning
            },
            origin: origin.clone(),
            key: key.to_owned(),
            kind: ProblemKind::Unsupported(self.note),
        })
    }
}

const fn key(path: &'static str) -> Foreign {
    Foreign {
        path,
        harmless: "",
        note: "",
        is_fatal: false,
    }
}

const fn but(path: &'static str, harmless: &'static str) -> Foreign {
    Foreign {
        harmless,
        ..key(path)
    }
}

const fn noted(path: &'static str, note: &'static str) -> Foreign {
    Foreign { note, ..key(path) }
}

const TLS_CLIENTS: &str = "without it clients would not be asked for certificates";
const INTERNAL: &str = "internal endpoints are served on the main address and port";
const HTTP_ONLY: &str = "services are asked over HTTP only";
const NO_CLIENTS: &str = "it is about those who connect, and here it is the server that does";
const UNI_LIMIT: &str = "websocket.message_size_limit holds for every WebSocket";

/// Keys of the file.
pub(super) const FOREIGN: &[Foreign] = &[
    noted("http_server.internal_address", INTERNAL),
    noted("http_server.internal_port", INTERNAL),
    noted("http_server.internal_tls", INTERNAL),
    key("http_server.tls_external"),
    key("http_server.http3"),
    key("http_server.h2c_external"),
    Foreign {
        is_fatal: true,
        ..noted("http_server.tls.client_ca_pem", TLS_CLIENTS)
    },
    Foreign {
        is_fatal: true,
        ..noted("http_server.tls.client_ca_pem_file", TLS_CLIENTS)
    },
    key("http_server.tls.server_ca_pem"),
    key("http_server.tls.server_name"),
    key("http_server.tls.insecure_skip_verify"),
    key("http_server.tls_autocert"),
    key("log.file"),
    key("pid_file"),
    but("broker.type", "memory"),
    key("broker"),
    but("presence_manager.type", "memory"),
    key("presence_manager"),
    but("map_broker.type", "memory"),
    key("map_broker"),
    key("node.info_metrics_aggregate_interval"),
    key("client.token.jwks"),
    key("client.subscription_token.jwks"),
    key("client.connect_code_to_unidirectional_disconnect"),
    key("channel.proxy.subscribe_stream"),
    key("channel.proxy.map_publish"),
    key("channel.proxy.map_remove"),
    key("channel.proxy.shared_poll_refresh"),
    key("grpc_api"),
    key("websocket.compression_prepared_message_cache_size"),
    key("websocket.read_buffer_size"),
    key("websocket.write_buffer_size"),
    key("websocket.use_write_buffer_pool"),
    key("webtransport"),
    key("uni_websocket.compression_level"),
    key("uni_websocket.compression"),
    key("uni_websocket.compression_min_size"),
    key("uni_websocket.compression_prepared_message_cache_size"),
    noted("uni_websocket.message_size_limit", UNI_LIMIT),
    key("uni_websocket.read_buffer_size"),
    key("uni_websocket.write_buffer_size"),
    key("uni_websocket.use_write_buffer_pool"),
    key("uni_websocket.write_timeout"),
    key("uni_http_stream.connect_code_to_http_response"),
    key("uni_sse.connect_code_to_http_response"),
    key("uni_grpc"),
    key("admin.web_path"),
    key("admin.web_proxy_address"),
    key("prometheus.instrument_http_handlers"),
    key("prometheus.recovered_publications_histogram"),
    key("prometheus.native_histograms"),
    key("swagger"),
    key("debug"),
    key("graphite"),
    key("opentelemetry"),
    key("shared_poll"),
    key("consumers"),
    key("usage_stats"),
];

/// Options of a namespace that need streams of a proxy, maps or shared polls.
pub(super) const FOREIGN_OPTIONS: &[Foreign] = &[
    but("subscribe_stream_proxy_name", "default"),
    key("subscribe_stream_proxy_enabled"),
    key("subscribe_stream_proxy_bidirectional"),
    but("subscription_type", "stream"),
    key("map"),
    key("shared_poll"),
    key("map_clients_presence_channel_prefix"),
    key("map_users_presence_channel_prefix"),
];

/// Options of a proxy that only mean something to gRPC, or to a server.
pub(super) const FOREIGN_PROXY: &[Foreign] = &[
    noted("grpc", HTTP_ONLY),
    noted("grpc_metadata", HTTP_ONLY),
    noted("http.tls.client_ca_pem", NO_CLIENTS),
];

/// The entry of `list` that stands for this path.
pub(super) fn find(list: &'static [Foreign], path: &str) -> Option<&'static Foreign> {
    list.iter().find(|foreign| {
        path.strip_prefix(foreign.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
