//! What is said over a line of subscriptions, and what is heard.
//!
//! Channels that are wanted while the line is there are subscribed to as they come, those from
//! before it in batches, each when the one before it is there. The line proves itself: a message
//! that it sends itself through Redis has to come back in time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use campanile_engine::channel::ChannelName;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::command::write;
use super::ears::Listener;
use super::failure::{Failure, Redirection};
use super::line::{Loss, Talk};
use super::probe::Probe;
use super::reply::Reply;

/// Channels of one batch: of one command, where a command may name several.
pub(super) const BATCH_MAX: usize = 1000;

/// What others want of an ear.
pub(super) enum Order {
    /// To listen, and to be told when it does.
    Listen(ChannelName, oneshot::Sender<Result<(), Failure>>),
    /// Not to any more.
    Ignore(ChannelName),
    /// To listen to this name, too.
    Attend(String),
    /// To listen again to these, which it may have lost.
    Resume(Vec<ChannelName>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

/// A command that was sent, and what of it has not been answered.
struct Sent {
    verb: Verb,
    at: Instant,
    channels: VecDeque<Named>,
    /// Whether shards are to look for what they missed.
    is_resumed: bool,
}

/// What a channel is called in Redis, and who waits for it.
type Named = (String, Option<oneshot::Sender<Result<(), Failure>>>);

/// See the [module](self).
pub(super) struct Ear {
    listener: Arc<Listener>,
    probe: Probe,
    patience: Duration,
    /// What was taken and not written, and whether to listen.
    taken: Vec<(Verb, Named)>,
    /// What has yet to be resumed, once what is under way of it is there.
    rest: Vec<ChannelName>,
    /// Those of the rest that nobody wants any more.
    unwanted: HashSet<ChannelName>,
    is_resuming: bool,
    sent: VecDeque<Sent>,
    /// The batch that is being resumed.
    resumed: Vec<ChannelName>,
}

impl Ear {
    /// One that begins with listening to `fixed` names, and to `wanted` again.
    pub(super) fn new(
        listener: Arc<Listener>,
        probe: Probe,
        (fixed, wanted): (Vec<String>, Vec<ChannelName>),
        patience: Duration,
    ) -> Self {
        let names = std::iter::once(probe.name().to_owned()).chain(fixed);
        let taken = names.map(|name| (Verb::Subscribe, (name, None)));
        Self {
            taken: taken.collect(),
            listener,
            probe,
            patience,
            rest: wanted,
            unwanted: HashSet::new(),
            is_resuming: false,
            sent: VecDeque::new(),
            resumed: Vec::new(),
        }
    }

    /// Tells those that wait that they are not listened to.
    pub(super) fn end(self) {
        let taken = self.taken.into_iter().map(|(_, named)| named);
        let sent = self.sent.into_iter().flat_map(|sent| sent.channels);
        for (_, waiting) in taken.chain(sent) {
            if let Some(waiting) = waiting {
                let _ = waiting.send(Err(Failure::Unreachable));
            }
        }
    }

    /// Sends one command for `channels`, or one for each where each may be in another slot.
    fn send(&mut self, output: &mut BytesMut, verb: Verb, channels: VecDeque<Named>, now: Instant) {
        if channels.is_empty() {
            return;
        }
        if self.listener.is_sharded() {
            for named in channels {
                self.send_one(output, verb, VecDeque::from([named]), now);
            }
        } else {
            self.send_one(output, verb, channels, now);
        }
    }

    fn send_one(
        &mut self,
        output: &mut BytesMut,
        verb: Verb,
        channels: VecDeque<Named>,
        now: Instant,
    ) {
        let names = channels.iter().map(|(name, _)| name.as_bytes());
        write(output, std::iter::once(self.word(verb)).chain(names));
        self.sent.push_back(Sent {
            verb,
            at: now,
            channels,
            is_resumed: false,
        });
    }

    fn word(&self, verb: Verb) -> &'static [u8] {
        match (verb, self.listener.is_sharded()) {
            (Verb::Subscribe, false) => b"SUBSCRIBE",
            (Verb::Subscribe, true) => b"SSUBSCRIBE",
            (Verb::Unsubscribe, false) => b"UNSUBSCRIBE",
            (Verb::Unsubscribe, true) => b"SUNSUBSCRIBE",
        }
    }

    /// Begins the next batch of what is to be resumed.
    fn resume(&mut self, output: &mut BytesMut, now: Instant) {
        if self.is_resuming || self.rest.is_empty() {
            return;
        }
        let from = self.rest.len().saturating_sub(BATCH_MAX);
        let mut batch = self.rest.split_off(from);
        batch.retain(|channel| !self.unwanted.remove(channel));
        if self.rest.is_empty() {
            self.unwanted.clear();
        }
        if batch.is_empty() {
            return;
        }
        let names = batch
            .iter()
            .map(|channel| (self.listener.name(channel), None));
        let names = names.collect();
        self.send(output, Verb::Subscribe, names, now);
        if let Some(last) = self.sent.back_mut() {
            last.is_resumed = true;
        }
        self.resumed = batch;
        self.is_resuming = true;
    }

    fn hear_message(&mut self, name: &Reply, payload: &Reply, now: Instant) -> Result<(), Loss> {
        let name = name.bytes().ok_or(Loss::Unreadable)?;
        let payload = payload.bytes().ok_or(Loss::Unreadable)?;
        if self.probe.is_of(name) {
            self.probe.hear(payload, now);
        } else {
            self.listener.hear(name, payload);
        }
        Ok(())
    }

    /// Takes the answer of a server that sends what is published there, or does not any more.
    fn confirm(&mut self, verb: Verb, name: &Reply, now: Instant) -> Result<(), Loss> {
        let name = name.bytes().ok_or(Loss::Unreadable)?;
        let front = self.sent.front_mut().filter(|sent| sent.verb == verb);
        let is_it = |(expected, _): &Named| expected.as_bytes() == &**name;
        let front = front.filter(|sent| sent.channels.front().is_some_and(is_it));
        let Some(sent) = front else {
            return self.lose(verb, name);
        };
        if let Some((_, Some(waiting))) = sent.channels.pop_front() {
            let _ = waiting.send(Ok(()));
        }
        if self.probe.is_of(name) {
            self.probe.begin(now);
        }
        self.finish();
        Ok(())
    }

    /// The server ended a subscription by itself: the channel is elsewhere now.
    fn lose(&self, verb: Verb, name: &[u8]) -> Result<(), Loss> {
        if verb == Verb::Subscribe || !self.listener.is_sharded() {
            return Err(Loss::Unreadable);
        }
        if self.listener.lose(name) {
            Ok(())
        } else {
            Err(Loss::Elsewhere("a slot has moved"))
        }
    }

    /// The server refused a command.
    fn refuse(&mut self, reply: &Reply) -> Result<(), Loss> {
        let sent = self.sent.front_mut().ok_or(Loss::Unreadable)?;
        let failure = match (Redirection::of(reply), reply) {
            (None, Reply::Error(text)) => {
                let text = String::from_utf8_lossy(text);
                tracing::warn!("redis refuses a subscription: {text}");
                Failure::Refused(text.into())
            }
            _ => Failure::Unreachable,
        };
        for (name, waiting) in sent.channels.drain(..) {
            match waiting {
                Some(waiting) => {
                    let _ = waiting.send(Err(failure.clone()));
                }
                None if sent.verb == Verb::Subscribe && !self.listener.lose(name.as_bytes()) => {
                    return Err(Loss::Elsewhere("a subscription was refused"));
                }
                None => {}
            }
        }
        self.finish();
        Ok(())
    }

    /// Ends commands that are answered.
    fn finish(&mut self) {
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.channels.is_empty()) {
            if sent.is_resumed {
                self.listener.resumed(&std::mem::take(&mut self.resumed));
                self.is_resuming = false;
            }
        }
    }
}

impl Talk for Ear {
    type Order = Order;

    fn take(&mut self, order: Order, _: Instant) {
        match order {
            Order::Listen(channel, waiting) => {
                self.unwanted.remove(&channel);
                let name = self.listener.name(&channel);
                self.taken.push((Verb::Subscribe, (name, Some(waiting))));
            }
            Order::Ignore(channel) => {
                let name = self.listener.name(&channel);
                self.taken.push((Verb::Unsubscribe, (name, None)));
                if !self.rest.is_empty() {
                    self.unwanted.insert(channel);
                }
            }
            Order::Attend(name) => self.taken.push((Verb::Subscribe, (name, None))),
            Order::Resume(channels) => self.rest.extend(channels),
        }
    }

    fn write(&mut self, output: &mut BytesMut, now: Instant) {
        let mut channels = VecDeque::new();
        let mut verb = Verb::Subscribe;
        for (next, named) in std::mem::take(&mut self.taken) {
            if next != verb || channels.len() == BATCH_MAX {
                self.send(output, verb, std::mem::take(&mut channels), now);
            }
            verb = next;
            channels.push_back(named);
        }
        self.send(output, verb, channels, now);
        self.resume(output, now);
    }

    fn hear(&mut self, reply: Reply, now: Instant) -> Result<(), Loss> {
        if let Reply::Error(_) = reply {
            return self.refuse(&reply);
        }
        let [kind, name, rest] = reply.list().ok_or(Loss::Unreadable)? else {
            return Err(Loss::Unreadable);
        };
        match &**kind.bytes().ok_or(Loss::Unreadable)? {
            b"message" | b"smessage" => self.hear_message(name, rest, now),
            b"subscribe" | b"ssubscribe" => self.confirm(Verb::Subscribe, name, now),
            b"unsubscribe" | b"sunsubscribe" => self.confirm(Verb::Unsubscribe, name, now),
            _ => Err(Loss::Unreadable),
        }
    }

    fn look(&mut self, now: Instant) -> Result<(), Loss> {
        let is_late = |sent: &Sent| now.duration_since(sent.at) > self.patience;
        if self.sent.front().is_some_and(is_late) {
            return Err(Loss::Overdue);
        }
        self.probe.look(now)
    }
}
