//! Certificates and keys.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;

/// Why TLS cannot be spoken.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    Io(std::io::Error),
    /// What was read is not PEM of the right kind.
    Pem(&'static str, rustls_pki_types::pem::Error),
    /// Certificate and key do not make a server.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Pem(what, error) => write!(f, "no {what} in it: {error}"),
            Self::Rustls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}

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
    let certificates = settings.certificates.read().map_err(TlsError::Io)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem("certificate", error))?;
    let key = settings.key.read().map_err(TlsError::Io)?;
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem("private key", error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(TlsError::Rustls)?;
    Ok(over_http(&Arc::new(config)))
}
