//! Tokens taken apart (RFC 7515, section 7.1), before anything in them is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::verify::Invalid;

/// The parts of a token. Nothing here is known to be true.
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    /// Which key is to be taken, where there are several.
    pub(super) key_id: Option<String>,
    /// The claims, as JSON.
    pub(super) payload: Vec<u8>,
    /// What is signed.
    pub(super) message: &'a str,
    /// Base64url.
    pub(super) signature: &'a str,
}

/// A member that is there twice is an error of the parser's.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// It is none, or asks for an algorithm that does not exist here, as `none` does.
    pub(super) fn parse(token: &'a str) -> Result<Self, Invalid> {
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, payload) = message.split_once('.')?;
            Some((message, header, payload, signature))
        });
        let (message, header, payload, signature) = parts.ok_or(Invalid::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = decode(header).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let header: Header = header.ok_or(Invalid::Malformed)?;
        if header.crit.is_some() {
            // What must be understood is not (RFC 7515, section 4.1.11).
            return Err(Invalid::Malformed);
        }
        Ok(Self {
            algorithm: header.alg.parse().map_err(|_| Invalid::Algorithm)?,
            key_id: header.kid,
            payload: decode(payload).ok_or(Invalid::Malformed)?,
            message,
            signature,
        })
    }
}
