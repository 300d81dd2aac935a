//! Verifying tokens.
//!
//! The order is that of section 13.6 where it can be seen: the signature comes before the dates,
//! so that an expired token with a wrong signature is invalid and not expired. Issuer and audience
//! come before the signature: keys are fetched only for those who may have issued the token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jsonwebtoken::AlgorithmFamily;
use serde::Deserialize;

use super::claims::{
    self, ChannelGrant, ConnectionClaims, Grant, NotBase64, Registered, SubscriptionClaims,
};
use super::compact::Unverified;
use super::jwks::{Jwks, JwksEndpoint, NoKey};
use super::key::VerifyingKey;
use crate::config::{ClaimRule, Secret, TokenRules};

/// Verifies the tokens of clients by one set of rules.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    rules: TokenRules,
}

#[derive(Debug)]
enum Keys {
    /// Every signature is believed.
    Unchecked,
    Configured(Vec<ConfiguredKey>),
    Published(Arc<Jwks>),
}

#[derive(Debug)]
struct ConfiguredKey {
    key: VerifyingKey,
    /// Unix seconds.
    valid_until: Option<u64>,
}

impl ConfiguredKey {
    const fn always(key: VerifyingKey) -> Self {
        Self {
            key,
            valid_until: None,
        }
    }

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
    /// Its key cannot be had at the moment, so that nobody knows.
    Unavailable,
}

/// What is wrong with an invalid token. For logs: clients are only told that it is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a token.
    Malformed,
    /// An algorithm that does not exist, or for which there is no key.
    Algorithm,
    /// There is no key of the id it names, or it names none where there are several.
    Key,
    /// Its issuer or audience cannot be put into the address of its keys.
    Place,
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
        Self::after(None, rules, is_signature_skipped)
    }

    /// The same in the place of another verifier, whose published keys it goes on with: they may
    /// not be there to be fetched at the moment.
    pub fn after(before: Option<&Self>, rules: &TokenRules, is_signature_skipped: bool) -> Self {
        let known = |endpoint: &JwksEndpoint| match &before?.keys {
            Keys::Published(jwks) if jwks.endpoint() == endpoint => Some(Arc::clone(jwks)),
            _ => None,
        };
        let fresh = |endpoint: &JwksEndpoint| Arc::new(Jwks::new(endpoint.clone()));
        let keys = match &rules.jwks {
            _ if is_signature_skipped => Keys::Unchecked,
            Some(endpoint) => Keys::Published(known(endpoint).unwrap_or_else(|| fresh(endpoint))),
            None => Keys::Configured(configured_keys(rules)),
        };
        Self {
            keys,
            rules: rules.clone(),
        }
    }

    /// Verifies a connection token at `now`, in Unix seconds. This waits only where keys have to be
    /// fetched.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] only if nothing else is wrong that is checked before the dates.
    pub async fn connection(&self, token: &str, now: u64) -> Result<ConnectionToken, TokenError> {
        let (registered, payload) = self.signed(token, now).await?;
        let claims: ConnectionClaims = parse(&payload)?;
        if registered.channel.as_ref().is_some_and(|c| !c.is_empty()) {
            return Err(TokenError::Invalid(Invalid::HasChannel));
        }
        check_dates(&registered, now)?;
        Ok(ConnectionToken {
            expire_at: expire_at(&registered),
            user: self.user(registered, &payload)?,
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
    pub async fn subscription(
        &self,
        token: &str,
        now: u64,
    ) -> Result<SubscriptionToken, TokenError> {
        let (mut registered, payload) = self.signed(token, now).await?;
        let claims: SubscriptionClaims = parse(&payload)?;
        let grant: Grant = parse(&payload)?;
        check_dates(&registered, now)?;
        let channel = registered.channel.take();
        let channel = channel.filter(|channel| !channel.is_empty());
        Ok(SubscriptionToken {
            expire_at: expire_at(&registered),
            user: self.user(registered, &payload)?,
            channel: channel.ok_or(TokenError::Invalid(Invalid::HasNoChannel))?,
            client: claims.client.filter(|client| !client.is_empty()),
            grant: grant.decode()?,
        })
    }

    /// The claims as they stand in the token, once issuer, audience and signature were found good.
    async fn signed(&self, token: &str, now: u64) -> Result<(Registered, Vec<u8>), TokenError> {
        let token = Unverified::parse(token).map_err(TokenError::Invalid)?;
        let registered: Registered = parse(&token.payload)?;
        if !fits(self.rules.audience.as_ref(), registered.audience()) {
            return Err(TokenError::Invalid(Invalid::Audience));
        }
        if !fits(self.rules.issuer.as_ref(), registered.iss.as_slice()) {
            return Err(TokenError::Invalid(Invalid::Issuer));
        }
        match &self.keys {
            Keys::Unchecked => {}
            Keys::Configured(keys) => {
                let keys = keys.iter().filter(|held| held.is_valid_at(now));
                check_signature(&token, keys.map(|held| &held.key))?;
            }
            Keys::Published(jwks) => {
                let keys = self.published(jwks, &token, &registered).await?;
                check_signature(&token, keys.iter())?;
            }
        }
        Ok((registered, token.payload))
    }

    /// The keys of the id that a token names, from the place that belongs to its issuer.
    async fn published(
        &self,
        jwks: &Jwks,
        token: &Unverified<'_>,
        registered: &Registered,
    ) -> Result<Vec<VerifyingKey>, TokenError> {
        if token.algorithm.family() == AlgorithmFamily::Hmac {
            // Secrets are not published; there is nothing to look for.
            return Err(TokenError::Invalid(Invalid::Algorithm));
        }
        let id = token.key_id.as_deref().unwrap_or_default();
        if id.is_empty() {
            return Err(TokenError::Invalid(Invalid::Key));
        }
        let group = |name: &str| {
            let issuer = self.rules.issuer.as_ref();
            let issuer = issuer.and_then(|rule| rule.group(name, registered.iss.as_slice()));
            let audience = self.rules.audience.as_ref();
            issuer.or_else(|| audience.and_then(|rule| rule.group(name, registered.audience())))
        };
        let url = jwks.endpoint().fill(group);
        let url = url.map_err(|_| TokenError::Invalid(Invalid::Place))?;
        let keys = jwks.find(&url, id).await;
        keys.map_err(|error| match error {
            NoKey::Unknown => TokenError::Invalid(Invalid::Key),
            NoKey::Unavailable => TokenError::Unavailable,
        })
    }

    fn user(&self, registered: Registered, payload: &[u8]) -> Result<String, TokenError> {
        match &self.rules.user_id_claim {
            None => Ok(registered.sub.unwrap_or_default()),
            Some(claim) => {
                claims::user(payload, claim).map_err(|_| TokenError::Invalid(Invalid::Claims))
            }
        }
    }
}

fn configured_keys(rules: &TokenRules) -> Vec<ConfiguredKey> {
    let mut keys = Vec::new();
    if let Some(hmac) = &rules.hmac {
        let secret = |secret: &Secret| VerifyingKey::from_secret(secret.expose().as_bytes());
        keys.push(ConfiguredKey::always(secret(&hmac.current)));
        keys.extend(hmac.previous.as_ref().map(|previous| ConfiguredKey {
            key: secret(&previous.key),
            valid_until: previous.valid_until,
        }));
    }
    let public = [&rules.rsa, &rules.ecdsa].into_iter().flatten();
    keys.extend(public.cloned().map(ConfiguredKey::always));
    keys
}

/// Whether one of `keys` made the signature. Only those of the token's algorithm are tried.
fn check_signature<'a>(
    token: &Unverified<'_>,
    keys: impl Iterator<Item = &'a VerifyingKey>,
) -> Result<(), TokenError> {
    let mut failure = Invalid::Algorithm;
    for key in keys.filter(|key| key.allows(token.algorithm)) {
        if key.verifies(token.algorithm, token.message, token.signature) {
            return Ok(());
        }
        failure = Invalid::Signature;
    }
    Err(TokenError::Invalid(failure))
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, TokenError> {
    serde_json::from_slice(payload).map_err(|_| TokenError::Invalid(Invalid::Claims))
}

/// Whether one of `values` is what the rule asks for.
fn fits(rule: Option<&ClaimRule>, values: &[String]) -> bool {
    rule.is_none_or(|rule| values.iter().any(|value| rule.is_met_by(value)))
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
        None => claims.exp.map(claims::NumericDate::seconds),
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
            Self::Unavailable => f.write_str("the key of the token cannot be fetched now"),
        }
    }
}

impl std::error::Error for TokenError {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm not enabled",
            Self::Key => "no key of that id",
            Self::Place => "issuer or audience unfit for the address of keys",
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
