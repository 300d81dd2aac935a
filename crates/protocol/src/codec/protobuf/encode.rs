//! From replies and pushes to bytes: the field numbers of section 3 of the protocol.

use std::borrow::Cow;
use std::sync::Arc;

use super::write::{Fields, Message, Sink, append};
use crate::push::Form;
use crate::reply::{ConnectResult, Expiry, SubscribeResult};
use crate::{
    ClientInfo, Disconnect, Epoch, Payload, Position, Publication, Push, Refusal, Reply, ReplyBody,
    Tags, Unsubscribed, delta,
};

/// Appends `reply`. Before its first byte, `begin` is given its length, to append what stands in
/// front of it.
pub fn reply(reply: &Reply, out: &mut Vec<u8>, begin: impl FnOnce(&mut Vec<u8>, usize)) {
    let id = reply.id;
    match &reply.body {
        Err(refusal) => append(&Envelope(id, 2, refusal), out, begin),
        Ok(ReplyBody::Connect(result)) => {
            append(&Envelope(id, 5, &Connected::of(result)), out, begin);
        }
        Ok(ReplyBody::Subscribe(result)) => {
            append(&Envelope(id, 6, &Subscription::of(result)), out, begin);
        }
        Ok(ReplyBody::Unsubscribe) => append(&Envelope(id, 7, &Empty), out, begin),
        Ok(ReplyBody::Publish) => append(&Envelope(id, 8, &Empty), out, begin),
        Ok(ReplyBody::Presence(clients)) => {
            append(&Envelope(id, 9, &Present(clients)), out, begin);
        }
        Ok(ReplyBody::PresenceStats { clients, users }) => {
            append(&Envelope(id, 10, &Counted(*clients, *users)), out, begin);
        }
        Ok(ReplyBody::History { publications, top }) => {
            append(&Envelope(id, 11, &Past { publications, top }), out, begin);
        }
        Ok(ReplyBody::Rpc { data }) => append(&Envelope(id, 13, &Bytes(1, data)), out, begin),
        Ok(ReplyBody::Refresh(new)) => append(&Envelope(id, 14, &Renewed(3, *new)), out, begin),
        Ok(ReplyBody::SubRefresh(new)) => append(&Envelope(id, 15, &Renewed(1, *new)), out, begin),
    }
}

/// Appends `push` inside its reply envelope. Before its first byte, `begin` is given its length, to
/// append what stands in front of it.
pub fn push(push: &Push<'_>, out: &mut Vec<u8>, begin: impl FnOnce(&mut Vec<u8>, usize)) {
    match *push {
        Push::Publication {
            channel,
            publication,
            epoch,
            form,
        } => {
            let mut told = Told::of(publication, form);
            if publication.offset == 1 {
                told.epoch = epoch;
            }
            pushed(channel, 4, &told, out, begin);
        }
        Push::Join { channel, info } => pushed(channel, 5, &About(info), out, begin),
        Push::Leave { channel, info } => pushed(channel, 6, &About(info), out, begin),
        Push::Unsubscribe {
            channel,
            unsubscribed,
        } => pushed(channel, 7, unsubscribed, out, begin),
        Push::Message { data } => pushed("", 8, &Bytes(1, data), out, begin),
        Push::Subscribe {
            channel,
            recoverable,
            positioned,
            position,
            data,
        } => {
            let begun = Begun {
                recoverable,
                positioned,
                position: position.unwrap_or_default(),
                data,
            };
            pushed(channel, 9, &begun, out, begin);
        }
        Push::Connect(result) => pushed("", 10, &Announced(Connected::of(result)), out, begin),
        Push::Disconnect(disconnect) => pushed("", 11, disconnect, out, begin),
        Push::Refresh(new) => pushed("", 12, &Renewed(1, new), out, begin),
    }
}

fn pushed(
    channel: &str,
    number: u32,
    content: &impl Message,
    out: &mut Vec<u8>,
    begin: impl FnOnce(&mut Vec<u8>, usize),
) {
    let pushed = Pushed {
        channel,
        number,
        content,
    };
    append(&Envelope(0, 4, &pushed), out, begin);
}

/// A `Reply`: the id of the command, and one field.
struct Envelope<'a, M>(u32, u32, &'a M);

impl<M: Message> Message for Envelope<'_, M> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.number(1, u64::from(self.0));
        to.message(self.1, self.2);
    }
}

/// A `Push`: its channel, when it has one, and one field.
struct Pushed<'a, M> {
    channel: &'a str,
    number: u32,
    content: &'a M,
}

impl<M: Message> Message for Pushed<'_, M> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.text(2, self.channel);
        to.message(self.number, self.content);
    }
}

/// A result without fields.
struct Empty;

impl Message for Empty {
    fn fields<S: Sink>(&self, _: &mut Fields<'_, S>) {}
}

/// A message of one payload, under this number.
struct Bytes<'a>(u32, &'a [u8]);

impl Message for Bytes<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.bytes(self.0, self.1);
    }
}

/// An `Error`.
impl Message for Refusal {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.number(1, u64::from(self.code));
        to.text(2, &self.message);
        to.flag(3, self.temporary);
    }
}

impl Message for Disconnect {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.number(1, u64::from(self.code));
        to.text(2, &self.reason);
    }
}

impl Message for Unsubscribed {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.number(2, u64::from(self.code));
        to.text(3, &self.reason);
    }
}

/// A message of an expiry, whose two fields begin at this number.
struct Renewed(u32, Expiry);

impl Message for Renewed {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        expiry(to, self.0, self.1);
    }
}

fn expiry<S: Sink>(to: &mut Fields<'_, S>, first: u32, expiry: Expiry) {
    to.flag(first, expiry.ttl.is_some());
    to.number(first + 1, u64::from(expiry.ttl.unwrap_or(0)));
}

/// A `ConnectResult`, with its subscriptions.
struct Connected<'a> {
    result: &'a ConnectResult,
    subs: Vec<(&'a str, Subscription<'a>)>,
}

impl<'a> Connected<'a> {
    fn of(result: &'a ConnectResult) -> Self {
        let subs = result.subs.iter();
        let subs = subs.map(|(channel, result)| (channel.as_str(), Subscription::of(result)));
        Self {
            result,
            subs: subs.collect(),
        }
    }

    fn subs<S: Sink>(&self, to: &mut Fields<'_, S>, number: u32) {
        for (channel, result) in &self.subs {
            to.entry(number, channel, result);
        }
    }

    /// What has the same numbers in the result and in the push.
    fn common<S: Sink>(&self, to: &mut Fields<'_, S>) {
        let result = self.result;
        to.number(7, u64::from(result.ping));
        to.flag(8, result.pong);
        to.text(9, result.session.as_deref().unwrap_or_default());
        to.text(10, result.node.as_deref().unwrap_or_default());
        to.number(11, result.time.unwrap_or(0).cast_unsigned());
    }
}

impl Message for Connected<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        let result = self.result;
        to.bytes(1, &result.client.hyphenated());
        to.text(2, &result.version);
        expiry(to, 3, result.expiry);
        to.bytes(5, result.data.as_deref().unwrap_or_default());
        self.subs(to, 6);
        self.common(to);
    }
}

/// A `Connect`: what a connect result is to clients that are not answered.
struct Announced<'a>(Connected<'a>);

impl Message for Announced<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        let result = self.0.result;
        to.bytes(1, &result.client.hyphenated());
        to.text(2, &result.version);
        to.bytes(3, result.data.as_deref().unwrap_or_default());
        self.0.subs(to, 4);
        expiry(to, 5, result.expiry);
        self.0.common(to);
    }
}

/// A `SubscribeResult`, with its publications as they are told.
struct Subscription<'a> {
    result: &'a SubscribeResult,
    publications: Vec<Told<'a>>,
}

impl<'a> Subscription<'a> {
    /// Where deltas are taken, each publication but the first may be one to that before it.
    fn of(result: &'a SubscribeResult) -> Self {
        let mut form = Form::Whole;
        let publications = result.publications.iter().map(|publication| {
            let told = Told::of(publication, form);
            if result.delta {
                form = Form::Delta {
                    previous: &publication.data,
                };
            }
            told
        });
        Self {
            result,
            publications: publications.collect(),
        }
    }
}

impl Message for Subscription<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        let result = self.result;
        let position = result.position.unwrap_or_default();
        expiry(to, 1, result.expiry);
        to.flag(3, result.recoverable);
        to.text(6, position.epoch.as_str());
        for publication in &self.publications {
            to.message(7, publication);
        }
        to.flag(8, result.recovered);
        to.number(9, position.offset);
        to.flag(10, result.positioned);
        to.bytes(11, result.data.as_deref().unwrap_or_default());
        to.flag(12, result.was_recovering);
        to.flag(13, result.delta);
    }
}

/// A `Subscribe`: a subscription that the server began.
struct Begun<'a> {
    recoverable: bool,
    positioned: bool,
    position: Position,
    data: Option<&'a Payload>,
}

impl Message for Begun<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.flag(1, self.recoverable);
        to.text(4, self.position.epoch.as_str());
        to.number(5, self.position.offset);
        to.flag(6, self.positioned);
        to.bytes(7, self.data.map(|data| &**data).unwrap_or_default());
    }
}

/// A `PresenceResult`.
struct Present<'a>(&'a [Arc<ClientInfo>]);

impl Message for Present<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        for info in self.0 {
            let client = info.client.hyphenated();
            let client = std::str::from_utf8(&client).expect("hexadecimal digits are ASCII");
            to.entry(1, client, &**info);
        }
    }
}

/// A `PresenceStatsResult`: clients and users.
struct Counted(u32, u32);

impl Message for Counted {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.number(1, u64::from(self.0));
        to.number(2, u64::from(self.1));
    }
}

/// A `HistoryResult`.
struct Past<'a> {
    publications: &'a [Arc<Publication>],
    top: &'a Position,
}

impl Message for Past<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        for publication in self.publications {
            to.message(1, &Told::of(publication, Form::Plain));
        }
        to.text(2, self.top.epoch.as_str());
        to.number(3, self.top.offset);
    }
}

/// A `Publication`, in one of its forms.
struct Told<'a> {
    publication: &'a Publication,
    data: Cow<'a, [u8]>,
    is_delta: bool,
    epoch: Epoch,
}

impl<'a> Told<'a> {
    /// A difference is looked for once, here, and not each time the fields are said.
    fn of(publication: &'a Publication, form: Form<'a>) -> Self {
        let patch = match form {
            Form::Plain | Form::Whole => None,
            Form::Delta { previous } => delta::patch(previous, &publication.data),
        };
        Self {
            publication,
            is_delta: patch.is_some(),
            data: patch.map_or(Cow::Borrowed(&*publication.data), Cow::Owned),
            epoch: Epoch::EMPTY,
        }
    }
}

impl Message for Told<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        let content = self.publication;
        to.bytes(4, &self.data);
        if let Some(info) = &content.info {
            to.message(5, &**info);
        }
        to.number(6, content.offset);
        for (key, value) in content.tags.as_deref().into_iter().flat_map(Tags::iter) {
            to.message(7, &Tag(key, value));
        }
        to.flag(8, self.is_delta);
        to.text(14, self.epoch.as_str());
    }
}

/// One entry of the tags.
struct Tag<'a>(&'a str, &'a str);

impl Message for Tag<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.text(1, self.0);
        to.text(2, self.1);
    }
}

/// A `Join` or a `Leave`.
struct About<'a>(&'a ClientInfo);

impl Message for About<'_> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.message(1, self.0);
    }
}

impl Message for ClientInfo {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.text(1, self.user.as_str());
        to.bytes(2, &self.client.hyphenated());
        to.bytes(3, self.conn_info.as_deref().unwrap_or_default());
        to.bytes(4, self.chan_info.as_deref().unwrap_or_default());
    }
}
