//! Keys made for a test, which sign as an application would.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _, RsaKeySize,
};
use serde_json::{Value, json};

/// A pair of keys.
pub(crate) struct Signer {
    pair: KeyPair,
    key: EncodingKey,
}

/// Made once, since this takes long.
pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    Signer::new(pair, EncodingKey::from_rsa_pem)
});

impl Signer {
    fn new(
        pair: KeyPair,
        read: fn(&[u8]) -> Result<EncodingKey, jsonwebtoken::errors::Error>,
    ) -> Self {
        let key = read(pair.serialize_pem().as_bytes()).unwrap();
        Self { pair, key }
    }

    pub(crate) fn p256() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::new(pair, EncodingKey::from_ec_pem)
    }

    pub(crate) fn p384() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        Self::new(pair, EncodingKey::from_ec_pem)
    }

    pub(crate) fn ed25519() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self::new(pair, EncodingKey::from_ed_pem)
    }

    /// The public key in PEM.
    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    pub(crate) fn private_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// A token that names its key by `id`.
    pub(crate) fn sign(&self, algorithm: Algorithm, id: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(id.into()),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// The signature of anything, base64url.
    pub(crate) fn signature(&self, algorithm: Algorithm, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, algorithm).unwrap()
    }

    /// The public key as a member of a key set, with nothing but what makes it a key.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let raw = self.pair.der_bytes();
        match raw.len() {
            32 => json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(raw)}),
            65 => json!({"kty": "EC", "crv": "P-256", "kid": id,
                "x": encode(&raw[1..33]), "y": encode(&raw[33..])}),
            97 => json!({"kty": "EC", "crv": "P-384", "kid": id,
                "x": encode(&raw[1..49]), "y": encode(&raw[49..])}),
            _ => {
                let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.key, Algorithm::RS256);
                let mut jwk = serde_json::to_value(jwk.unwrap()).unwrap();
                let jwk = jwk.as_object_mut().unwrap();
                jwk.remove("alg");
                jwk.insert("kid".into(), id.into());
                Value::Object(jwk.clone())
            }
        }
    }
}
