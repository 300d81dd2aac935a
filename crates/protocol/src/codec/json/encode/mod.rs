//! From replies and pushes to bytes. Fields at their zero value are left out, but for those that
//! section 2.2 of the protocol wants always.

use serde::Serialize;

use crate::codec::InappropriatePayload;
use crate::delta;
use crate::push::Form;
use crate::reply::{ConnectResult, Expiry, SubscribeResult};
use crate::{ClientInfo, Epoch, Position, Publication, Push, Refusal, Reply, ReplyBody};

type Encoded = Result<(), InappropriatePayload>;

/// Appends the JSON text of `reply`, without a newline.
///
/// # Errors
/// A payload in it is not JSON; `out` then ends in an incomplete message.
pub fn reply(reply: &Reply, out: &mut Vec<u8>) -> Encoded {
    let mut message = Object::open(out);
    message.number("id", u64::from(reply.id));
    match &reply.body {
        Ok(body) => result(&mut message, body)?,
        Err(refusal) => error(&mut message, refusal),
    }
    message.close();
    Ok(())
}

/// Appends the JSON text of `push` inside its reply envelope, without a newline.
///
/// # Errors
/// A payload in it is not JSON; `out` then ends in an incomplete message.
pub fn push(push: &Push<'_>, out: &mut Vec<u8>) -> Encoded {
    let mut envelope = Object::open(out);
    push_fields(envelope.object("push"), push)?;
    envelope.close();
    Ok(())
}

/// Appends the JSON text of `push` as clients of unidirectional transports read it: bare.
///
/// # Errors
/// A payload in it is not JSON; `out` then ends in an incomplete message.
pub fn bare_push(push: &Push<'_>, out: &mut Vec<u8>) -> Encoded {
    push_fields(Object::open(out), push)
}

fn push_fields(mut message: Object<'_>, push: &Push<'_>) -> Encoded {
    match push {
        Push::Publication {
            channel,
            publication: content,
            epoch,
            form,
        } => {
            message.text("channel", channel);
            let mut object = message.object("pub");
            publication(&mut object, content, *form)?;
            if content.offset == 1 {
                object.epoch("epoch", *epoch);
            }
            object.close();
        }
        Push::Join { channel, info } => presence_change(&mut message, channel, "join", info)?,
        Push::Leave { channel, info } => presence_change(&mut message, channel, "leave", info)?,
        Push::Unsubscribe {
            channel,
            unsubscribed,
        } => {
            message.text("channel", channel);
            let mut object = message.object("unsubscribe");
            object.number("code", u64::from(unsubscribed.code));
            object.text("reason", &unsubscribed.reason);
            object.close();
        }
        Push::Subscribe {
            channel,
            recoverable,
            positioned,
            position,
            data,
        } => {
            message.text("channel", channel);
            let mut object = message.object("subscribe");
            object.flag("recoverable", *recoverable);
            object.position(*position);
            object.flag("positioned", *positioned);
            object.optional_payload("data", data.map(|data| &**data))?;
            object.close();
        }
        Push::Message { data } => {
            let mut object = message.object("message");
            object.payload("data", data)?;
            object.close();
        }
        Push::Refresh(new) => expiry_object(&mut message, "refresh", *new),
        Push::Connect(result) => connect(&mut message, result)?,
        Push::Disconnect(disconnect) => {
            let mut object = message.object("disconnect");
            object.number("code", u64::from(disconnect.code));
            object.text("reason", &disconnect.reason);
            object.close();
        }
    }
    message.close();
    Ok(())
}

fn result(message: &mut Object<'_>, body: &ReplyBody) -> Encoded {
    match body {
        ReplyBody::Connect(result) => connect(message, result)?,
        ReplyBody::Subscribe(result) => subscribe(message.object("subscribe"), result)?,
        ReplyBody::Unsubscribe => message.object("unsubscribe").close(),
        ReplyBody::Publish => message.object("publish").close(),
        ReplyBody::Presence(clients) => {
            let mut object = message.object("presence");
            let mut entries = object.object("presence");
            for info in clients {
                client_info(entries.object(&info.client.to_string()), info)?;
            }
            entries.close();
            object.close();
        }
        ReplyBody::PresenceStats { clients, users } => {
            let mut object = message.object("presence_stats");
            object.always_number("num_clients", u64::from(*clients));
            object.always_number("num_users", u64::from(*users));
            object.close();
        }
        ReplyBody::History {
            publications: list,
            top,
        } => {
            let mut object = message.object("history");
            object.key("publications");
            publications(object.out, list, false)?;
            object.text("epoch", top.epoch.as_str());
            object.always_number("offset", top.offset);
            object.close();
        }
        ReplyBody::Rpc { data } => {
            let mut object = message.object("rpc");
            object.optional_payload("data", Some(data))?;
            object.close();
        }
        ReplyBody::Refresh(new) => expiry_object(message, "refresh", *new),
        ReplyBody::SubRefresh(new) => expiry_object(message, "sub_refresh", *new),
    }
    Ok(())
}

fn error(message: &mut Object<'_>, refusal: &Refusal) {
    let mut object = message.object("error");
    object.number("code", u64::from(refusal.code));
    object.text("message", &refusal.message);
    object.flag("temporary", refusal.temporary);
    object.close();
}

fn connect(message: &mut Object<'_>, result: &ConnectResult) -> Encoded {
    let mut object = message.object("connect");
    object.text("client", &result.client.to_string());
    object.text("version", &result.version);
    object.expiry(result.expiry);
    object.optional_payload("data", result.data.as_deref())?;
    if !result.subs.is_empty() {
        let mut subs = object.object("subs");
        for (channel, sub) in &result.subs {
            subscribe(subs.object(channel), sub)?;
        }
        subs.close();
    }
    object.number("ping", u64::from(result.ping));
    object.flag("pong", result.pong);
    for (key, value) in [("session", &result.session), ("node", &result.node)] {
        if let Some(value) = value {
            object.text(key, value);
        }
    }
    object.number(
        "time",
        result
            .time
            .and_then(|time| u64::try_from(time).ok())
            .unwrap_or(0),
    );
    object.close();
    Ok(())
}

fn subscribe(mut object: Object<'_>, result: &SubscribeResult) -> Encoded {
    object.expiry(result.expiry);
    object.flag("recoverable", result.recoverable);
    object.position(result.position);
    if !result.publications.is_empty() {
        object.key("publications");
        publications(object.out, &result.publications, result.delta)?;
    }
    object.flag("recovered", result.recovered);
    object.flag("positioned", result.positioned);
    object.optional_payload("data", result.data.as_deref())?;
    object.flag("was_recovering", result.was_recovering);
    object.flag("delta", result.delta);
    object.close();
    Ok(())
}

/// A list, in which each but the first may be a delta to the one before it.
fn publications<P: AsRef<Publication>>(out: &mut Vec<u8>, list: &[P], has_deltas: bool) -> Encoded {
    out.push(b'[');
    let mut form = if has_deltas { Form::Whole } else { Form::Plain };
    for (index, content) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let content = content.as_ref();
        let mut object = Object::open(out);
        publication(&mut object, content, form)?;
        object.close();
        if has_deltas {
            form = Form::Delta {
                previous: &content.data,
            };
        }
    }
    out.push(b']');
    Ok(())
}

fn publication(object: &mut Object<'_>, content: &Publication, form: Form<'_>) -> Encoded {
    let is_delta = match form {
        Form::Plain => {
            object.payload("data", &content.data)?;
            false
        }
        Form::Whole => {
            object.spelled_payload("data", &content.data)?;
            false
        }
        Form::Delta { previous } => object.delta("data", previous, &content.data)?,
    };
    if let Some(info) = &content.info {
        client_info(object.object("info"), info)?;
    }
    object.number("offset", content.offset);
    if let Some(tags) = content.tags.as_deref().filter(|tags| !tags.is_empty()) {
        let mut entries = object.object("tags");
        for (key, value) in tags {
            entries.text(key, value);
        }
        entries.close();
    }
    object.flag("delta", is_delta);
    Ok(())
}

fn presence_change(
    message: &mut Object<'_>,
    channel: &str,
    change: &str,
    info: &ClientInfo,
) -> Encoded {
    message.text("channel", channel);
    let mut object = message.object(change);
    client_info(object.object("info"), info)?;
    object.close();
    Ok(())
}

fn client_info(mut object: Object<'_>, info: &ClientInfo) -> Encoded {
    object.text("user", info.user.as_str());
    object.text("client", &info.client.to_string());
    object.optional_payload("conn_info", info.conn_info.as_deref())?;
    object.optional_payload("chan_info", info.chan_info.as_deref())?;
    object.close();
    Ok(())
}

fn expiry_object(message: &mut Object<'_>, key: &str, new: Expiry) {
    let mut object = message.object(key);
    object.expiry(new);
    object.close();
}

/// A JSON object under construction at the end of a buffer.
///
/// Methods without `always` in their name leave a zero value out; `text` does not, since no text of
/// ours that may be empty is optional.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        json_value(self.out, key);
        self.out.push(b':');
    }

    fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::open(self.out)
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        json_value(self.out, value);
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.key(key);
            self.out.extend_from_slice(b"true");
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.always_number(key, value);
        }
    }

    fn always_number(&mut self, key: &str, value: u64) {
        self.key(key);
        json_value(self.out, &value);
    }

    fn epoch(&mut self, key: &str, epoch: Epoch) {
        if !epoch.is_empty() {
            self.text(key, epoch.as_str());
        }
    }

    fn position(&mut self, position: Option<Position>) {
        if let Some(position) = position {
            self.epoch("epoch", position.epoch);
            self.number("offset", position.offset);
        }
    }

    fn expiry(&mut self, expiry: Expiry) {
        self.flag("expires", expiry.ttl.is_some());
        self.number("ttl", u64::from(expiry.ttl.unwrap_or(0)));
    }

    fn optional_payload(&mut self, key: &str, payload: Option<&[u8]>) -> Encoded {
        match payload {
            Some(payload) if !payload.is_empty() => self.payload(key, payload),
            _ => Ok(()),
        }
    }

    /// A payload as a string that spells it, for subscribers that take deltas.
    fn spelled_payload(&mut self, key: &str, payload: &[u8]) -> Encoded {
        let text = std::str::from_utf8(payload).map_err(|_| InappropriatePayload)?;
        if !super::is_json(payload) {
            return Err(InappropriatePayload);
        }
        self.text(key, text);
        Ok(())
    }

    /// The difference between two payloads, and `true`; the later one as a whole where that is
    /// shorter, or where the difference is no text (section 10.3). What could not be carried as a
    /// whole is not carried as a difference either.
    fn delta(
        &mut self,
        key: &str,
        previous: &[u8],
        payload: &[u8],
    ) -> Result<bool, InappropriatePayload> {
        let patch = delta::patch(previous, payload);
        match patch.as_deref().map(std::str::from_utf8) {
            Some(Ok(text)) if super::is_json(payload) => {
                self.text(key, text);
                Ok(true)
            }
            _ => {
                self.spelled_payload(key, payload)?;
                Ok(false)
            }
        }
    }

    /// Embeds a payload, which must be one JSON text. Its line breaks are dropped, since they
    /// separate messages; inside strings JSON has none.
    fn payload(&mut self, key: &str, payload: &[u8]) -> Encoded {
        if !super::is_json(payload) {
            return Err(InappropriatePayload);
        }
        self.key(key);
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        if payload.iter().any(is_break) {
            self.out
                .extend(payload.iter().filter(|byte| !is_break(byte)));
        } else {
            self.out.extend_from_slice(payload);
        }
        Ok(())
    }
}

fn json_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("strings and numbers are JSON, and a Vec takes them");
}

#[cfg(test)]
mod tests;
