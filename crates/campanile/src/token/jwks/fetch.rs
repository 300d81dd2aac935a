//! One request for a document of keys. It blocks: it is for a thread of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::endpoint::JwksEndpoint;
use super::set::{KeySet, SetError};

/// Bytes of a document; real ones have a few thousand.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Why there are no keys.
#[derive(Debug)]
pub(super) enum FetchError {
    Http(ureq::Error),
    Status(u16),
    Document(SetError),
}

/// A client for this endpoint. It follows nobody elsewhere: whoever redirects could name any host,
/// and its keys would be believed.
pub(super) fn agent(endpoint: &JwksEndpoint, timeout: Duration) -> Agent {
    let roots = if endpoint.is_https() {
        // What cannot be read is missed by the handshake if it was needed.
        rustls_native_certs::load_native_certs().certs
    } else {
        Vec::new()
    };
    let roots: Vec<_> = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect();
    let provider = crate::tls::provider();
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy(endpoint))
        .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The proxy that the environment names, except for this machine itself.
fn proxy(endpoint: &JwksEndpoint) -> Option<Proxy> {
    let uri: Uri = endpoint.fill(|_| Some("x")).ok()?.parse().ok()?;
    let is_local = matches!(uri.host()?, "localhost" | "127.0.0.1" | "[::1]");
    Proxy::try_from_env().filter(|_| !is_local)
}

pub(super) fn fetch(agent: &Agent, url: &str) -> Result<KeySet, FetchError> {
    // The next request is minutes away, and would meet a connection that is gone.
    let request = agent.get(url).header("Connection", "close");
    let mut response = request.call().map_err(FetchError::Http)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    let body = response.body_mut().with_config().limit(DOCUMENT_BYTES_MAX);
    let document = body.read_to_vec().map_err(FetchError::Http)?;
    KeySet::parse(&document).map_err(FetchError::Document)
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Status(status) => write!(f, "status {status}, where only 200 will do"),
            Self::Document(error) => error.fmt(f),
        }
    }
}
