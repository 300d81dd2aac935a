//! TLS as the server speaks it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

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

/// What the server shows of itself, which may be renewed while it runs: connections that are there
/// stay as they are.
#[derive(Debug)]
pub(super) struct Identity(ArcSwap<CertifiedKey>);

impl Identity {
    /// That of the configured certificate and key.
    pub(super) fn load(settings: &Tls) -> Result<Self, TlsError> {
        let certificates = tls::certificates(&settings.certificates)?;
        let key = tls::private_key(&settings.key)?;
        let whole = CertifiedKey::from_der(certificates, key, &tls::provider())?;
        Ok(Self(ArcSwap::from_pointee(whole)))
    }

    /// Becomes another one; whether it is another one.
    pub(super) fn become_as(&self, other: &Self) -> bool {
        let other = other.0.load_full();
        let is_another = self.0.load().cert != other.cert;
        self.0.store(other);
        is_another
    }

    /// TLS of a server that shows it.
    pub(super) fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let identity = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let config = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(identity);
        Ok(over_http(&Arc::new(config)))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
