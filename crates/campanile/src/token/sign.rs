//! Signing tokens, for `campanile token gen` and for tests. Applications sign their own.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::config::Secret;

/// The claims of a token to be. With a `channel` it is a subscription token.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewToken {
    /// The user; empty for anonymous.
    pub sub: String,
    /// When it was made, in Unix seconds.
    pub iat: u64,
    /// When it expires, in Unix seconds; `None` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// The one channel that a subscription token is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What others see of this client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
    /// Channels a connection is subscribed to from the start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The receiver that the configuration asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The issuer that the configuration asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

/// Why a token could not be signed.
#[derive(Debug)]
pub enum SignError {
    /// There is no secret; an empty one signs nothing.
    NoSecret,
    /// The library refused.
    Encode(jsonwebtoken::errors::Error),
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSecret => "no secret to sign with",
            Self::Encode(_) => "token cannot be encoded",
        })
    }
}

impl std::error::Error for SignError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSecret => None,
            Self::Encode(error) => Some(error),
        }
    }
}

/// Signs with HS256.
///
/// # Errors
///
/// [`SignError`] if the secret is empty.
pub fn sign(token: &NewToken, secret: &Secret) -> Result<String, SignError> {
    if secret.is_empty() {
        return Err(SignError::NoSecret);
    }
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), token, &key).map_err(SignError::Encode)
}
