//! How the server of a proxy is recognised, and this one to it.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, RootCertStore};

use crate::config::ProxyTls;
use crate::tls::{self, Credulous, PemError};

/// Why TLS cannot be spoken to a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsFault {
    /// There is no certificate or key.
    Pem(PemError),
    /// This is no name of a server.
    ServerName(String),
    /// Certificates do not make somebody who can sign.
    Verifier(VerifierBuilderError),
    /// Certificates and keys do not fit.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::ServerName(name) => write!(f, "{name:?} is no name of a server"),
            Self::Verifier(error) => error.fmt(f),
            Self::Rustls(error) => error.fmt(f),
        }
    }
}

/// TLS as configured; without settings, servers are believed that the system believes.
pub(crate) fn client_config(settings: Option<&ProxyTls>) -> Result<ClientConfig, TlsFault> {
    let provider = tls::provider();
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Rustls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match settings.and_then(|tls| tls.client.as_ref()) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let certificates = tls::certificates(certificate).map_err(TlsFault::Pem)?;
            let key = tls::private_key(key).map_err(TlsFault::Pem)?;
            let config = builder.with_client_auth_cert(certificates, key);
            config.map_err(TlsFault::Rustls)
        }
    }
}

/// The name to find in the server's certificate, where it is not the host of the URL.
pub(crate) fn server_name(settings: &ProxyTls) -> Result<Option<ServerName<'static>>, TlsFault> {
    let Some(name) = &settings.server_name else {
        return Ok(None);
    };
    let parsed = ServerName::try_from(name.clone());
    let parsed = parsed.map_err(|_| TlsFault::ServerName(name.clone()))?;
    Ok(Some(parsed))
}

fn verifier(
    settings: Option<&ProxyTls>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsFault> {
    if settings.is_some_and(|tls| tls.insecure_skip_verify) {
        return Ok(Arc::new(Credulous(Arc::clone(provider))));
    }
    let mut roots = RootCertStore::empty();
    match settings.and_then(|tls| tls.server_ca.as_ref()) {
        Some(own) => {
            for certificate in tls::certificates(own).map_err(TlsFault::Pem)? {
                roots.add(certificate).map_err(TlsFault::Rustls)?;
            }
        }
        None => {
            // One that cannot be read is missed by the handshake if it was needed.
            let known = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(known);
        }
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    Ok(verifier.build().map_err(TlsFault::Verifier)?)
}
