//! Redis over TLS, as it is configured.

use std::fs;
use std::path::Path;

use campanile::config::{Config, Engine};
use campanile::redis::Settings;
use campanile::vitals::Vitals as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::redis::{Peer, RedisServer, fresh_prefix};
use crate::support::{eventually, run};

/// A server that speaks TLS only, and who signed its certificate.
fn start(directory: &Path) -> (RedisServer, String) {
    let mut issuer = CertificateParams::new(Vec::new()).expect("what is here is good");
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer =
        CertifiedIssuer::self_signed(issuer, KeyPair::generate().expect("what is here is good"))
            .expect("what is here is good");
    let key = KeyPair::generate().expect("what is here is good");
    let server =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("what is here is good");
    let server = server
        .signed_by(&key, &issuer)
        .expect("what is here is good");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).expect("what is here is good");
        path.display().to_string()
    };
    let (ca, certificate) = (
        write("ca.pem", &issuer.pem()),
        write("cert.pem", &server.pem()),
    );
    let key = write("key.pem", &key.serialize_pem());
    let server = RedisServer::with_tls(&[
        ("--tls-ca-cert-file", &*ca),
        ("--tls-cert-file", &*certificate),
        ("--tls-key-file", &*key),
        ("--tls-auth-clients", "no"),
    ]);
    (server, ca)
}

fn settings(port: u16, tls: &str) -> Settings {
    let prefix = fresh_prefix();
    let config = Config::from_toml(&format!(
        "[engine]\ntype = 'redis'\n[engine.redis]\naddress = 'rediss://127.0.0.1:{port}'\n\
         prefix = '{prefix}'\nprobe_interval = '200ms'\n[engine.redis.tls]\nenabled = true\n{tls}\n"
    ));
    match config.expect("what is here is good").engine {
        Engine::Redis(redis) => Settings::new(&redis).expect("what is here is good"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_is_believed_whose_certificate_the_configured_authority_signed() {
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (server, ca) = start(&directory);
    let port = server.tls_port();
    let mut peer = Peer::start(settings(port, &format!("server_ca_pem = '{ca}'")));
    run(async {
        peer.subscribe("c").await.unwrap();
        peer.keep("c", "1").await.unwrap();
        assert_eq!(peer.publication().await.offset, 1);
    });
    let stranger = Peer::begin(settings(port, ""));
    eventually("the reason", || {
        let obstacle = stranger.node.link.obstacle().unwrap_or_default();
        obstacle.contains("certificate")
    });
    fs::remove_dir_all(directory).unwrap();
}
