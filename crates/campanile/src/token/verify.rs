//! Verifying tokens.
//!
//! The order is that of section 13.6 where it can be seen: the signature comes before the dates,
//! so that an expired token with a wrong signature is invalid and not expired.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::claims::{
    ChannelGrant, ConnectionClaims, Grant, NotBase64, Registered, SubscriptionClaims,
};
use crate::config::{ClaimRule, TokenRules};

/// The algorithms of an HMAC key. Others are refused before a key is looked at, so that no public
/// key can ever be taken for a secret; `none` is not even a name that parses.
const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// Verifies the tokens of clients by one set of rules.
pub struct Verifier {
    keys: Vec<Key>,
    rules: TokenRules,
    is_signature_skipped: bool,
}

struct Key {
    key: DecodingKey,
    valid_until: Option<u64>,
}

impl Key {
    fn is_valid_at(&self, now: u64) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

/// A connection token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionToken {
    /// Empty for the anonymous user.
    pub user: String,
    /// When the connection expires, in Unix seconds; `None` for never.
    pub expire_at: Option<u64>,
    /// What others see of this client: JSON, or any bytes if it came as `b64info`.
    pub info: Option<Bytes>,
    /// JSON that stays with the server.
    pub meta: Option<Bytes>,
    /// The server-side subscriptions; those of `channels` have empty grants.
    pub subs: BTreeMap<String, ChannelGrant>,
}

/// A subscription token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionToken {
    /// Must be the connection's user.
    pub user: String,
    /// Must be the channel asked for.
    pub channel: String,
    /// Must be the client, if it is set.
    pub client: Option<String>,
    /// When the subscription expires, in Unix seconds; `None` for never.
    pub expire_at: Option<u64>,
    /// What it gives.
    pub grant: ChannelGrant,
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It held once, or will; a new one helps.
    Expired,
    /// It never holds.
    Invalid(Invalid),
}

/// What is wrong with an invalid token. For logs: clients are only told that it is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a token, or of an algorithm nobody knows.
    Malformed,
    /// A known algorithm for which there is no key.
    Algorithm,
    /// No key fits the signature.
    Signature,
    /// A claim has the wrong type.
    Claims,
    /// For someone else.
    Audience,
    /// By someone else.
    Issuer,
    /// A subscription token where a connection token belongs.
    HasChannel,
    /// A connection token where a subscription token belongs.
    HasNoChannel,
    /// A base64 claim is none.
    Base64,
}

impl Verifier {
    /// A verifier by these rules. Skipping signatures is for development only.
    pub fn new(rules: &TokenRules, is_signature_skipped: bool) -> Self {
        let key = |secret: &str, valid_until| Key {
            key: DecodingKey::from_secret(secret.as_bytes()),
            valid_until,
        };
        let mut keys = Vec::new();
        if let Some(hmac) = &rules.hmac {
            keys.push(key(hmac.current.expose(), None));
            if let Some(previous) = &hmac.previous {
                keys.push(key(previous.key.expose(), previous.valid_until));
            }
        }
        Self {
            keys,
            rules: rules.clone(),
            is_signature_skipped,
        }
    }

    /// Verifies a connection token at `now`, in Unix seconds.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] only if nothing else is wrong that is checked before the dates.
    pub fn connection(&self, token: &str, now: u64) -> Result<ConnectionToken, TokenError> {
        let payload = self.signed_payload(token, now)?;
        let registered = self.registered(&payload)?;
        let claims: ConnectionClaims = parse(&payload)?;
        if registered.channel.as_ref().is_some_and(|c| !c.is_empty()) {
            return Err(TokenError::Invalid(Invalid::HasChannel));
        }
        check_dates(&registered, now)?;
        Ok(ConnectionToken {
            user: self.user(&registered, &payload)?,
            expire_at: expire_at(&registered),
            info: claims.info()?,
            meta: claims
                .meta
                .as_deref()
                .map(|meta| Bytes::copy_from_slice(meta.get().as_bytes())),
            subs: claims.grants()?,
        })
    }

    /// Verifies a subscription token at `now`, in Unix seconds.
    ///
    /// # Errors
    ///
    /// As for [`Verifier::connection`]. Whether user, channel and client fit is for the caller.
    pub fn subscription(&self, token: &str, now: u64) -> Result<SubscriptionToken, TokenError> {
        let payload = self.signed_payload(token, now)?;
        let registered = self.registered(&payload)?;
        let claims: SubscriptionClaims = parse(&payload)?;
        let grant: Grant = parse(&payload)?;
        check_dates(&registered, now)?;
        let user = self.user(&registered, &payload)?;
        let expire_at = expire_at(&registered);
        let channel = registered.channel.filter(|channel| !channel.is_empty());
        Ok(SubscriptionToken {
            user,
            channel: channel.ok_or(TokenError::Invalid(Invalid::HasNoChannel))?,
            client: claims.client.filter(|client| !client.is_empty()),
            expire_at,
            grant: grant.decode()?,
        })
    }

    /// The claims as they stand in the token, once its signature was found good.
    fn signed_payload(&self, token: &str, now: u64) -> Result<Box<RawValue>, TokenError> {
        let malformed = |_| TokenError::Invalid(Invalid::Malformed);
        let header = jsonwebtoken::decode_header(token).map_err(malformed)?;
        if header.crit.is_some() {
            // What must be understood is not (RFC 7515, section 4.1.11).
            return Err(TokenError::Invalid(Invalid::Malformed));
        }
        if self.is_signature_skipped {
            return dangerous::insecure_decode_claims(token).map_err(malformed);
        }
        if !HMAC.contains(&header.alg) || self.keys.is_empty() {
            return Err(TokenError::Invalid(Invalid::Algorithm));
        }
        let validation = signature_only(header.alg);
        let mut failure = Invalid::Signature;
        for key in self.keys.iter().filter(|key| key.is_valid_at(now)) {
            match jsonwebtoken::decode(token, &key.key, &validation) {
                Ok(verified) => return Ok(verified.claims),
                Err(error) => failure = reason(&error),
            }
        }
        Err(TokenError::Invalid(failure))
    }

    fn registered(&self, payload: &RawValue) -> Result<Registered, TokenError> {
        let registered: Registered = parse(payload)?;
        let audience = registered
            .aud
            .as_ref()
            .map_or(&[][..], |aud| aud.as_slice());
        if !fits(self.rules.audience.as_ref(), audience) {
            return Err(TokenError::Invalid(Invalid::Audience));
        }
        if !fits(self.rules.issuer.as_ref(), registered.iss.as_slice()) {
            return Err(TokenError::Invalid(Invalid::Issuer));
        }
        Ok(registered)
    }

    fn user(&self, registered: &Registered, payload: &RawValue) -> Result<String, TokenError> {
        let Some(claim) = &self.rules.user_id_claim else {
            return Ok(registered.sub.clone().unwrap_or_default());
        };
        let mut claims: BTreeMap<String, serde_json::Value> = parse(payload)?;
        match claims.remove(claim) {
            None | Some(serde_json::Value::Null) => Ok(String::new()),
            Some(serde_json::Value::String(user)) => Ok(user),
            Some(user @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                Ok(user.to_string())
            }
            Some(_) => Err(TokenError::Invalid(Invalid::Claims)),
        }
    }
}

/// The library checks the signature; the claims are ours, by a clock that is passed in.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// The library reads the claims right after the signature; what it cannot read is no forgery.
fn reason(error: &jsonwebtoken::errors::Error) -> Invalid {
    match error.kind() {
        ErrorKind::InvalidSignature => Invalid::Signature,
        ErrorKind::Json(_) => Invalid::Claims,
        _ => Invalid::Malformed,
    }
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a RawValue) -> Result<T, TokenError> {
    serde_json::from_str(payload.get()).map_err(|_| TokenError::Invalid(Invalid::Claims))
}

/// Whether one of `values` is what the rule asks for.
fn fits(rule: Option<&ClaimRule>, values: &[String]) -> bool {
    rule.is_none_or(|rule| {
        values.iter().any(|value| match rule {
            ClaimRule::Exact(wanted) => value == wanted,
            ClaimRule::Matches(regex) => regex.is_match(value),
        })
    })
}

fn check_dates(claims: &Registered, now: u64) -> Result<(), TokenError> {
    let is_over = claims.exp.is_some_and(|exp| !exp.is_after(now));
    let is_early = claims.nbf.is_some_and(|nbf| nbf.is_after(now));
    if is_over || is_early {
        return Err(TokenError::Expired);
    }
    Ok(())
}

/// `expire_at` separates the life of a connection from that of its token; 0 is forever.
fn expire_at(claims: &Registered) -> Option<u64> {
    match claims.expire_at {
        Some(seconds) => (seconds > 0).then_some(seconds),
        None => claims.exp.map(super::claims::NumericDate::seconds),
    }
}

impl From<NotBase64> for TokenError {
    fn from(_: NotBase64) -> Self {
        Self::Invalid(Invalid::Base64)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("token expired, or not valid yet"),
            Self::Invalid(reason) => write!(f, "invalid token: {reason}"),
        }
    }
}

impl std::error::Error for TokenError {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm not enabled",
            Self::Signature => "signature does not match",
            Self::Claims => "claim of a wrong type",
            Self::Audience => "audience does not match",
            Self::Issuer => "issuer does not match",
            Self::HasChannel => "a subscription token cannot connect",
            Self::HasNoChannel => "no channel",
            Self::Base64 => "base64 claim is not base64",
        })
    }
}

/// Keys stay out of sight.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("rules", &self.rules)
            .field("is_signature_skipped", &self.is_signature_skipped)
            .finish_non_exhaustive()
    }
}
