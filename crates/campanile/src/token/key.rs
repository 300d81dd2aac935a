//! Public keys and secrets, and the algorithms each of them may be used with.
//!
//! A key is pinned to its algorithms when it is read, so that what a token says of itself never
//! decides how a key is used (RFC 8725, section 3.1). Where keys come from is not known here.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// One RSA key does for both paddings.
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Bits of an RSA modulus: less is too weak (RFC 7518, section 3.3), more is not verified by the
/// library.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key with which signatures are verified.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

/// The curves of the two ECDSA algorithms that the library has. It has no ES512.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Curve {
    P256,
    P384,
}

/// Why something is no key. It never quotes what was read, which may be a private one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// There is no public key in PEM in it.
    NotPem,
    /// It is a private key.
    Private,
    /// It is no RSA key.
    NotRsa,
    /// Its modulus is too short or too long.
    RsaSize,
    /// It is no ECDSA key of a curve that is supported.
    Curve,
    /// What it is made of does not make a key.
    Malformed,
}

impl VerifyingKey {
    /// The key of HS256, HS384 and HS512.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self {
            key: DecodingKey::from_secret(secret),
            algorithms: HMAC.into(),
        }
    }

    /// Reads the key of RS256 to RS512 and PS256 to PS512.
    ///
    /// # Errors
    ///
    /// There is no RSA public key of a fair size in it.
    pub fn rsa_from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        require_public(pem)?;
        let key = DecodingKey::from_rsa_pem(pem).map_err(|_| KeyError::NotRsa)?;
        // Reading it again in another form is what finds out whether it is one at all.
        match Jwk::from_decoding_key(&key, None).map(|jwk| jwk.algorithm) {
            Ok(AlgorithmParameters::RSA(rsa)) => Self::rsa_from_components(&rsa.n, &rsa.e),
            _ => Err(KeyError::NotRsa),
        }
    }

    /// Reads the key of ES256 or of ES384, whichever its curve is for.
    ///
    /// # Errors
    ///
    /// There is no public key of one of these curves in it.
    pub fn ecdsa_from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        require_public(pem)?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem)?;
        let curves = [Curve::P256, Curve::P384];
        let mut points = curves.iter().filter_map(|curve| {
            let point = der.strip_prefix(curve.key_info_prefix())?;
            Some((*curve, point))
        });
        let (curve, point) = points.next().ok_or(KeyError::Curve)?;
        Self::from_point(curve, point)
    }

    /// An RSA key by modulus and exponent, both base64url (RFC 7518, section 6.3.1).
    pub(super) fn rsa_from_components(modulus: &str, exponent: &str) -> Result<Self, KeyError> {
        let bytes = decode(modulus)?;
        let leading = bytes.iter().take_while(|byte| **byte == 0).count();
        let first = bytes.get(leading).ok_or(KeyError::RsaSize)?;
        let bits = (bytes.len() - leading) * 8 - first.leading_zeros() as usize;
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaSize);
        }
        let key = DecodingKey::from_rsa_components(modulus, exponent);
        Ok(Self {
            key: key.map_err(|_| KeyError::Malformed)?,
            algorithms: RSA.into(),
        })
    }

    /// An ECDSA key by coordinates, both base64url (RFC 7518, section 6.2.1).
    pub(super) fn ecdsa_from_components(curve: Curve, x: &str, y: &str) -> Result<Self, KeyError> {
        let (x, y) = (decode(x)?, decode(y)?);
        if x.len() != y.len() {
            return Err(KeyError::Malformed);
        }
        Self::from_point(curve, &[&[UNCOMPRESSED][..], &x, &y].concat())
    }

    /// An Ed25519 key, base64url (RFC 8037, section 2).
    pub(super) fn ed25519_from_component(x: &str) -> Result<Self, KeyError> {
        let key = decode(x)?;
        if key.len() != 32 {
            return Err(KeyError::Malformed);
        }
        Ok(Self {
            key: DecodingKey::from_ed_der(&key),
            algorithms: vec![Algorithm::EdDSA],
        })
    }

    fn from_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != curve.point_bytes() || point[0] != UNCOMPRESSED {
            return Err(KeyError::Malformed);
        }
        Ok(Self {
            key: DecodingKey::from_ec_der(point),
            algorithms: vec![curve.algorithm()],
        })
    }

    /// The same key for this algorithm only, if it is one of its own.
    pub(super) fn only(self, algorithm: Algorithm) -> Option<Self> {
        self.allows(algorithm).then(|| Self {
            algorithms: vec![algorithm],
            ..self
        })
    }

    /// Whether it may be used with this algorithm.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether this is the signature, base64url, of `message` under this key.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.allows(algorithm)
            && crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

/// Begins a point that is written out (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

impl Curve {
    const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
        }
    }

    /// Two coordinates and the byte that says so.
    const fn point_bytes(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }

    /// What stands before the point in a `SubjectPublicKeyInfo` (RFC 5480, section 2): lengths and
    /// the identifiers of ECDSA and the curve. The same for every key, so that comparing is enough.
    const fn key_info_prefix(self) -> &'static [u8] {
        match self {
            Self::P256 => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            }
            Self::P384 => {
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
            }
        }
    }
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(text).map_err(|_| KeyError::Malformed)
}

fn require_public(pem: &[u8]) -> Result<(), KeyError> {
    let text = str::from_utf8(pem).map_err(|_| KeyError::NotPem)?;
    if text.contains("PRIVATE KEY-----") {
        Err(KeyError::Private)
    } else if text.contains("PUBLIC KEY-----") {
        Ok(())
    } else {
        Err(KeyError::NotPem)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "no public key in PEM",
            Self::Private => "a private key; the public one belongs here",
            Self::NotRsa => "no RSA public key",
            Self::RsaSize => "an RSA key of less than 2048 or more than 8192 bits",
            Self::Curve => "no ECDSA public key of P-256 (ES256) or P-384 (ES384)",
            Self::Malformed => "a damaged key",
        })
    }
}

impl std::error::Error for KeyError {}
