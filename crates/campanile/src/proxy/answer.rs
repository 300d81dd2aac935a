//! Answers as they stand in JSON: the envelope and the results of section 6.
//!
//! Every field may be absent or `null`, which is the same, and unknown ones are passed over. What a
//! field means for a session is decided where the question is asked.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campanile_engine::application::{Renewal, Revision};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::broker::Version;
use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Payload, Refusal, Tags};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use super::failure::Failure;
use crate::overrides::OverrideFields;

/// What errors and disconnects without words of their own say; clients need some.
const REFUSED: &str = "refused by the application";

/// A result, or the application's no.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Result(Option<T>),
    No(Rejection),
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    error: Option<ErrorFields>,
    disconnect: Option<DisconnectFields>,
}

#[derive(Deserialize)]
struct ErrorFields {
    code: Option<i64>,
    message: Option<String>,
    temporary: Option<bool>,
}

#[derive(Deserialize)]
struct DisconnectFields {
    code: Option<i64>,
    reason: Option<String>,
}

/// The envelope of a renewal, of which nothing but the result is looked at.
#[derive(Deserialize)]
struct Renewed {
    result: Option<RenewalFields>,
}

/// Reads an answer; a disconnect comes before an error, and that before a result.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<Answer<T>, Failure> {
    let envelope: Envelope<T> = object(json)?;
    if let Some(disconnect) = envelope.disconnect {
        return Ok(Answer::No(disconnect.disconnect()?.into()));
    }
    match envelope.error {
        Some(error) => Ok(Answer::No(error.refusal()?.into())),
        None => Ok(Answer::Result(envelope.result)),
    }
}

/// Reads the answer to a refresh.
pub(super) fn read_renewal(json: &[u8]) -> Result<Option<RenewalFields>, Failure> {
    let renewed: Renewed = object(json)?;
    Ok(renewed.result)
}

/// An array is no object, though `serde` would take one for its fields in order.
fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    if json.trim_ascii_start().first() == Some(&b'[') {
        let path = String::new();
        return Err(Failure::Malformed(
            serde_json::Error::custom("an array"),
            path,
        ));
    }
    serde_json::from_slice(json).map_err(|error| {
        // What is no JSON may end anywhere, also in a field with a name that is nobody's business.
        let path = error.is_data().then(|| path_of_fault::<T>(json));
        Failure::Malformed(error, path.unwrap_or_default())
    })
}

/// Where what is wrong with an answer stands, found by reading it again. Only names of fields are
/// told: keys of maps are words of the application, names of channels among them.
fn path_of_fault<T: DeserializeOwned>(json: &[u8]) -> String {
    let mut input = serde_json::Deserializer::from_slice(json);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut input) else {
        return String::new();
    };
    let mut names: Vec<&str> = Vec::new();
    for segment in error.path() {
        match segment {
            Segment::Map { .. } if matches!(names.last(), Some(&("subs" | "tags"))) => {
                names.push("*");
            }
            Segment::Map { key } => names.push(key),
            _ => {}
        }
    }
    names.join(".")
}

impl ErrorFields {
    /// Codes below 400 have meanings of the protocol, by which clients act: 109 makes them fetch
    /// tokens.
    fn refusal(self) -> Result<Refusal, Failure> {
        let wanted = self.code.unwrap_or_default();
        let code = u32::try_from(wanted).ok();
        let code = code.filter(|code| (400..=1999).contains(code));
        let message = self.message.filter(|message| !message.is_empty());
        Ok(Refusal {
            code: code.ok_or(Failure::ErrorCode(wanted))?,
            message: message.map_or(REFUSED.into(), Into::into),
            temporary: self.temporary.unwrap_or_default(),
        })
    }
}

impl DisconnectFields {
    fn disconnect(self) -> Result<Disconnect, Failure> {
        let wanted = self.code.unwrap_or_default();
        let code = u16::try_from(wanted).ok();
        let code = code.filter(|code| (4000..=4999).contains(code));
        let reason = self.reason.filter(|reason| !reason.is_empty());
        Ok(Disconnect {
            code: code.ok_or(Failure::DisconnectCode(wanted))?,
            reason: reason.map_or(REFUSED.into(), Into::into),
        })
    }
}

/// `result` of connect: section 6.2.
#[derive(Deserialize)]
pub(super) struct ConnectFields {
    user: Option<String>,
    expire_at: Option<i64>,
    #[serde(default, deserialize_with = "json")]
    info: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64info: Option<Payload>,
    #[serde(default, deserialize_with = "json")]
    data: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64data: Option<Payload>,
    channels: Option<BTreeSet<String>>,
    subs: Option<BTreeMap<String, SubscribeFields>>,
    #[serde(default, deserialize_with = "json")]
    meta: Option<Payload>,
}

impl ConnectFields {
    pub(super) fn credentials(self) -> Credentials {
        let subs = self.subs.unwrap_or_default().into_iter();
        let mut subscriptions: BTreeMap<_, _> = subs
            .map(|(channel, sub)| (channel, sub.server_side()))
            .collect();
        for channel in self.channels.unwrap_or_default() {
            subscriptions.entry(channel).or_default();
        }
        let mut credentials = Credentials::of(self.user.as_deref().unwrap_or_default());
        credentials.expire_at = self.expire_at.filter(|at| *at != 0);
        credentials.info = self.b64info.or(self.info);
        credentials.meta = self.meta;
        credentials.data = self.b64data.or(self.data);
        credentials.subscriptions = subscriptions.into_iter().collect();
        // They were told to the application, which has decided.
        credentials.considers_wishes = false;
        credentials
    }
}

/// `result` of refresh and of sub_refresh: sections 6.3 and 6.7.
#[derive(Deserialize)]
pub(super) struct RenewalFields {
    expired: Option<bool>,
    expire_at: Option<i64>,
    #[serde(default, deserialize_with = "json")]
    info: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64info: Option<Payload>,
    #[serde(default, deserialize_with = "json")]
    meta: Option<Payload>,
}

impl RenewalFields {
    /// `None` when it is the end, at this moment in Unix seconds.
    pub(super) fn renewal(self, now: i64) -> Option<Renewal> {
        let expire_at = self.expire_at.filter(|at| *at > now);
        if self.expired.unwrap_or_default() {
            return None;
        }
        let mut renewal = Renewal::until(expire_at?);
        renewal.info = self.b64info.or(self.info);
        renewal.meta = self.meta;
        Some(renewal)
    }
}

/// `result` of subscribe, and one of `subs` in that of connect: sections 6.4 and 6.2.
#[derive(Default, Deserialize)]
pub(super) struct SubscribeFields {
    expire_at: Option<i64>,
    #[serde(default, deserialize_with = "json")]
    info: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64info: Option<Payload>,
    #[serde(default, deserialize_with = "json")]
    data: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64data: Option<Payload>,
    #[serde(rename = "override")]
    overrides: Option<OverrideFields>,
    cache_recover: Option<bool>,
}

impl SubscribeFields {
    pub(super) fn grant(self) -> Grant {
        let mut grant = Grant::as_configured();
        grant.info = self.b64info.or(self.info);
        grant.data = self.b64data.or(self.data);
        grant.expire_at = self.expire_at.filter(|at| *at != 0);
        let overrides = self.overrides;
        grant.overrides = overrides.map_or_else(Default::default, |fields| fields.overrides());
        grant
    }

    /// What one of `subs` grants. Its `expire_at` is not looked at, as in Centrifugo; that it may
    /// bring the cache's latest is said here only.
    fn server_side(self) -> Grant {
        let recovers_cache = self.cache_recover.unwrap_or_default();
        let mut grant = self.grant();
        grant.expire_at = None;
        grant.recovers_cache = recovers_cache;
        grant
    }
}

/// `result` of publish: section 6.5.
#[derive(Default, Deserialize)]
pub(super) struct PublishFields {
    #[serde(default, deserialize_with = "json")]
    data: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64data: Option<Payload>,
    skip_history: Option<bool>,
    tags: Option<Tags>,
    idempotency_key: Option<Box<str>>,
    delta: Option<bool>,
    version: Option<u64>,
    version_epoch: Option<Box<str>>,
}

impl PublishFields {
    pub(super) fn revision(self) -> Revision {
        let version = self.version.filter(|number| *number > 0);
        let mut revision = Revision::unchanged();
        // Here, and nowhere else, JSON wins.
        revision.data = self.data.or(self.b64data);
        revision.tags = self.tags.filter(|tags| !tags.is_empty()).map(Box::new);
        revision.skips_history = self.skip_history.unwrap_or_default();
        revision.idempotency_key = self.idempotency_key.filter(|key| !key.is_empty());
        revision.version = version.map(|number| Version {
            number,
            epoch: self.version_epoch.unwrap_or_default(),
        });
        revision.wants_delta = self.delta.unwrap_or_default();
        revision
    }
}

/// `result` of rpc: section 6.6.
#[derive(Default, Deserialize)]
pub(super) struct RpcFields {
    #[serde(default, deserialize_with = "json")]
    data: Option<Payload>,
    #[serde(default, deserialize_with = "base64")]
    b64data: Option<Payload>,
}

impl RpcFields {
    pub(super) fn data(self) -> Payload {
        self.b64data.or(self.data).unwrap_or_default()
    }
}

/// A payload that is JSON, as the backend wrote it.
fn json<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Payload>, D::Error> {
    let json = Option::<&RawValue>::deserialize(input)?;
    Ok(json.map(|json| json.get().as_bytes().into()))
}

/// A payload that may be anything; the empty text is none.
fn base64<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Payload>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    let text = text.filter(|text| !text.is_empty());
    let bytes = text.map(|text| STANDARD.decode(text)).transpose();
    let bytes = bytes.map_err(|_| D::Error::custom("not base64"))?;
    Ok(bytes.map(Into::into))
}
