//! One step of a session, and what it brings about: effects are carried out here, and deliveries
//! put into outboxes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use campanile_protocol::codec::InappropriatePayload;
use campanile_protocol::{Disconnect, Encoder, ReplyBody, Wire};

use super::frames::{FrameKey, encode_event, encode_notice};
use super::unfit::Subject;
use super::{CLOSE_LINGER, Errand, SessionKey, Shard};
use crate::ask::Tell;
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::hub::{Entry, Telling};
use crate::outbox::Frame;
use crate::session::{Context, Effect, Input, Notice};
use crate::time::Now;

impl Shard {
    pub(super) fn step(&mut self, now: Now, key: SessionKey, input: Input) {
        let mut effects = Vec::new();
        let Some(mut session) = self.slot_mut(key).and_then(|slot| slot.session.take()) else {
            return;
        };
        let was_live = session.is_live();
        let context = Context {
            now,
            settings: &self.settings,
            namespaces: &self.namespaces,
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            session.handle(&context, input, &mut effects);
        }));
        if outcome.is_err() {
            // Whatever state the session is in, it can still be closed.
            self.totals.panics += 1;
            session.handle(&context, Input::Close(Disconnect::INTERNAL), &mut effects);
        }
        match (was_live, session.is_live()) {
            (false, true) => self.live += 1,
            (true, false) => {
                self.live -= 1;
                self.hub.dismiss(session.user(), key.index);
            }
            _ => {}
        }
        let timeout = session.next_timeout();
        if let Some(slot) = self.slot_mut(key) {
            slot.session = Some(session);
        }
        for effect in effects {
            self.carry_out(now, key, effect);
        }
        self.file(key, timeout);
        // Not before all effects are carried out: the end of a subscription comes behind whatever
        // began with it.
        while let Some((key, channel)) = self.lost.pop() {
            self.step(now, key, Input::Lost(channel));
        }
        self.close_slow(now);
    }

    fn carry_out(&mut self, now: Now, key: SessionKey, effect: Effect) {
        match effect {
            Effect::Reply(mut reply) => {
                if let Ok(ReplyBody::Connect(result)) = &mut reply.body {
                    self.reveal(key, result);
                }
                if let Err(refusal) = &reply.body {
                    *self.codes.refusals.entry(refusal.code).or_default() += 1;
                }
                let subject = reply.body.as_ref().map_or(Subject::NOTHING, Subject::reply);
                self.encode(key, subject, |encoder, wire, out| {
                    encoder.reply(wire, &reply, out)
                });
            }
            Effect::Push(mut notice) => {
                if let Notice::Connect(result) = &mut notice {
                    self.reveal(key, result);
                }
                if let Notice::Unsubscribe(_, unsubscribed) = &notice {
                    *self
                        .codes
                        .unsubscribes
                        .entry(unsubscribed.code)
                        .or_default() += 1;
                }
                self.encode(key, Subject::notice(&notice), |encoder, wire, out| {
                    encode_notice(encoder, wire, &notice, out)
                });
            }
            Effect::Ping => self.encode(key, Subject::NOTHING, |encoder, wire, out| {
                encoder.ping(wire, out);
                Ok(())
            }),
            Effect::Ask(ticket, ask) => self.errands.push(Errand::Ask(key, ticket, ask)),
            Effect::Tell(tell) => self.errands.push(Errand::Tell(tell)),
            Effect::Enroll(user) => self.hub.enroll(user, key.index),
            Effect::Await(channel) => self.hub.await_entry(&channel, key.index),
            Effect::Enter(channel, membership) => {
                match self.hub.enter(now.moment, &channel, key.index, membership) {
                    Entry::Entered(backlog) => self.catch_up(key, &channel, &backlog),
                    Entry::Lost => self.lost.push((key, channel)),
                }
            }
            Effect::Leave(channel) => {
                if self.hub.leave(&channel, key.index) {
                    self.errands
                        .push(Errand::Tell(Tell::Unsubscribe { channel }));
                }
            }
            Effect::Close(disconnect) => self.begin_close(now, key, &disconnect),
        }
    }

    fn catch_up(&mut self, key: SessionKey, channel: &ChannelName, backlog: &[(Event, Telling)]) {
        for (event, telling) in backlog {
            self.encode(key, Subject::event(event, channel), |encoder, wire, out| {
                encode_event(encoder, wire, channel, event, *telling, out)
            });
        }
    }

    pub(super) fn fan_out(&mut self, channel: &ChannelName, event: &Event) {
        let mut frames = std::mem::take(&mut self.frames);
        for (index, telling) in self.hub.audience(channel, event) {
            let Some(slot) = self.slots.get_mut(index as usize) else {
                continue;
            };
            if slot.closes.is_some() {
                continue;
            }
            let key = SessionKey {
                index,
                generation: slot.generation,
            };
            let (wire, window) = (slot.wire, slot.window);
            let frame_key = FrameKey {
                wire,
                telling,
                window,
            };
            let plain_key = FrameKey {
                window: None,
                ..frame_key
            };
            let plain = frames.get_or_make(plain_key, || {
                let mut out = Vec::with_capacity(256);
                let encoder = &mut self.encoder;
                encode_event(encoder, wire, channel, event, telling, &mut out).inspect_err(
                    |InappropriatePayload| Subject::event(event, channel).complain(None),
                )?;
                Ok(Frame::new(out, &self.held))
            });
            let frame = match (window, plain) {
                (Some(_), Ok(plain)) => frames.get_or_make(frame_key, || {
                    let mut out = plain.to_vec();
                    let shrunk = self.deflater.shrink(window, &mut out);
                    self.totals.compressions += shrunk;
                    // What did not become smaller is shared with those who take no compression.
                    Ok(if shrunk > 0 {
                        Frame::new(out, &self.held)
                    } else {
                        plain
                    })
                }),
                (_, plain) => plain,
            };
            match frame {
                // Some wires have no word for some events.
                Ok(frame) if frame.is_empty() => {}
                Ok(frame) => {
                    self.totals.deliveries += 1;
                    slot.outbox.push(frame);
                    if slot.outbox.bytes() > self.settings.queue_bytes_max {
                        self.too_slow.push(key);
                    }
                    if !slot.is_dirty {
                        slot.is_dirty = true;
                        self.dirty.push_back(key);
                    }
                }
                Err(InappropriatePayload) => self.unfit.push(key),
            }
        }
        frames.clear();
        self.frames = frames;
    }

    /// Encodes something for one session.
    fn encode(
        &mut self,
        key: SessionKey,
        subject: Subject<'_>,
        encode: impl FnOnce(&mut Encoder, Wire, &mut Vec<u8>) -> Result<(), InappropriatePayload>,
    ) {
        let Some((wire, window)) = self.slot(key).map(|slot| (slot.wire, slot.window)) else {
            return;
        };
        let mut out = Vec::with_capacity(128);
        match encode(&mut self.encoder, wire, &mut out) {
            Ok(()) => {
                self.totals.compressions += self.deflater.shrink(window, &mut out);
                self.send_to(key, out);
            }
            Err(InappropriatePayload) => {
                let session = self.slot(key).and_then(|slot| slot.session.as_ref());
                subject.complain(session.map(|session| session.client()));
                self.unfit.push(key);
            }
        }
    }

    pub(super) fn send_to(&mut self, key: SessionKey, bytes: Vec<u8>) {
        let queue_bytes_max = self.settings.queue_bytes_max;
        let Some(slot) = self.slots.get_mut(key.index as usize) else {
            return;
        };
        if slot.generation != key.generation || slot.is_orphan || bytes.is_empty() {
            return;
        }
        slot.outbox.push(Frame::new(bytes, &self.held));
        if slot.outbox.bytes() > queue_bytes_max {
            self.too_slow.push(key);
        }
        self.mark_dirty(key);
    }

    pub(super) fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(slot) = self.slot_mut(key)
            && !std::mem::replace(&mut slot.is_dirty, true)
        {
            self.dirty.push_back(key);
        }
    }

    pub(super) fn begin_close(&mut self, now: Now, key: SessionKey, disconnect: &Disconnect) {
        let Some(slot) = self.slot_mut(key).filter(|slot| slot.closes.is_none()) else {
            return;
        };
        let wire = slot.wire;
        if !disconnect.flushes() {
            slot.outbox.discard_unbegun();
        }
        let cut_off = now.moment + CLOSE_LINGER;
        slot.closes = Some(cut_off);
        if disconnect.code == Disconnect::CONNECTION_CLOSED.code {
            // Without a last word too the writer has to come by, to close the socket.
            self.mark_dirty(key);
        } else {
            *self.codes.disconnects.entry(disconnect.code).or_default() += 1;
            let mut last = Vec::new();
            self.encoder.disconnect(wire, disconnect, &mut last);
            self.send_to(key, last);
        }
        self.file(key, Some(cut_off));
    }

    /// Closes what has turned out unable to go on. Apart from the steps that found it out, since
    /// those hold half of the shard.
    ///
    /// Closing is a step too, and ends here again: only the outermost call goes through the lists,
    /// or thousands that end together would end in the depth of the stack.
    pub(super) fn close_slow(&mut self, now: Now) {
        if std::mem::replace(&mut self.is_closing, true) {
            return;
        }
        loop {
            if let Some(key) = self.too_slow.pop() {
                if self.is_open(key) {
                    self.totals.slow += 1;
                    self.close(now, key, Disconnect::SLOW);
                }
            } else if let Some(key) = self.unfit.pop() {
                self.close(now, key, Disconnect::INAPPROPRIATE_PROTOCOL);
            } else {
                break;
            }
        }
        self.is_closing = false;
    }

    /// Tells the node how much waits in this shard, and gives up the largest queues when the node
    /// has no memory left. To be called after writing: what can leave is not to be shed.
    pub fn shed(&mut self, now: Now) {
        self.budget.set_queued(self.id, self.held.get());
        let mut excess = self.budget.excess();
        if excess == 0 || self.held.get() == 0 {
            return;
        }
        let mut queues: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.outbox.is_empty() && slot.closes.is_none())
            .map(|(index, slot)| (slot.outbox.bytes() as u64, index, slot.generation))
            .collect();
        queues.sort_unstable();
        while let Some((bytes, index, generation)) = queues.pop().filter(|_| excess > 0) {
            excess = excess.saturating_sub(bytes);
            if let Ok(index) = index.try_into() {
                self.too_slow.push(SessionKey { index, generation });
            }
        }
        self.close_slow(now);
    }
}
