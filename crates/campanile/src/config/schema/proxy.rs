//! The tables about HTTP services that decide about clients, and about who answers calls.

use super::{Kind, Section, Setting};

/// The settings of one service. A macro, as a constant list cannot be spliced into another.
macro_rules! proxy_settings {
    ($($before:expr,)*) => {
        &[
            $($before,)*
            Setting::new("endpoint", Kind::Url, "", "URL that is asked: http or https."),
            Setting::duration("timeout", "1s", "How long an answer may take."),
            Setting::list(
                "http_headers",
                "Headers of the client's own request that are passed on.",
            ),
            Setting::list(
                "emulated_headers",
                "Headers of the client's connect command that are passed on.",
            ),
            Setting::flag("binary_encoding", "Let payloads travel as base64."),
            Setting::flag(
                "include_connection_meta",
                "Tell what is kept about the connection.",
            ),
        ]
    };
}

/// One of a section.
pub(super) const PROXY: &[Setting] = proxy_settings!();

/// One that nobody names elsewhere, so that it is switched on where it stands.
pub(super) const CLIENT_PROXY: &[Setting] =
    proxy_settings!(Setting::flag("enabled", "Ask this service."),);

pub(super) const PROXY_HTTP: &[Setting] = &[
    Setting::new(
        "static_headers",
        Kind::Headers,
        "",
        "Headers of every request, by name.",
    ),
    Setting::new(
        "status_to_code_transforms",
        Kind::Transforms,
        "",
        "What statuses stand for: tables of status_code and to_error or to_disconnect.",
    ),
];

pub(super) const PROXY_TLS: &[Setting] = &[
    Setting::flag("enabled", "Follow what stands here for https."),
    Setting::text(
        "cert_pem",
        "",
        "Certificate chain to show: PEM, base64 of PEM, or the path of a PEM file.",
    ),
    Setting::secret(
        "key_pem",
        "Its private key: PEM, base64 of PEM, or the path of a PEM file.",
    ),
    Setting::text(
        "server_ca_pem",
        "",
        "Who signs the server's certificate, in the same forms; empty for whom the system trusts.",
    ),
    Setting::text(
        "server_name",
        "",
        "The name in the server's certificate; empty for the host of the URL.",
    ),
    Setting::flag(
        "insecure_skip_verify",
        "Believe every certificate. For development only.",
    ),
];

/// The tables of one entry of `proxies`.
pub(super) const NAMED_PROXY: &[Section] = &[
    Section::new("", PROXY),
    Section::new("http", PROXY_HTTP),
    Section::new("http.tls", PROXY_TLS),
];

/// The tables of one entry of `status_to_code_transforms`. A code of 0 is none.
pub(super) const TRANSFORM: &[Section] = &[
    Section::new(
        "",
        &[Setting::count("status_code", "0", "Status of the answer.")],
    ),
    Section::new(
        "to_error",
        &[
            Setting::count("code", "0", "Code of the error."),
            Setting::text("message", "", "Its text."),
            Setting::flag("temporary", "Whether trying again may help."),
        ],
    ),
    Section::new(
        "to_disconnect",
        &[
            Setting::count("code", "0", "Code of the disconnect."),
            Setting::text("reason", "", "Its text."),
        ],
    ),
];

pub(super) const RPC: &[Setting] = &[Setting::text(
    "namespace_boundary",
    ":",
    "Ends the namespace in a method's name.",
)];

/// Who answers the methods of one namespace.
pub(super) const RPC_NAMESPACE: &[Setting] = &[
    Setting::flag("proxy_enabled", "Let a service answer calls."),
    Setting::text(
        "proxy_name",
        "default",
        "Which of proxies; default for rpc.proxy.",
    ),
];

/// The tables of one entry of `rpc.namespaces`.
pub(super) const NAMED_RPC_NAMESPACE: &[Section] = &[Section::new("", RPC_NAMESPACE)];

pub(super) const RPC_PING: &[Setting] = &[
    Setting::flag("enabled", "Answer one method here, with nothing."),
    Setting::text("method", "ping", "The name of this method."),
];
