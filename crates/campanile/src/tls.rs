//! What everything that speaks TLS here shares: the one provider of cryptography, certificates and
//! keys as they are configured, and the verifier that believes everybody.
//!
//! Who is to be believed, and by whom, is the business of each side.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::config::PemSource;

/// The provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Why there is no certificate or key where one is configured.
#[derive(Debug)]
#[non_exhaustive]
pub enum PemError {
    /// A file cannot be read.
    Io(std::io::Error),
    /// What was read is not PEM of the right kind.
    Pem(&'static str, rustls_pki_types::pem::Error),
    /// There is no such thing in it.
    Missing(&'static str),
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Pem(what, error) => write!(f, "no {what} in it: {error}"),
            Self::Missing(what) => write!(f, "no {what} in it"),
        }
    }
}

impl std::error::Error for PemError {}

/// The certificates of a source; at least one.
pub(crate) fn certificates(source: &PemSource) -> Result<Vec<CertificateDer<'static>>, PemError> {
    const WHAT: &str = "certificate";
    let pem = source.read().map_err(PemError::Io)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| PemError::Pem(WHAT, error))?;
    if found.is_empty() {
        return Err(PemError::Missing(WHAT));
    }
    Ok(found)
}

/// The private key of a source.
pub(crate) fn private_key(source: &PemSource) -> Result<PrivateKeyDer<'static>, PemError> {
    let pem = source.read().map_err(PemError::Io)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| PemError::Pem("private key", error))
}

/// Believes every certificate, but still that its owner is who answers.
#[derive(Debug)]
pub(crate) struct Credulous(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
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
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
