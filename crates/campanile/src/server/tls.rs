//! TLS as the server speaks it.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Tls;
use crate::tls::{self, PemError};

/// Why TLS cannot be spoken.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate or key.
    Pem(PemError),
    /// Certificate and key do not make a server.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Rustls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<PemError> for TlsError {
    fn from(error: PemError) -> Self {
        Self::Pem(error)
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error)
    }
}

impl From<TlsError> for super::ServeError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// The same, for HTTP/1.1, which is what a WebSocket begins as.
pub(super) fn over_http(config: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Makes a server's TLS of the configured certificate and key.
pub(super) fn load(settings: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = tls::certificates(&settings.certificates)?;
    let key = tls::private_key(&settings.key)?;
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(over_http(&Arc::new(config)))
}
