//! Backends over TLS, and whether each side knows the other.

use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::config::{PemSource, ProxyTls, Secret};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer() -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this name, and its key.
fn issue(issuer: &Issuer, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    (params.signed_by(&key, issuer).unwrap(), key)
}

/// A server with a certificate for this name, which wants clients to have one of `clients`.
fn server(issuer: &Issuer, name: &str, clients: Option<&Issuer>) -> ServerConfig {
    let (certificate, key) = issue(issuer, name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            let clients: &rcgen::Certificate = clients.as_ref();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let certificate: CertificateDer<'static> = certificate.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    builder.with_single_cert(vec![certificate], key).unwrap()
}

fn pem(text: String) -> PemSource {
    PemSource::Text(Secret::new(text))
}

fn trusting(issuer: &Issuer) -> ProxyTls {
    ProxyTls {
        server_ca: Some(pem(issuer.pem())),
        ..ProxyTls::default()
    }
}

/// Whether a backend like this is believed with these settings.
async fn answers(server: ServerConfig, tls: Option<ProxyTls>) -> bool {
    let (url, served) = wire::says_over_tls(server).await;
    let rig = Rig::new(Proxy { tls, ..proxy(&url) });
    let decision = rig.rpc("add", "").await;
    served.abort();
    decision.is_ok()
}

#[tokio::test]
async fn a_backend_is_believed_whose_certificate_is_known() {
    let (ours, other) = (issuer(), issuer());
    let backend = || server(&ours, "localhost", None);
    assert!(answers(backend(), Some(trusting(&ours))).await);
    assert!(!answers(backend(), Some(trusting(&other))).await);
    assert!(
        !answers(backend(), None).await,
        "the system does not know it"
    );
    let elsewhere = server(&ours, "backend.example", None);
    assert!(!answers(elsewhere, Some(trusting(&ours))).await);
}

#[tokio::test]
async fn the_name_in_the_certificate_can_be_another() {
    let ours = issuer();
    let named = |name: &str| {
        Some(ProxyTls {
            server_name: Some(name.into()),
            ..trusting(&ours)
        })
    };
    let backend = || server(&ours, "backend.example", None);
    assert!(answers(backend(), named("backend.example")).await);
    assert!(!answers(backend(), named("other.example")).await);
}

#[tokio::test]
async fn any_certificate_is_believed_where_that_is_configured() {
    let credulous = ProxyTls {
        insecure_skip_verify: true,
        ..ProxyTls::default()
    };
    let backend = server(&issuer(), "backend.example", None);
    assert!(answers(backend, Some(credulous)).await);
}

#[tokio::test]
async fn a_backend_can_want_a_certificate() {
    let (ours, clients, other) = (issuer(), issuer(), issuer());
    let shown = |issuer: &Issuer| {
        let (certificate, key) = issue(issuer, "campanile");
        let client = Some((pem(certificate.pem()), pem(key.serialize_pem())));
        Some(ProxyTls {
            client,
            ..trusting(&ours)
        })
    };
    let backend = || server(&ours, "localhost", Some(&clients));
    assert!(answers(backend(), shown(&clients)).await);
    assert!(!answers(backend(), shown(&other)).await);
    assert!(!answers(backend(), Some(trusting(&ours))).await);
}

#[test]
fn what_is_no_certificate_is_refused_at_the_start() {
    let complaint = |tls: ProxyTls| {
        let proxy = Proxy {
            tls: Some(tls),
            ..proxy("https://localhost")
        };
        Rig::of(&everything(proxy)).err().unwrap().to_string()
    };
    let no_certificate = complaint(ProxyTls {
        server_ca: Some(pem("x".into())),
        ..ProxyTls::default()
    });
    assert_eq!(no_certificate, "rpc.proxy: http.tls: no certificate in it");
    let no_name = complaint(ProxyTls {
        server_name: Some("not a name".into()),
        ..trusting(&issuer())
    });
    assert!(
        no_name.ends_with(r#""not a name" is no name of a server"#),
        "{no_name}"
    );
}
