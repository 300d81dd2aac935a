//! The export format: JSON Lines, one object with one field to a line, which says what it is.
//!
//! `export` comes first, `end` last, so that a part of an export is not taken for one. In between,
//! of each channel: `channel`, then a `publication` for every offset from its floor to its top, then
//! its `key`s. Times are milliseconds since 1970. A payload that is JSON on one line stays what it is
//! (`data`, `conn_info`, `chan_info`); any other is in base64, in a field of the same name with
//! `_base64`. It comes out byte for byte as it went in.

use std::borrow::Cow;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use campanile_engine::broker::Version;
use campanile_engine::store::{KeyRecord, LogTime, StreamState};
use campanile_engine::upkeep::NewStream;
use campanile_protocol::{ClientId, ClientInfo, Payload, Publication, Tags, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The format that is written, and the newest one that is read.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line<'a> {
    /// The first.
    Export(Header),
    /// A channel begins.
    #[serde(borrow)]
    Channel(ChannelLine<'a>),
    /// A publication of the channel.
    #[serde(borrow)]
    Publication(Box<PublicationLine<'a>>),
    /// An idempotency key of the channel.
    #[serde(borrow)]
    Key(KeyLine<'a>),
    /// The last.
    End(Counts),
}

/// What the lines are, which every later format says in the same way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    /// When it was exported.
    #[serde(default)]
    pub(super) time: LogTime,
}

/// How many lines there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) channels: u64,
    pub(super) publications: u64,
    pub(super) keys: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelLine<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    /// For readers: an import gives another one.
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
    top: u64,
    floor: u64,
    history_expires: LogTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meta_expires: Option<LogTime>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    version: Option<VersionField<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionField<'a> {
    number: u64,
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine<'a> {
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    expires: LogTime,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicationLine<'a> {
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    offset: u64,
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    info: Option<InfoField<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Cow<'a, Tags>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InfoField<'a> {
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    conn_info: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conn_info_base64: Option<String>,
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    chan_info: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chan_info_base64: Option<String>,
}

/// A field that is there is there, also with the value `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The two fields of a payload.
fn fields(payload: &[u8]) -> (Option<&RawValue>, Option<String>) {
    let one_line = str::from_utf8(payload).ok().filter(|text| {
        let is_one_line = !text.contains(['\n', '\r']);
        // Around the value white space would be lost.
        is_one_line && text.trim().len() == text.len()
    });
    match one_line.and_then(|text| serde_json::from_str(text).ok()) {
        Some(raw) => (Some(raw), None),
        None => (None, Some(BASE64_STANDARD.encode(payload))),
    }
}

/// The payload of two fields.
fn payload(
    name: &str,
    raw: Option<&RawValue>,
    base64: Option<&str>,
) -> Result<Option<Payload>, String> {
    match (raw, base64) {
        (Some(raw), None) => Ok(Some(raw.get().as_bytes().into())),
        (None, Some(text)) => match BASE64_STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(format!("{name}_base64: {error}")),
        },
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64 are the same thing")),
    }
}

impl<'a> ChannelLine<'a> {
    pub(super) fn new(channel: &'a str, state: &'a StreamState) -> Self {
        Self {
            channel: channel.into(),
            epoch: state.epoch.as_str().into(),
            top: state.top,
            floor: state.floor,
            history_expires: state.history_expires,
            meta_expires: state.meta_expires,
            version: state.version.as_ref().map(|version| VersionField {
                number: version.number,
                epoch: (&*version.epoch).into(),
            }),
        }
    }

    pub(super) fn into_stream(self) -> NewStream {
        NewStream {
            channel: self.channel.into_owned(),
            top: self.top,
            floor: self.floor,
            history_expires: self.history_expires,
            meta_expires: self.meta_expires,
            version: self.version.map(|version| Version {
                number: version.number,
                epoch: version.epoch.into(),
            }),
        }
    }
}

impl<'a> KeyLine<'a> {
    pub(super) fn new(channel: &'a str, key: &'a KeyRecord) -> Self {
        Self {
            channel: channel.into(),
            key: (&*key.key).into(),
            offset: key.offset,
            expires: key.expires,
        }
    }

    pub(super) fn key(&self) -> KeyRecord {
        KeyRecord {
            key: (&*self.key).into(),
            offset: self.offset,
            expires: self.expires,
        }
    }
}

impl<'a> PublicationLine<'a> {
    pub(super) fn new(channel: &'a str, publication: &'a Publication) -> Self {
        let (data, data_base64) = fields(&publication.data);
        Self {
            channel: channel.into(),
            offset: publication.offset,
            data,
            data_base64,
            info: publication.info.as_deref().map(InfoField::new),
            tags: publication.tags.as_deref().map(Cow::Borrowed),
        }
    }

    /// The publication, or what is wrong with it.
    pub(super) fn publication(self) -> Result<Publication, String> {
        let data = payload("data", self.data, self.data_base64.as_deref())?;
        Ok(Publication {
            offset: self.offset,
            data: data.ok_or("data or data_base64 is missing")?,
            info: match self.info {
                Some(info) => Some(Arc::new(info.info()?)),
                None => None,
            },
            tags: self.tags.map(|tags| Box::new(tags.into_owned())),
        })
    }
}

impl<'a> InfoField<'a> {
    fn new(info: &'a ClientInfo) -> Self {
        let two = |payload: &'a Option<Payload>| payload.as_deref().map(fields).unwrap_or_default();
        let (conn_info, conn_info_base64) = two(&info.conn_info);
        let (chan_info, chan_info_base64) = two(&info.chan_info);
        Self {
            user: info.user.as_str().into(),
            client: info.client.to_string().into(),
            conn_info,
            conn_info_base64,
            chan_info,
            chan_info_base64,
        }
    }

    fn info(&self) -> Result<ClientInfo, String> {
        let client = ClientId::parse(&self.client).ok_or("info.client is no client id")?;
        let base64 = self.conn_info_base64.as_deref();
        let conn_info = payload("conn_info", self.conn_info, base64)?;
        let base64 = self.chan_info_base64.as_deref();
        let chan_info = payload("chan_info", self.chan_info, base64)?;
        Ok(ClientInfo {
            user: UserId::new(&self.user),
            client,
            conn_info,
            chan_info,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(publication: &Publication) -> (String, Publication) {
        let line = Line::Publication(Box::new(PublicationLine::new("news", publication)));
        let text = serde_json::to_string(&line).unwrap();
        assert!(!text.contains(['\n', '\r']), "{text}");
        let Line::Publication(read) = serde_json::from_str(&text).unwrap() else {
            panic!("{text}");
        };
        let read = read.publication().unwrap();
        (text, read)
    }

    #[test]
    fn every_payload_comes_out_as_it_went_in() {
        for (data, is_json) in [
            (&b"{\"a\": [1,  2.50]}"[..], true),
            (b"null", true),
            (b"\"\xc3\xa9\"", true),
            (b"1e400", true),
            (b"", false),
            (b" 1", false),
            (b"[1,\n2]", false),
            (b"{\"a\":", false),
            (b"\xff\x00", false),
            (b"text", false),
        ] {
            let publication = Publication {
                offset: 7,
                data: data.into(),
                info: Some(Arc::new(ClientInfo {
                    user: UserId::new("42"),
                    client: ClientId::from_bytes([7; 16]),
                    conn_info: Some(data.into()),
                    chan_info: None,
                })),
                tags: Some(Box::new([("k".to_owned(), "v\n".to_owned())].into())),
            };
            let (text, read) = there_and_back(&publication);
            assert_eq!(read, publication, "{text}");
            assert_eq!(!text.contains("data_base64"), is_json, "{text}");
        }
    }

    #[test]
    fn json_that_is_too_deep_for_most_is_still_json() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let publication = Publication {
            offset: 1,
            data: deep.into_bytes().into(),
            info: None,
            tags: None,
        };
        assert_eq!(there_and_back(&publication).1, publication);
    }

    #[test]
    fn a_publication_has_one_payload() {
        for (fields, reason) in [
            ("", "data or data_base64 is missing"),
            (r#","data":1,"data_base64":"MQ==""#, "the same thing"),
            (r#","data_base64":"?""#, "data_base64: "),
            (r#","data":1,"info":{"user":"","client":"x"}"#, "client id"),
        ] {
            let text = format!(r#"{{"publication":{{"channel":"c","offset":1{fields}}}}}"#);
            let Line::Publication(line) = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            let told = line.publication().unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
    }
}
