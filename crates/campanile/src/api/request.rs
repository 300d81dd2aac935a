//! What the methods are asked, as it stands in JSON: the request tables of section 2.
//!
//! Every field may be absent or `null`; what that means is decided where the request is carried out.
//! JSON payloads are borrowed from the body and never looked into.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campanile_protocol::{Epoch, Payload, Position, Refusal, Tags};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::overrides::OverrideFields;

/// `publish`, which reads `channel`, and `broadcast`, which reads `channels`.
#[derive(Deserialize)]
pub(super) struct Publish<'a> {
    pub(super) channel: Option<String>,
    pub(super) channels: Option<Vec<String>>,
    /// Here `null` is a payload.
    #[serde(default, borrow, deserialize_with = "even_null")]
    pub(super) data: Option<&'a RawValue>,
    pub(super) b64data: Option<String>,
    pub(super) skip_history: Option<bool>,
    pub(super) tags: Option<Tags>,
    pub(super) idempotency_key: Option<Box<str>>,
    pub(super) version: Option<u64>,
    pub(super) version_epoch: Option<Box<str>>,
    pub(super) delta: Option<bool>,
}

/// `subscribe`
#[derive(Deserialize)]
pub(super) struct Subscribe<'a> {
    pub(super) channel: Option<String>,
    #[serde(default, borrow)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) b64info: Option<String>,
    #[serde(default, borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) b64data: Option<String>,
    pub(super) expire_at: Option<i64>,
    pub(super) recover_since: Option<Since>,
    #[serde(rename = "override")]
    pub(super) overrides: Option<OverrideFields>,
    pub(super) user: Option<String>,
    pub(super) client: Option<String>,
    pub(super) session: Option<String>,
}

/// `unsubscribe`
#[derive(Deserialize)]
pub(super) struct Unsubscribe {
    pub(super) channel: Option<String>,
    pub(super) user: Option<String>,
    pub(super) client: Option<String>,
    pub(super) session: Option<String>,
}

/// `disconnect`
#[derive(Deserialize)]
pub(super) struct Disconnect {
    pub(super) disconnect: Option<CloseReason>,
    pub(super) whitelist: Option<Vec<String>>,
    pub(super) user: Option<String>,
    pub(super) client: Option<String>,
    pub(super) session: Option<String>,
}

/// What a disconnected client is told.
#[derive(Deserialize)]
pub(super) struct CloseReason {
    pub(super) code: Option<u32>,
    pub(super) reason: Option<String>,
}

/// `refresh`
#[derive(Deserialize)]
pub(super) struct Refresh<'a> {
    pub(super) expired: Option<bool>,
    pub(super) expire_at: Option<i64>,
    #[serde(default, borrow)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) user: Option<String>,
    pub(super) client: Option<String>,
    pub(super) session: Option<String>,
}

/// `presence`, `presence_stats` and `history_remove`
#[derive(Deserialize)]
pub(super) struct InChannel {
    pub(super) channel: Option<String>,
}

/// `history`
#[derive(Deserialize)]
pub(super) struct History {
    pub(super) channel: Option<String>,
    pub(super) limit: Option<i32>,
    pub(super) since: Option<Since>,
    pub(super) reverse: Option<bool>,
}

/// `channels`
#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) pattern: Option<String>,
}

/// `info`
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `rpc`
#[derive(Deserialize)]
pub(super) struct Rpc {
    pub(super) method: Option<String>,
}

/// A position in a stream.
#[derive(Deserialize)]
pub(super) struct Since {
    offset: Option<u64>,
    epoch: Option<String>,
}

impl Since {
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: Epoch::new(self.epoch.as_deref().unwrap_or_default()),
            offset: self.offset.unwrap_or_default(),
        }
    }
}

/// The payload of a pair of fields, of which the base64 one wins. It is copied out of the body, so
/// that what is kept of a request never keeps the whole request.
pub(super) fn payload(
    json: Option<&RawValue>,
    b64: Option<&str>,
) -> Result<Option<Payload>, Refusal> {
    match b64.filter(|text| !text.is_empty()) {
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| Refusal::BAD_REQUEST)?;
            Ok(Some(bytes.into()))
        }
        None => Ok(json.map(|json| json.get().as_bytes().into())),
    }
}

/// The name of a channel, where one is wanted.
pub(super) fn required(channel: Option<String>) -> Result<String, Refusal> {
    channel
        .filter(|channel| !channel.is_empty())
        .ok_or(Refusal::BAD_REQUEST)
}

fn even_null<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}
