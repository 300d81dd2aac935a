//! The few messages of the client protocol that a subscriber needs, as they stand in JSON
//! (section 3). Payloads are passed through as they came.
//!
//! The protocol crate speaks the server's side: it writes replies and reads commands.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// Answers a ping.
pub(super) const PONG: &str = "{}";

/// A line from the server; one without anything in it is a ping.
#[derive(Deserialize)]
pub(super) struct Reply<'a> {
    #[serde(default)]
    pub(super) id: u32,
    pub(super) error: Option<ErrorReply>,
    pub(super) connect: Option<Connected>,
    #[serde(borrow)]
    pub(super) subscribe: Option<Subscribed<'a>>,
    #[serde(borrow)]
    pub(super) push: Option<&'a RawValue>,
}

/// A command that was not carried out.
#[derive(Deserialize)]
pub(super) struct ErrorReply {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) temporary: bool,
}

/// What the server promises to a new connection.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Connected {
    /// Seconds between pings.
    pub(super) ping: u32,
    /// Whether they are to be answered.
    pub(super) pong: bool,
}

/// Where a subscription begins.
#[derive(Deserialize)]
pub(super) struct Subscribed<'a> {
    #[serde(default)]
    pub(super) recoverable: bool,
    #[serde(default)]
    pub(super) recovered: bool,
    #[serde(flatten)]
    pub(super) position: Position,
    #[serde(borrow, default)]
    pub(super) publications: Vec<&'a RawValue>,
}

/// How far a channel was read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Position {
    pub(super) epoch: String,
    pub(super) offset: u64,
}

/// What the server says unasked.
#[derive(Deserialize)]
pub(super) struct Push<'a> {
    #[serde(borrow, default)]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, rename = "pub")]
    pub(super) publication: Option<&'a RawValue>,
    pub(super) unsubscribe: Option<Unsubscribed>,
}

/// What was published.
#[derive(Deserialize)]
pub(super) struct Publication<'a> {
    /// Absent if what was published is nothing at all.
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(flatten)]
    pub(super) position: Position,
}

/// The end of a subscription that the server decided on.
#[derive(Deserialize)]
pub(super) struct Unsubscribed {
    pub(super) code: u32,
    #[serde(default)]
    pub(super) reason: String,
}

/// The first command.
pub(super) fn connect(id: u32, token: &str) -> String {
    let mut request = json!({"name": "campanile", "version": env!("CARGO_PKG_VERSION")});
    if !token.is_empty() {
        request["token"] = token.into();
    }
    json!({"id": id, "connect": request}).to_string()
}

/// Asks for a channel, and for what was missed since `position`.
pub(super) fn subscribe(id: u32, channel: &str, position: Option<&Position>) -> String {
    let mut request = json!({"channel": channel, "recoverable": true});
    if let Some(Position { epoch, offset }) = position {
        request["recover"] = true.into();
        request["epoch"] = epoch.as_str().into();
        request["offset"] = (*offset).into();
    }
    json!({"id": id, "subscribe": request}).to_string()
}
