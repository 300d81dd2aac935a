//! From the bytes of a client to commands.
//!
//! As Protobuf wants it: unknown fields are skipped, of a field that comes twice the last one
//! counts, and messages that come twice are merged.

use std::collections::BTreeMap;

use super::read::{Value, delimited, fields};
use crate::codec::DecodeError;
use crate::command::{
    Command, ConnectRequest, EmulationRequest, FilterNode, HistoryRequest, Request,
    SubscribeRequest,
};
use crate::{Epoch, Payload, Position};

type Decoded = Result<(), DecodeError>;

/// How deep conditions on tags may be nested: about as deep as the JSON reader lets them be.
/// Nothing else in the protocol is recursive.
const FILTER_DEPTH_MAX: usize = 60;

/// The commands of one frame, in order.
///
/// Iteration ends after the first error.
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
        let is_first = std::mem::take(&mut self.is_first);
        if self.rest.is_empty() {
            return is_first.then_some(Err(DecodeError::Empty));
        }
        let command = delimited(&mut self.rest).and_then(command);
        if command.is_err() {
            self.rest = &[];
        }
        Some(command)
    }
}

/// The body of a request that carries a frame for a session elsewhere (section 15.3).
///
/// # Errors
/// The bytes are no such message.
pub fn emulation_request(body: &[u8]) -> Result<EmulationRequest, DecodeError> {
    let mut request = EmulationRequest::default();
    fields(body, |number, value| {
        match number {
            1 => set(&mut request.node, value)?,
            2 => set(&mut request.session, value)?,
            3 => request.data = value.bytes()?.into(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(request)
}

/// The requests of a command, of which only one counts.
#[derive(Default)]
struct Asked {
    id: u32,
    connect: Option<ConnectRequest>,
    subscribe: Option<Subscribe>,
    unsubscribe: Option<String>,
    publish: Option<(String, Payload, i32)>,
    presence: Option<String>,
    presence_stats: Option<String>,
    history: Option<HistoryRequest>,
    send: Option<Payload>,
    rpc: Option<(String, Payload)>,
    refresh: Option<String>,
    sub_refresh: Option<(String, String, i32)>,
}

fn command(message: &[u8]) -> Result<Command, DecodeError> {
    let mut asked = Asked::default();
    fields(message, |number, value| {
        match number {
            1 => asked.id = value.u32()?,
            4 => connect(asked.connect.get_or_insert_default(), value)?,
            5 => subscribe(asked.subscribe.get_or_insert_default(), value)?,
            6 => channel(asked.unsubscribe.get_or_insert_default(), value)?,
            7 => publish(asked.publish.get_or_insert_default(), value)?,
            8 => channel(asked.presence.get_or_insert_default(), value)?,
            9 => channel(asked.presence_stats.get_or_insert_default(), value)?,
            10 => history(asked.history.get_or_insert_default(), value)?,
            12 => bytes(asked.send.get_or_insert_default(), value)?,
            13 => rpc(asked.rpc.get_or_insert_default(), value)?,
            14 => channel(asked.refresh.get_or_insert_default(), value)?,
            15 => sub_refresh(asked.sub_refresh.get_or_insert_default(), value)?,
            _ => {}
        }
        Ok(())
    })?;
    asked.command()
}

impl Asked {
    fn command(self) -> Result<Command, DecodeError> {
        let id = self.id;
        if id == 0 {
            return Ok(self
                .send
                .map_or(Command::Pong, |data| Command::Send { data }));
        }
        let request = if let Some(connect) = self.connect {
            Request::Connect(Box::new(connect))
        } else if let Some(subscribe) = self.subscribe {
            Request::Subscribe(Box::new(subscribe.into()))
        } else if let Some(channel) = self.unsubscribe {
            Request::Unsubscribe { channel }
        } else if let Some((channel, data, kind)) = self.publish {
            Request::Publish {
                channel,
                data,
                kind,
            }
        } else if let Some(channel) = self.presence {
            Request::Presence { channel }
        } else if let Some(channel) = self.presence_stats {
            Request::PresenceStats { channel }
        } else if let Some(history) = self.history {
            Request::History(Box::new(history))
        } else if let Some((method, data)) = self.rpc {
            Request::Rpc { method, data }
        } else if let Some(data) = self.send {
            return Ok(Command::Send { data });
        } else if let Some(token) = self.refresh {
            Request::Refresh { token }
        } else if let Some((channel, token, kind)) = self.sub_refresh {
            Request::SubRefresh {
                channel,
                token,
                kind,
            }
        } else {
            return Err(DecodeError::UnknownCommand);
        };
        Ok(Command::Request { id, request })
    }
}

fn connect(request: &mut ConnectRequest, message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(&mut request.token, value)?,
            2 => request.data = value.bytes()?.into(),
            3 => wished(&mut request.subs, value)?,
            4 => set(&mut request.name, value)?,
            5 => set(&mut request.version, value)?,
            6 => header(&mut request.headers, value)?,
            _ => {}
        }
        Ok(())
    })
}

/// One entry of a map from names to values.
fn header(headers: &mut BTreeMap<String, String>, entry: Value<'_>) -> Decoded {
    let (mut name, mut text) = (String::new(), String::new());
    fields(entry.bytes()?, |number, value| match number {
        1 => set(&mut name, value),
        2 => set(&mut text, value),
        _ => Ok(()),
    })?;
    headers.insert(name, text);
    Ok(())
}

/// One entry of a map from channels to what is asked of them.
fn wished(subs: &mut BTreeMap<String, SubscribeRequest>, entry: Value<'_>) -> Decoded {
    let (mut channel, mut wish) = (String::new(), Subscribe::default());
    fields(entry.bytes()?, |number, value| match number {
        1 => set(&mut channel, value),
        2 => subscribe(&mut wish, value),
        _ => Ok(()),
    })?;
    // Wishes have no filters: they are not kept while the connection waits to be let in.
    wish.request.filter = None;
    subs.insert(channel, wish.into());
    Ok(())
}

/// A subscribe request whose position does not count yet: it does when `recovers` is set, which may
/// come behind it.
#[derive(Default)]
struct Subscribe {
    request: SubscribeRequest,
    recovers: bool,
    position: Position,
}

impl From<Subscribe> for SubscribeRequest {
    fn from(message: Subscribe) -> Self {
        Self {
            recover: message.recovers.then_some(message.position),
            ..message.request
        }
    }
}

fn subscribe(subscribe: &mut Subscribe, message: Value<'_>) -> Decoded {
    let Subscribe {
        request,
        recovers,
        position,
    } = subscribe;
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(&mut request.channel, value)?,
            2 => set(&mut request.token, value)?,
            3 => *recovers = value.bool()?,
            6 => position.epoch = Epoch::new(value.text()?),
            7 => position.offset = value.u64()?,
            8 => request.data = value.bytes()?.into(),
            9 => request.positioned = value.bool()?,
            10 => request.recoverable = value.bool()?,
            11 => request.join_leave = value.bool()?,
            12 => set(&mut request.delta, value)?,
            13 => {
                let root = request.filter.get_or_insert_default();
                filter(root, value, FILTER_DEPTH_MAX)?;
            }
            14 => request.flag = value.i64()?,
            15 => request.kind = value.i32()?,
            _ => {}
        }
        Ok(())
    })
}

fn filter(node: &mut FilterNode, message: Value<'_>, depth_left: usize) -> Decoded {
    let depth_left = depth_left.checked_sub(1).ok_or(DecodeError::Malformed)?;
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(&mut node.op, value)?,
            2 => set(&mut node.key, value)?,
            3 => set(&mut node.cmp, value)?,
            4 => set(&mut node.val, value)?,
            5 => node.vals.push(value.text()?.into()),
            6 => {
                let mut child = FilterNode::default();
                filter(&mut child, value, depth_left)?;
                node.nodes.push(child);
            }
            _ => {}
        }
        Ok(())
    })
}

fn history(request: &mut HistoryRequest, message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(&mut request.channel, value)?,
            7 => request.limit = value.i32()?,
            8 => stream_position(request.since.get_or_insert_default(), value)?,
            9 => request.reverse = value.bool()?,
            _ => {}
        }
        Ok(())
    })
}

fn stream_position(position: &mut Position, message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => position.offset = value.u64()?,
            2 => position.epoch = Epoch::new(value.text()?),
            _ => {}
        }
        Ok(())
    })
}

fn sub_refresh((channel, token, kind): &mut (String, String, i32), message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(channel, value)?,
            2 => set(token, value)?,
            3 => *kind = value.i32()?,
            _ => {}
        }
        Ok(())
    })
}

fn publish((channel, data, kind): &mut (String, Payload, i32), message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => set(channel, value)?,
            2 => *data = value.bytes()?.into(),
            3 => *kind = value.i32()?,
            _ => {}
        }
        Ok(())
    })
}

fn rpc((method, data): &mut (String, Payload), message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        match number {
            1 => *data = value.bytes()?.into(),
            2 => set(method, value)?,
            _ => {}
        }
        Ok(())
    })
}

/// A message of one text, its first field: a channel or a token.
fn channel(text: &mut String, message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| match number {
        1 => set(text, value),
        _ => Ok(()),
    })
}

/// A message of one payload, its first field.
fn bytes(data: &mut Payload, message: Value<'_>) -> Decoded {
    fields(message.bytes()?, |number, value| {
        if number == 1 {
            *data = value.bytes()?.into();
        }
        Ok(())
    })
}

fn set(text: &mut String, value: Value<'_>) -> Decoded {
    value.text()?.clone_into(text);
    Ok(())
}
