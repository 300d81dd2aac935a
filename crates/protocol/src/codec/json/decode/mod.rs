//! From the bytes of a client to commands.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::codec::DecodeError;
use crate::command::{
    Command, ConnectRequest, EmulationRequest, FilterNode, HistoryRequest, Request,
    SubscribeRequest,
};
use crate::{Epoch, Payload, Position};

/// The commands of one frame, in order.
///
/// Iteration ends after the first error. Newlines between commands are optional, so that a command
/// typed over several lines works too.
#[derive(Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
    is_first: bool,
}

impl<'a> Commands<'a> {
    /// The commands of a frame of which nothing was read yet.
    #[must_use]
    pub const fn of_frame(frame: &'a [u8]) -> Self {
        Self {
            rest: frame,
            is_first: true,
        }
    }

    /// The commands of what [`Commands::rest`] once gave.
    #[must_use]
    pub const fn of_rest(rest: &'a [u8]) -> Self {
        Self {
            rest,
            is_first: false,
        }
    }

    /// What has not been decoded yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return std::mem::take(&mut self.is_first).then_some(Err(DecodeError::Empty));
        }
        self.is_first = false;
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<WireCommand>();
        let Some(Ok(command)) = values.next() else {
            self.rest = &[];
            return Some(Err(DecodeError::Malformed));
        };
        let command = Command::try_from(command);
        self.rest = if command.is_ok() {
            &self.rest[values.byte_offset()..]
        } else {
            &[]
        };
        Some(command)
    }
}

/// What a client says that can only say who it is: a connect request without a command around it
/// (section 16).
///
/// # Errors
/// The bytes are no such object.
pub fn connect_request(bytes: &[u8]) -> Result<ConnectRequest, DecodeError> {
    object::<WireConnect>(bytes).map(Into::into)
}

/// An object alone. Not what `serde_json` takes for one: a list of its fields' values in order.
fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(DecodeError::Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| DecodeError::Malformed)
}

/// The body of a request that carries a frame for a session elsewhere (section 15.3). The frame is
/// the content of a string in it.
///
/// # Errors
/// The bytes are no such object.
pub fn emulation_request(body: &[u8]) -> Result<EmulationRequest, DecodeError> {
    let WireEmulation {
        node,
        session,
        data,
    } = object(body)?;
    Ok(EmulationRequest {
        node,
        session,
        data: data.into_bytes().into(),
    })
}

#[derive(Deserialize)]
struct WireEmulation {
    #[serde(default, deserialize_with = "nullable")]
    node: String,
    #[serde(default, deserialize_with = "nullable")]
    session: String,
    #[serde(default, deserialize_with = "nullable")]
    data: String,
}

/// `null` means absent for every field but the payloads.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A payload of any JSON value, `null` too, as it was spelled.
fn raw<'de, D: Deserializer<'de>>(d: D) -> Result<Payload, D::Error> {
    let raw = <&RawValue>::deserialize(d)?;
    Ok(raw.get().as_bytes().into())
}

#[derive(Deserialize)]
struct WireCommand {
    #[serde(default, deserialize_with = "nullable")]
    id: u32,
    connect: Option<WireConnect>,
    subscribe: Option<WireSubscribe>,
    unsubscribe: Option<WireChannel>,
    publish: Option<WirePublish>,
    presence: Option<WireChannel>,
    presence_stats: Option<WireChannel>,
    history: Option<WireHistory>,
    rpc: Option<WireRpc>,
    send: Option<WireSend>,
    refresh: Option<WireRefresh>,
    sub_refresh: Option<WireSubRefresh>,
}

impl TryFrom<WireCommand> for Command {
    type Error = DecodeError;

    fn try_from(wire: WireCommand) -> Result<Self, DecodeError> {
        let id = wire.id;
        if id == 0 {
            return Ok(wire
                .send
                .map_or(Self::Pong, |send| Self::Send { data: send.data }));
        }
        let request = if let Some(connect) = wire.connect {
            Request::Connect(Box::new(connect.into()))
        } else if let Some(subscribe) = wire.subscribe {
            Request::Subscribe(Box::new(subscribe.into()))
        } else if let Some(WireChannel { channel }) = wire.unsubscribe {
            Request::Unsubscribe { channel }
        } else if let Some(publish) = wire.publish {
            Request::Publish {
                channel: publish.channel,
                data: publish.data,
                kind: publish.kind,
            }
        } else if let Some(WireChannel { channel }) = wire.presence {
            Request::Presence { channel }
        } else if let Some(WireChannel { channel }) = wire.presence_stats {
            Request::PresenceStats { channel }
        } else if let Some(history) = wire.history {
            Request::History(Box::new(history.into()))
        } else if let Some(WireRpc { method, data }) = wire.rpc {
            Request::Rpc { method, data }
        } else if let Some(WireSend { data }) = wire.send {
            return Ok(Self::Send { data });
        } else if let Some(WireRefresh { token }) = wire.refresh {
            Request::Refresh { token }
        } else if let Some(refresh) = wire.sub_refresh {
            Request::SubRefresh {
                channel: refresh.channel,
                token: refresh.token,
                kind: refresh.kind,
            }
        } else {
            return Err(DecodeError::UnknownCommand);
        };
        Ok(Self::Request { id, request })
    }
}

#[derive(Deserialize)]
struct WireConnect {
    #[serde(default, deserialize_with = "nullable")]
    token: String,
    #[serde(default, deserialize_with = "raw")]
    data: Payload,
    #[serde(default, deserialize_with = "nullable")]
    subs: BTreeMap<String, Option<WireSubscribe>>,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    version: String,
    #[serde(default, deserialize_with = "nullable")]
    headers: BTreeMap<String, Option<String>>,
}

impl From<WireConnect> for ConnectRequest {
    fn from(wire: WireConnect) -> Self {
        let subs = wire.subs.into_iter().map(|(channel, request)| {
            (
                channel,
                // Wishes have no filters: they are not kept while the connection waits to be let in.
                request.map_or_else(SubscribeRequest::default, |request| SubscribeRequest {
                    filter: None,
                    ..request.into()
                }),
            )
        });
        let headers = wire.headers.into_iter();
        let headers = headers.filter_map(|(name, value)| Some((name, value?)));
        Self {
            token: wire.token,
            data: wire.data,
            subs: subs.collect(),
            name: wire.name,
            version: wire.version,
            headers: headers.collect(),
        }
    }
}

#[derive(Deserialize)]
struct WireSubscribe {
    #[serde(default, deserialize_with = "nullable")]
    channel: String,
    #[serde(default, deserialize_with = "nullable")]
    token: String,
    #[serde(default, deserialize_with = "nullable")]
    recover: bool,
    #[serde(default, deserialize_with = "nullable")]
    epoch: String,
    #[serde(default, deserialize_with = "nullable")]
    offset: u64,
    #[serde(default, deserialize_with = "raw")]
    data: Payload,
    #[serde(default, deserialize_with = "nullable")]
    positioned: bool,
    #[serde(default, deserialize_with = "nullable")]
    recoverable: bool,
    #[serde(default, deserialize_with = "nullable")]
    join_leave: bool,
    #[serde(default, deserialize_with = "nullable")]
    delta: String,
    tf: Option<WireFilter>,
    #[serde(default, deserialize_with = "nullable")]
    flag: i64,
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    kind: i32,
}

impl From<WireSubscribe> for SubscribeRequest {
    fn from(wire: WireSubscribe) -> Self {
        let position = Position {
            epoch: Epoch::new(&wire.epoch),
            offset: wire.offset,
        };
        Self {
            channel: wire.channel,
            token: wire.token,
            recover: wire.recover.then_some(position),
            data: wire.data,
            positioned: wire.positioned,
            recoverable: wire.recoverable,
            join_leave: wire.join_leave,
            delta: wire.delta,
            filter: wire.tf.map(|filter| Box::new(filter.into())),
            flag: wire.flag,
            kind: wire.kind,
        }
    }
}

#[derive(Deserialize)]
struct WireFilter {
    #[serde(default, deserialize_with = "nullable")]
    op: String,
    #[serde(default, deserialize_with = "nullable")]
    key: String,
    #[serde(default, deserialize_with = "nullable")]
    cmp: String,
    #[serde(default, deserialize_with = "nullable")]
    val: String,
    #[serde(default, deserialize_with = "nullable")]
    vals: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    nodes: Vec<WireFilter>,
}

impl From<WireFilter> for FilterNode {
    fn from(wire: WireFilter) -> Self {
        Self {
            op: wire.op,
            key: wire.key,
            cmp: wire.cmp,
            val: wire.val,
            vals: wire.vals,
            nodes: wire.nodes.into_iter().map(Self::from).collect(),
        }
    }
}

#[derive(Deserialize)]
struct WireChannel {
    #[serde(default, deserialize_with = "nullable")]
    channel: String,
}

#[derive(Deserialize)]
struct WirePublish {
    #[serde(default, deserialize_with = "nullable")]
    channel: String,
    #[serde(default, deserialize_with = "raw")]
    data: Payload,
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    kind: i32,
}

#[derive(Deserialize)]
struct WireHistory {
    #[serde(default, deserialize_with = "nullable")]
    channel: String,
    #[serde(default, deserialize_with = "nullable")]
    limit: i32,
    since: Option<WirePosition>,
    #[serde(default, deserialize_with = "nullable")]
    reverse: bool,
}

impl From<WireHistory> for HistoryRequest {
    fn from(wire: WireHistory) -> Self {
        let since = wire.since.map(|WirePosition { epoch, offset }| Position {
            epoch: Epoch::new(&epoch),
            offset,
        });
        Self {
            channel: wire.channel,
            limit: wire.limit,
            since,
            reverse: wire.reverse,
        }
    }
}

#[derive(Deserialize)]
struct WirePosition {
    #[serde(default, deserialize_with = "nullable")]
    offset: u64,
    #[serde(default, deserialize_with = "nullable")]
    epoch: String,
}

#[derive(Deserialize)]
struct WireRpc {
    #[serde(default, deserialize_with = "nullable")]
    method: String,
    #[serde(default, deserialize_with = "raw")]
    data: Payload,
}

#[derive(Deserialize)]
struct WireSend {
    #[serde(default, deserialize_with = "raw")]
    data: Payload,
}

#[derive(Deserialize)]
struct WireRefresh {
    #[serde(default, deserialize_with = "nullable")]
    token: String,
}

#[derive(Deserialize)]
struct WireSubRefresh {
    #[serde(default, deserialize_with = "nullable")]
    channel: String,
    #[serde(default, deserialize_with = "nullable")]
    token: String,
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    kind: i32,
}

#[cfg(test)]
mod tests;
