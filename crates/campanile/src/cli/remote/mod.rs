//! What the commands that talk to a running server have in common: where it is, whom to trust, how
//! a failure is told.
//!
//! What is asked of the server is not known here.

mod http;
mod tls;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use ureq::http::Uri;

use super::{EXIT_CONFIG, EXIT_FAILURE, EXIT_UNREACHABLE, EXIT_USAGE, say};
use crate::config::HttpServer;

pub(super) use http::{Answer, Http};
pub use tls::TlsArgs;

/// Why a command about a server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// What was typed makes no sense.
    Usage(String),
    /// What was configured does not suffice.
    Configuration(String),
    /// Nobody answered there.
    Unreachable {
        /// Where.
        url: String,
        /// What happened instead.
        reason: String,
        /// Whether somebody may be there, who has only said nothing for a long time.
        is_late: bool,
    },
    /// The server said no, or something that is no answer.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Configuration(text) | Self::Refused(text) => {
                f.write_str(text)
            }
            Self::Unreachable { url, reason, .. } => write!(f, "cannot reach {url}: {reason}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Says it, and how to end.
    pub(super) fn tell(self) -> ExitCode {
        say(&self.to_string());
        ExitCode::from(match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Configuration(_) => EXIT_CONFIG,
            Self::Unreachable { .. } => EXIT_UNREACHABLE,
            Self::Refused(_) => EXIT_FAILURE,
        })
    }
}

/// Where the configured server listens, seen from this machine, as `scheme://address:port`; the
/// scheme gets an `s` with TLS.
pub(super) fn local_url(scheme: &str, server: &HttpServer) -> String {
    let s = if server.tls.is_some() { "s" } else { "" };
    let ip = match server.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, server.listen.port());
    format!("{scheme}{s}://{address}")
}

/// Reads `http://` and `https://`, without the slashes at the end.
pub(super) fn parse_http_url(text: &str) -> Result<String, String> {
    parse_url(text, "http").map(|url| url.trim_end_matches('/').to_owned())
}

/// Reads `ws://` and `wss://`.
pub(super) fn parse_websocket_url(text: &str) -> Result<String, String> {
    parse_url(text, "ws")
}

fn parse_url(text: &str, scheme: &str) -> Result<String, String> {
    let is_one = text.parse::<Uri>().is_ok_and(|uri| {
        let rest = uri
            .scheme_str()
            .and_then(|given| given.strip_prefix(scheme));
        matches!(rest, Some("" | "s")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_one {
        Ok(text.to_owned())
    } else {
        Err(format!("expected {scheme}://HOST:PORT or {scheme}s://…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_interface_become_this_machine() {
        for (address, url) in [
            ("0.0.0.0", "http://127.0.0.1:8000"),
            ("::", "http://[::1]:8000"),
            ("10.1.2.3", "http://10.1.2.3:8000"),
        ] {
            let variable = ("CAMPANILE_HTTP_SERVER_ADDRESS".into(), address.into());
            let sources = crate::config::Sources {
                environment: vec![variable],
                ..Default::default()
            };
            let config = crate::config::load(&sources).unwrap().config;
            assert_eq!(local_url("http", &config.http_server), url);
        }
    }

    #[test]
    fn only_urls_of_the_right_scheme_with_a_host_are_read() {
        let root = "https://a.example:1/";
        assert_eq!(parse_http_url(root).unwrap(), "https://a.example:1");
        for text in ["ws://a/", "http:///x", "a:80", "/", "", "httpss://a"] {
            assert!(parse_http_url(text).is_err(), "{text}");
        }
        assert!(parse_websocket_url("wss://[::1]:8000/connection/websocket").is_ok());
        assert!(parse_websocket_url("http://a").is_err());
    }
}
