//! A document of keys (RFC 7517): which of them are ours to use, and for what.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::token::key::{Curve, VerifyingKey};

/// Keys of one document. Whoever has more is not who we think.
const KEYS_MAX: usize = 128;

/// The usable keys of a document by their id.
#[derive(Debug, Default)]
pub(super) struct KeySet(HashMap<String, Vec<VerifyingKey>>);

/// Why a document gives no keys at all.
#[derive(Debug)]
pub(super) enum SetError {
    Json(serde_json::Error),
    TooMany,
}

#[derive(Deserialize)]
struct Document {
    /// Read one by one: what one cannot be read for must not cost us the others.
    keys: Vec<Box<RawValue>>,
}

/// The members of a key that count for us (RFC 7517, section 4, and RFC 7518, section 6).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    pub(super) fn parse(document: &[u8]) -> Result<Self, SetError> {
        let document: Document = serde_json::from_slice(document).map_err(SetError::Json)?;
        if document.keys.len() > KEYS_MAX {
            return Err(SetError::TooMany);
        }
        let mut keys: HashMap<_, Vec<_>> = HashMap::new();
        for key in &document.keys {
            let jwk = serde_json::from_str::<Jwk>(key.get()).ok();
            if let Some((id, key)) = jwk.and_then(Jwk::into_key) {
                // One id may stand for keys of several types (RFC 7517, section 4.5).
                keys.entry(id).or_default().push(key);
            }
        }
        Ok(Self(keys))
    }

    /// The keys with this id; none if there is no such id.
    pub(super) fn get(&self, id: &str) -> &[VerifyingKey] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Jwk {
    /// The key, if it has an id, is meant for signatures, and is of a kind that we know. Symmetric
    /// keys are passed over: a secret in a public document is none.
    fn into_key(self) -> Option<(String, VerifyingKey)> {
        let is_for_signatures = self.usage.as_ref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let id = self.kid.as_ref().filter(|id| !id.is_empty())?.clone();
        let key = self.verifying_key().filter(|_| is_for_signatures)?;
        match &self.alg {
            None => Some((id, key)),
            Some(name) => Some((id, key.only(name.parse::<Algorithm>().ok()?)?)),
        }
    }

    fn verifying_key(&self) -> Option<VerifyingKey> {
        let (n, e) = (self.n.as_deref(), self.e.as_deref());
        let (x, y) = (self.x.as_deref(), self.y.as_deref());
        let curve = match self.crv.as_deref() {
            Some("P-256") => Some(Curve::P256),
            Some("P-384") => Some(Curve::P384),
            _ => None,
        };
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => VerifyingKey::rsa_from_components(n?, e?),
            ("EC", _) => VerifyingKey::ecdsa_from_components(curve?, x?, y?),
            ("OKP", Some("Ed25519")) => VerifyingKey::ed25519_from_component(x?),
            _ => return None,
        };
        key.ok()
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "no JSON Web Key Set: {error}"),
            Self::TooMany => write!(f, "more than {KEYS_MAX} keys"),
        }
    }
}
