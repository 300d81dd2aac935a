//! A place where public keys are published, and tokens signed with the private ones.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};

/// A P-256 key.
pub(crate) struct Signer {
    pair: KeyPair,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes());
        Self {
            key: key.expect("it is a key"),
            pair,
        }
    }

    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// An ES256 token that names its key.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(id.into()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key).expect("claims are JSON")
    }

    fn jwk(&self, id: &str) -> Value {
        let point = self.pair.der_bytes();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
            "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }
}

/// Answers every request with one key.
pub(crate) struct Publisher {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    pub(crate) fn of(signer: &Signer, id: &str) -> Self {
        let document = json!({"keys": [signer.jwk(id)]}).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a socket");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                count.fetch_add(1, Ordering::Relaxed);
                let length = document.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{document}"
                );
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
