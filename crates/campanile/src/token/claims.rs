//! The claims of tokens as they are written (client protocol, sections 13.2 to 13.5).
//!
//! A claim of the wrong type is an error, never an absent claim: a token whose `exp` cannot be
//! read must not become one that never expires. `null` counts as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What both kinds of token have.
#[derive(Deserialize)]
pub(super) struct Registered {
    pub(super) sub: Option<String>,
    pub(super) exp: Option<NumericDate>,
    pub(super) nbf: Option<NumericDate>,
    /// Read only so that nonsense in it is refused.
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    pub(super) aud: Option<Audience>,
    pub(super) iss: Option<String>,
    /// Unix seconds; 0 for never.
    pub(super) expire_at: Option<u64>,
    pub(super) channel: Option<String>,
}

impl Registered {
    /// Whom the token is for; nobody if it does not say.
    pub(super) fn audience(&self) -> &[String] {
        self.aud.as_ref().map_or(&[], Audience::as_slice)
    }
}

/// Unix seconds, perhaps with a fraction (RFC 7519, section 2).
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct NumericDate(f64);

impl NumericDate {
    /// Whether this moment lies after the whole second `now`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact until the year 285 million"
    )]
    pub(super) fn is_after(self, now: u64) -> bool {
        self.0 > now as f64
    }

    /// The whole second of this moment; what lies before 1970 is 0.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "such a cast saturates, which is what is wanted"
    )]
    pub(super) fn seconds(self) -> u64 {
        self.0 as u64
    }
}

/// One receiver or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The user, by a claim of the operator's choice. Numbers and booleans are taken as they are
/// written, so that no two users become one by rounding.
pub(super) fn user(payload: &[u8], claim: &str) -> Result<String, serde_json::Error> {
    let mut input = serde_json::Deserializer::from_slice(payload);
    let found = serde::Deserializer::deserialize_map(&mut input, OneClaim(claim))?;
    let Some(value) = found else {
        return Ok(String::new());
    };
    match value.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(value.get()),
        Some(b'{' | b'[') => Err(serde_json::Error::custom("no user")),
        _ if value.get() == "null" => Ok(String::new()),
        _ => Ok(value.get().to_owned()),
    }
}

/// Finds one claim; the same one twice is an error, as it is for the claims that are always read.
struct OneClaim<'a>(&'a str);

impl<'de> Visitor<'de> for OneClaim<'_> {
    type Value = Option<Box<RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("the user is named twice"));
            }
        }
        Ok(found)
    }
}

/// What only a connection token has.
#[derive(Deserialize)]
pub(super) struct ConnectionClaims {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    channels: Option<Vec<String>>,
    subs: Option<BTreeMap<String, Grant>>,
    pub(super) meta: Option<Box<RawValue>>,
}

/// What only a subscription token has, beside a [`Grant`].
#[derive(Deserialize)]
pub(super) struct SubscriptionClaims {
    pub(super) client: Option<String>,
}

/// The options of a server-side subscription, or of the one a subscription token allows.
#[derive(Deserialize)]
pub(super) struct Grant {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<Overrides>,
}

/// What a token says about one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelGrant {
    /// The channel information of the client: JSON, or any bytes if it came as `b64info`.
    pub info: Option<Bytes>,
    /// Returned in the result of the subscribe; JSON, or any bytes if it came as `b64data`.
    pub data: Option<Bytes>,
    /// Options of the namespace that are replaced.
    pub overrides: Overrides,
}

/// Options of a namespace that a token replaces; `None` keeps the namespace's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Replaces `presence`.
    #[serde(deserialize_with = "flag")]
    pub presence: Option<bool>,
    /// Replaces `join_leave`.
    #[serde(deserialize_with = "flag")]
    pub join_leave: Option<bool>,
    /// Replaces `force_push_join_leave`.
    #[serde(deserialize_with = "flag")]
    pub force_push_join_leave: Option<bool>,
    /// Replaces `force_positioning`.
    #[serde(deserialize_with = "flag")]
    pub force_positioning: Option<bool>,
    /// Replaces `force_recovery`.
    #[serde(deserialize_with = "flag")]
    pub force_recovery: Option<bool>,
}

/// `{"value": true}`; `{}` means false.
fn flag<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    struct Flag {
        #[serde(default)]
        value: bool,
    }
    let flag = Option::<Flag>::deserialize(input)?;
    Ok(flag.map(|flag| flag.value))
}

/// Some bytes were not base64.
pub(super) struct NotBase64;

impl ConnectionClaims {
    pub(super) fn info(&self) -> Result<Option<Bytes>, NotBase64> {
        bytes(self.info.as_deref(), self.b64info.as_deref())
    }

    /// The server-side subscriptions: `subs`, or `channels` if there are none.
    pub(super) fn grants(self) -> Result<BTreeMap<String, ChannelGrant>, NotBase64> {
        let subs = self.subs.unwrap_or_default();
        if subs.is_empty() {
            let channels = self.channels.unwrap_or_default();
            let plain = |channel| (channel, ChannelGrant::default());
            return Ok(channels.into_iter().map(plain).collect());
        }
        subs.into_iter()
            .map(|(channel, grant)| Ok((channel, grant.decode()?)))
            .collect()
    }
}

impl Grant {
    pub(super) fn decode(&self) -> Result<ChannelGrant, NotBase64> {
        Ok(ChannelGrant {
            info: bytes(self.info.as_deref(), self.b64info.as_deref())?,
            data: bytes(self.data.as_deref(), self.b64data.as_deref())?,
            overrides: self.overrides.unwrap_or_default(),
        })
    }
}

/// The JSON as it stands in the token, unless base64 wins over it.
fn bytes(json: Option<&RawValue>, base64: Option<&str>) -> Result<Option<Bytes>, NotBase64> {
    match base64.filter(|text| !text.is_empty()) {
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| NotBase64)?;
            Ok(Some(bytes.into()))
        }
        None => Ok(json.map(|json| Bytes::copy_from_slice(json.get().as_bytes()))),
    }
}
