//! How the server of a proxy is recognised, and this one to it.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config::{PemSource, ProxyTls};

/// Why TLS cannot be spoken to a proxy.
#[derive(Debug)]
pub enum TlsFault {
    /// A file cannot be read.
    Io(std::io::Error),
    /// What was read is not PEM of the right kind.
    Pem(&'static str, rustls_pki_types::pem::Error),
    /// There is no such thing in it.
    Missing(&'static str),
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
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Pem(what, error) => write!(f, "no {what} in it: {error}"),
            Self::Missing(what) => write!(f, "no {what} in it"),
            Self::ServerName(name) => write!(f, "{name:?} is no name of a server"),
            Self::Verifier(error) => error.fmt(f),
            Self::Rustls(error) => error.fmt(f),
        }
    }
}

/// TLS as configured; without settings, servers are believed that the system believes.
pub(super) fn client_config(settings: Option<&ProxyTls>) -> Result<ClientConfig, TlsFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Rustls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match settings.and_then(|tls| tls.client.as_ref()) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let key = key.read().map_err(TlsFault::Io)?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|error| TlsFault::Pem("private key", error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(TlsFault::Rustls)
        }
    }
}

/// The name to find in the server's certificate, where it is not the host of the URL.
pub(super) fn server_name(settings: &ProxyTls) -> Result<Option<ServerName<'static>>, TlsFault> {
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
            for certificate in certificates(own)? {
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

fn certificates(source: &PemSource) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = source.read().map_err(TlsFault::Io)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFault::Pem("certificate", error))?;
    if found.is_empty() {
        return Err(TlsFault::Missing("certificate"));
    }
    Ok(found)
}

/// Believes every certificate, but not that whoever shows it has no key for it.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
