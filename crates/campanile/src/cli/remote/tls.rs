//! Whose certificates a command believes, for either of the two clients.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Failure;

/// Whom to trust.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Believe the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe whoever answers: secrets may be sent to someone else
    #[arg(long, conflicts_with = "ca")]
    pub insecure_tls: bool,
}

impl TlsArgs {
    /// For the HTTP client; certificates are only looked for if `is_needed`.
    pub(super) fn for_http(&self, is_needed: bool) -> Result<TlsConfig, Failure> {
        let roots = if is_needed { self.roots()? } else { Vec::new() };
        let roots: Vec<_> = roots
            .iter()
            .map(|root| Certificate::from_der(root).to_owned())
            .collect();
        Ok(TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider())
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .disable_verification(self.insecure_tls)
            .build())
    }

    /// For anything else.
    pub(in super::super) fn for_rustls(&self) -> Result<Arc<ClientConfig>, Failure> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for the default versions");
        let config = if self.insecure_tls {
            let credulous = Arc::new(Credulous(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(credulous)
                .with_no_client_auth()
        } else {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(self.roots()?);
            builder.with_root_certificates(store).with_no_client_auth()
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, Failure> {
        if self.insecure_tls {
            return Ok(Vec::new());
        }
        let Some(file) = &self.ca else {
            // What cannot be read is missed by the handshake if it was needed.
            return Ok(rustls_native_certs::load_native_certs().certs);
        };
        let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
        match read() {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            Ok(_) => Err(format!("{}: no certificate in it", file.display())),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
        .map_err(Failure::Usage)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Believes every certificate, but still that its owner is who answers.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

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
