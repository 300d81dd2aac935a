//! Whose certificates a command believes, for either of the two clients.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Failure;
use crate::tls::{Credulous, provider};

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
