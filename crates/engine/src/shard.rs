//! Everything that belongs to one worker thread: its sessions, their outboxes and subscriptions.
//!
//! A shard carries out what its sessions want: it encodes, fans out and keeps time for them. What
//! it cannot do by itself it leaves as [`Errand`]s for whoever drives it, who also owns the sockets
//! and writes the outboxes. Nothing here waits, and nothing is shared with another thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::codec::InappropriatePayload;
use campanile_protocol::wire::Commands;
use campanile_protocol::{ClientId, Disconnect, Position, Push, Wire};
use slab::Slab;

use crate::ask::{Answer, Ask, Tell, Ticket};
use crate::broker::HistoryPage;
use crate::budget::MemoryBudget;
use crate::channel::{ChannelName, Namespaces};
use crate::delivery::{Delivery, Event, ShardId};
use crate::hub::{Entry, Hub, Reception, SessionIndex};
use crate::outbox::{Frame, Outbox};
use crate::session::{Context, Effect, Input, Notice, Order, Session};
use crate::settings::Settings;
use crate::time::{Moment, Now};
use crate::wheel::Wheel;

/// A session of this shard. Indices are used again; the generation tells one use from the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionKey {
    /// Its place in the shard, and in whatever tables run beside it.
    pub index: SessionIndex,
    generation: u32,
}

/// Something that the shard cannot do by itself.
#[derive(Debug)]
pub enum Errand {
    /// Find out, and bring the answer to [`Shard::answer`].
    Ask(SessionKey, Ticket, Ask),
    /// Have it done.
    Tell(Tell),
    /// Read the history after this position, and bring it to [`Shard::repaired`].
    Repair(ChannelName, Position),
}

/// Whom an order is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every live session.
    Everybody,
    /// Sessions of one user.
    User {
        /// Whose.
        user: String,
        /// Only this one of them.
        only: Option<ClientId>,
        /// None of these.
        spared: Vec<ClientId>,
    },
}

/// How long a connection that was closed by us may take to read why and to close its side.
const CLOSE_LINGER: Duration = Duration::from_secs(5);

struct Slot {
    generation: u32,
    wire: Wire,
    outbox: Outbox,
    /// `None` for a connection that has no protocol of ours.
    session: Option<Box<Session>>,
    is_dirty: bool,
    /// Set when nothing more is to be said than what is in the outbox, to when it is cut off.
    closes: Option<Moment>,
    /// Set when its connection is gone, but an answer to its session is still under way.
    is_orphan: bool,
    /// When the wheel will bring it up.
    filed: Option<Moment>,
}

/// Counts of a shard, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardStats {
    /// Live sessions.
    pub clients: usize,
    /// Users with live sessions here.
    pub users: usize,
    /// Channels with subscribers here.
    pub channels: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

/// Counts that only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardTotals {
    /// Publications and announcements put into outboxes.
    pub deliveries: u64,
    /// Commands received.
    pub commands: u64,
    /// Connections closed because they read too slowly.
    pub slow: u64,
    /// History reads that repaired subscribers.
    pub repairs: u64,
    /// Recoveries that made a subscriber whole.
    pub recovered: u64,
    /// Recoveries that did not.
    pub unrecovered: u64,
    /// Sessions that panicked.
    pub panics: u64,
}

impl std::ops::Add for ShardStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            clients: self.clients + other.clients,
            users: self.users + other.users,
            channels: self.channels + other.channels,
            subscriptions: self.subscriptions + other.subscriptions,
        }
    }
}

impl std::ops::Add for ShardTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            deliveries: self.deliveries + other.deliveries,
            commands: self.commands + other.commands,
            slow: self.slow + other.slow,
            repairs: self.repairs + other.repairs,
            recovered: self.recovered + other.recovered,
            unrecovered: self.unrecovered + other.unrecovered,
            panics: self.panics + other.panics,
        }
    }
}

/// See the [module](self).
pub struct Shard {
    id: ShardId,
    settings: Arc<Settings>,
    namespaces: Arc<Namespaces>,
    budget: Arc<MemoryBudget>,
    slots: Slab<Slot>,
    hub: Hub,
    wheel: Wheel<SessionKey>,
    dirty: VecDeque<SessionKey>,
    errands: Vec<Errand>,
    next_generation: u32,
    live: usize,
    queued_bytes: u64,
    totals: ShardTotals,
    /// Sessions whose outbox has outgrown its bound, to be closed when the step is over.
    too_slow: Vec<SessionKey>,
    /// Sessions that were to get a payload which their wire cannot carry, likewise.
    unfit: Vec<SessionKey>,
    overdue: Vec<SessionKey>,
    due: Vec<SessionKey>,
}

impl Shard {
    /// A shard without sessions.
    #[must_use]
    pub fn new(
        id: ShardId,
        settings: Arc<Settings>,
        namespaces: Arc<Namespaces>,
        budget: Arc<MemoryBudget>,
        now: Now,
    ) -> Self {
        Self {
            id,
            settings,
            namespaces,
            budget,
            slots: Slab::new(),
            hub: Hub::default(),
            wheel: Wheel::new(now.moment),
            dirty: VecDeque::new(),
            errands: Vec::new(),
            next_generation: 0,
            live: 0,
            queued_bytes: 0,
            totals: ShardTotals::default(),
            too_slow: Vec::new(),
            unfit: Vec::new(),
            overdue: Vec::new(),
            due: Vec::new(),
        }
    }

    /// Which shard it is.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// What is in it now.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            clients: self.live,
            users: self.hub.user_count(),
            channels: self.hub.channel_count(),
            subscriptions: self.hub.membership_count(),
        }
    }

    /// What has happened in it.
    #[must_use]
    pub const fn totals(&self) -> ShardTotals {
        self.totals
    }

    /// Connections of any kind.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.slots.len()
    }

    /// The channels with members, and how many.
    pub fn channels(&self) -> impl Iterator<Item = (&ChannelName, usize)> {
        self.hub.channels()
    }

    /// A new connection that speaks `wire`. `random` are sixteen random bytes.
    pub fn open(&mut self, now: Now, wire: Wire, random: [u8; 16]) -> SessionKey {
        let client = ClientId::from_random(random, self.id.as_u8());
        let jitter = u16::from_le_bytes([random[0], random[1]]);
        let context = Context {
            now,
            settings: &self.settings,
            namespaces: &self.namespaces,
        };
        let session = Box::new(Session::open(&context, client, jitter));
        let deadline = session.next_timeout();
        let key = self.insert(wire, Some(session));
        self.file(key, deadline);
        key
    }

    /// A new connection that has no protocol of ours: it has an outbox, and nothing else.
    pub fn open_bare(&mut self) -> SessionKey {
        self.insert(Wire::WebSocketJson, None)
    }

    fn insert(&mut self, wire: Wire, session: Option<Box<Session>>) -> SessionKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let index = self.slots.insert(Slot {
            generation,
            wire,
            outbox: Outbox::default(),
            session,
            is_dirty: false,
            closes: None,
            is_orphan: false,
            filed: None,
        });
        let index = SessionIndex::try_from(index).expect("fewer connections than descriptors");
        SessionKey { index, generation }
    }

    /// Takes commands, in order, until one has to wait; returns what is left undecoded.
    pub fn receive<'a>(
        &mut self,
        now: Now,
        key: SessionKey,
        mut commands: Commands<'a>,
    ) -> &'a [u8] {
        while self.is_listening(key) {
            let input = match commands.next() {
                None => return &[],
                Some(Ok(command)) => Input::Command(command),
                Some(Err(error)) => Input::Malformed(error),
            };
            self.totals.commands += 1;
            self.step(now, key, input);
        }
        if self.is_open(key) {
            commands.rest()
        } else {
            &[]
        }
    }

    /// Whether the session takes another command now.
    #[must_use]
    pub fn is_listening(&self, key: SessionKey) -> bool {
        let session = self.slot(key).filter(|slot| slot.closes.is_none());
        session
            .and_then(|slot| slot.session.as_ref())
            .is_some_and(|s| !s.is_waiting(&self.settings))
    }

    /// Whether the connection is not about to be closed.
    #[must_use]
    pub fn is_open(&self, key: SessionKey) -> bool {
        self.slot(key).is_some_and(|slot| slot.closes.is_none())
    }

    /// Brings the answer to an [`Errand::Ask`].
    pub fn answer(&mut self, now: Now, key: SessionKey, ticket: Ticket, answer: Answer) {
        if let Answer::Join(Ok(joined)) = &answer {
            for recovery in joined.iter().filter_map(|joined| joined.recovery.as_ref()) {
                if recovery.is_recovered {
                    self.totals.recovered += 1;
                } else {
                    self.totals.unrecovered += 1;
                }
            }
        }
        self.step(now, key, Input::Answer(ticket, answer));
        let is_done = |slot: &Slot| {
            slot.is_orphan
                && slot
                    .session
                    .as_ref()
                    .is_none_or(|session| !session.has_loose_ends())
        };
        if self.slot(key).is_some_and(is_done) {
            self.slots.remove(key.index as usize);
        }
    }

    /// Ends a connection for this reason, as the client will see it.
    pub fn close(&mut self, now: Now, key: SessionKey, disconnect: Disconnect) {
        match self.slot(key) {
            Some(slot) if slot.session.is_some() => {
                self.step(now, key, Input::Close(disconnect));
            }
            Some(_) => self.begin_close(now, key, &disconnect),
            None => {}
        }
    }

    /// Ends a connection with the last bytes that its client will see behind what waits already,
    /// whatever its session wants to say.
    pub fn close_with(&mut self, now: Now, key: SessionKey, last: Frame) {
        if self.is_open(key) {
            // Out of the session's reach, which takes its client to be gone: these are answers to
            // what was said before, and the first of them may be that to the handshake.
            let waiting = self.slot_mut(key).map(|slot| std::mem::take(&mut slot.outbox));
            self.step(now, key, Input::Close(Disconnect::CONNECTION_CLOSED));
            if let (Some(slot), Some(waiting)) = (self.slot_mut(key), waiting) {
                slot.outbox = waiting;
            }
            self.send_to(key, last);
            let cut_off = now.moment + CLOSE_LINGER;
            if let Some(slot) = self.slot_mut(key) {
                slot.closes = Some(cut_off);
            }
            self.file(key, Some(cut_off));
        }
    }

    /// The connection is gone; its key is good for nothing any more.
    pub fn release(&mut self, now: Now, key: SessionKey) {
        if self.is_open(key) {
            self.step(now, key, Input::Close(Disconnect::CONNECTION_CLOSED));
        }
        let Some(slot) = self.slot_mut(key) else {
            return;
        };
        let bytes = std::mem::take(&mut slot.outbox).bytes() as u64;
        slot.is_orphan = true;
        let is_needed = slot
            .session
            .as_ref()
            .is_some_and(|session| session.has_loose_ends());
        self.queued_bytes -= bytes;
        if !is_needed {
            self.slots.remove(key.index as usize);
        }
    }

    /// Fans a delivery out to this shard's members of its channel.
    pub fn deliver(&mut self, now: Now, delivery: &Arc<Delivery>) {
        match self.hub.receive(delivery) {
            Reception::Unknown => {
                let channel = delivery.channel.clone();
                self.errands
                    .push(Errand::Tell(Tell::Unsubscribe { channel }));
            }
            Reception::Skip => {}
            Reception::Gap(position) => {
                self.errands
                    .push(Errand::Repair(delivery.channel.clone(), position));
            }
            Reception::Pass => self.fan_out(&delivery.channel, &delivery.event),
        }
        self.close_slow(now);
    }

    /// Brings the history that an [`Errand::Repair`] wanted; `None` when it could not be read.
    pub fn repaired(&mut self, now: Now, channel: &ChannelName, page: Option<HistoryPage>) {
        let repaired = self.hub.repaired(channel, page);
        if !repaired.publications.is_empty() {
            self.totals.repairs += 1;
        }
        for publication in repaired.publications {
            let event = Event::Publication {
                publication,
                epoch: repaired.epoch,
            };
            self.fan_out(channel, &event);
        }
        if let Some(position) = repaired.again {
            self.errands.push(Errand::Repair(channel.clone(), position));
        }
        for index in repaired.lost {
            if let Some(key) = self.key_at(index) {
                self.step(now, key, Input::Lost(channel.clone()));
            }
        }
        self.close_slow(now);
    }

    /// Gives an order to every live session that it is for; returns how many there are.
    pub fn order(&mut self, now: Now, target: &Target, order: &Order) -> usize {
        let targets = self.find(target);
        for key in &targets {
            self.step(now, *key, Input::Order(order.clone()));
        }
        targets.len()
    }

    fn find(&self, target: &Target) -> Vec<SessionKey> {
        match target {
            Target::Everybody => {
                let is_live = |slot: &Slot| {
                    slot.session
                        .as_ref()
                        .is_some_and(|session| session.is_live())
                };
                let live = self.slots.iter().filter(|(_, slot)| is_live(slot));
                live.filter_map(|(index, _)| self.key_at(index.try_into().ok()?))
                    .collect()
            }
            Target::User { user, only, spared } => {
                let is_meant = |key: &SessionKey| {
                    let session = self.slot(*key).and_then(|slot| slot.session.as_ref());
                    session
                        .map(|session| session.client())
                        .is_some_and(|client| {
                            only.is_none_or(|only| only == client) && !spared.contains(&client)
                        })
                };
                let sessions = self.hub.sessions_of(user).into_iter();
                sessions
                    .filter_map(|index| self.key_at(index))
                    .filter(is_meant)
                    .collect()
            }
        }
    }

    /// Ends at most `most` sessions with `disconnect`; returns how many there were.
    pub fn drain(&mut self, now: Now, most: usize, disconnect: &Disconnect) -> usize {
        let is_open = |slot: &Slot| slot.closes.is_none() && !slot.is_orphan;
        let open = self
            .slots
            .iter()
            .filter(|(_, slot)| is_open(slot))
            .take(most);
        let keys: Vec<_> = open
            .filter_map(|(index, _)| self.key_at(index.try_into().ok()?))
            .collect();
        for key in &keys {
            self.close(now, *key, disconnect.clone());
        }
        keys.len()
    }

    /// Looks at every session whose deadline has come.
    pub fn tick(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.moment, &mut due);
        for key in due.drain(..) {
            let Some(slot) = self.slot_mut(key) else {
                continue;
            };
            // A session that was filed anew for an earlier moment is in the wheel twice.
            if slot.filed.is_none_or(|filed| filed > now.moment) {
                continue;
            }
            slot.filed = None;
            match slot.closes {
                Some(cut_off) if cut_off <= now.moment => self.overdue.push(key),
                Some(cut_off) => self.file(key, Some(cut_off)),
                None => self.look_at(now, key),
            }
        }
        self.due = due;
        self.shed();
        self.close_slow(now);
    }

    fn look_at(&mut self, now: Now, key: SessionKey) {
        let session = self.slot(key).and_then(|slot| slot.session.as_ref());
        let Some(timeout) = session.and_then(|session| session.next_timeout()) else {
            return;
        };
        if timeout <= now.moment {
            self.step(now, key, Input::Timeout);
        } else {
            self.file(key, Some(timeout));
        }
    }

    /// When [`Shard::tick`] is wanted next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Moment> {
        self.wheel.next()
    }

    /// Whether there is anything that the shard cannot do by itself.
    #[must_use]
    pub fn has_errands(&self) -> bool {
        !self.errands.is_empty()
    }

    /// Takes what the shard cannot do by itself.
    pub fn take_errands(&mut self, errands: &mut Vec<Errand>) {
        errands.append(&mut self.errands);
    }

    /// A connection with something to write, or about to be closed; each is named once.
    pub fn next_dirty(&mut self) -> Option<SessionKey> {
        while let Some(key) = self.dirty.pop_front() {
            if let Some(slot) = self.slot_mut(key) {
                slot.is_dirty = false;
                return Some(key);
            }
        }
        None
    }

    /// How many connections have something to write.
    #[must_use]
    pub fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// A connection that has had its time to close.
    pub fn next_overdue(&mut self) -> Option<SessionKey> {
        self.overdue.pop()
    }

    /// What waits for a connection.
    #[must_use]
    pub fn outbox(&self, key: SessionKey) -> Option<&Outbox> {
        self.slot(key).map(|slot| &slot.outbox)
    }

    /// Notes that so much of the outbox has been written.
    pub fn wrote(&mut self, key: SessionKey, bytes: usize) {
        if let Some(slot) = self.slot_mut(key) {
            slot.outbox.advance(bytes);
            self.queued_bytes -= bytes as u64;
        }
    }

    /// Sends bytes to a connection. One that does not read them is closed as slow.
    pub fn send(&mut self, now: Now, key: SessionKey, frame: Frame) {
        self.send_to(key, frame);
        self.close_slow(now);
    }

    /// Tells the node how much waits in this shard.
    pub fn report(&self) {
        self.budget.set_queued(self.id, self.queued_bytes);
    }

    fn step(&mut self, now: Now, key: SessionKey, input: Input) {
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
            effects.clear();
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
        self.close_slow(now);
    }

    fn carry_out(&mut self, now: Now, key: SessionKey, effect: Effect) {
        match effect {
            Effect::Reply(reply) => self.encode(key, |wire, out| wire.reply(&reply, out)),
            Effect::Push(notice) => self.encode(key, |wire, out| encode_notice(wire, &notice, out)),
            Effect::Ping => self.encode(key, |wire, out| {
                wire.ping(out);
                Ok(())
            }),
            Effect::Ask(ticket, ask) => self.errands.push(Errand::Ask(key, ticket, ask)),
            Effect::Tell(tell) => self.errands.push(Errand::Tell(tell)),
            Effect::Enroll(user) => self.hub.enroll(user, key.index),
            Effect::Await(channel) => self.hub.await_entry(&channel, key.index),
            Effect::Enter(channel, membership) => {
                match self.hub.enter(&channel, key.index, membership) {
                    Entry::Entered(backlog) => self.catch_up(key, &backlog),
                    Entry::Lost => self.step(now, key, Input::Lost(channel)),
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

    fn catch_up(&mut self, key: SessionKey, backlog: &[Arc<Delivery>]) {
        for delivery in backlog {
            self.encode(key, |wire, out| {
                encode_event(wire, &delivery.channel, &delivery.event, out)
            });
        }
    }

    fn fan_out(&mut self, channel: &ChannelName, event: &Event) {
        let mut frames: [Option<Result<Frame, InappropriatePayload>>; Wire::COUNT] = [None];
        for index in self.hub.audience(channel, event) {
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
            let wire = slot.wire;
            let frame = frames[wire.index()].get_or_insert_with(|| {
                let mut out = Vec::with_capacity(256);
                encode_event(wire, channel, event, &mut out).map(|()| Frame::from(out))
            });
            match frame {
                Ok(frame) => {
                    self.queued_bytes += frame.len() as u64;
                    self.totals.deliveries += 1;
                    slot.outbox.push(Rc::clone(frame));
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
    }

    /// Encodes something for one session.
    fn encode(
        &mut self,
        key: SessionKey,
        encode: impl FnOnce(Wire, &mut Vec<u8>) -> Result<(), InappropriatePayload>,
    ) {
        let Some(wire) = self.slot(key).map(|slot| slot.wire) else {
            return;
        };
        let mut out = Vec::with_capacity(128);
        match encode(wire, &mut out) {
            Ok(()) => self.send_to(key, out.into()),
            Err(InappropriatePayload) => self.unfit.push(key),
        }
    }

    fn send_to(&mut self, key: SessionKey, frame: Frame) {
        let queue_bytes_max = self.settings.queue_bytes_max;
        let Some(slot) = self.slots.get_mut(key.index as usize) else {
            return;
        };
        if slot.generation != key.generation || slot.is_orphan {
            return;
        }
        self.queued_bytes += frame.len() as u64;
        slot.outbox.push(frame);
        if slot.outbox.bytes() > queue_bytes_max {
            self.too_slow.push(key);
        }
        self.mark_dirty(key);
    }

    fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(slot) = self.slot_mut(key)
            && !std::mem::replace(&mut slot.is_dirty, true)
        {
            self.dirty.push_back(key);
        }
    }

    fn begin_close(&mut self, now: Now, key: SessionKey, disconnect: &Disconnect) {
        let Some(slot) = self.slot_mut(key).filter(|slot| slot.closes.is_none()) else {
            return;
        };
        let wire = slot.wire;
        let before = slot.outbox.bytes() as u64;
        if !disconnect.flushes() {
            slot.outbox.discard_unbegun();
        }
        let cut_off = now.moment + CLOSE_LINGER;
        slot.closes = Some(cut_off);
        let after = slot.outbox.bytes() as u64;
        self.queued_bytes = self.queued_bytes - before + after;
        if disconnect.code == Disconnect::CONNECTION_CLOSED.code {
            // Without a last word too the writer has to come by, to close the socket.
            self.mark_dirty(key);
        } else {
            let mut last = Vec::new();
            wire.disconnect(disconnect, &mut last);
            self.send_to(key, last.into());
        }
        self.file(key, Some(cut_off));
    }

    /// Closes what has turned out unable to go on. Apart from the steps that found it out, since
    /// those hold half of the shard.
    fn close_slow(&mut self, now: Now) {
        while let Some(key) = self.too_slow.pop() {
            if self.is_open(key) {
                self.totals.slow += 1;
                self.close(now, key, Disconnect::SLOW);
            }
        }
        while let Some(key) = self.unfit.pop() {
            self.close(now, key, Disconnect::INAPPROPRIATE_PROTOCOL);
        }
    }

    /// Gives up the largest queues when the node has no memory left.
    fn shed(&mut self) {
        self.report();
        let mut excess = self.budget.excess();
        if excess == 0 || self.queued_bytes == 0 {
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
    }

    /// Makes the wheel bring the session up at `at`, unless it comes up earlier anyway.
    fn file(&mut self, key: SessionKey, at: Option<Moment>) {
        let Some(at) = at else { return };
        let Some(slot) = self.slots.get_mut(key.index as usize) else {
            return;
        };
        if slot.generation == key.generation && slot.filed.is_none_or(|filed| at < filed) {
            slot.filed = Some(self.wheel.file(at, key));
        }
    }

    fn slot(&self, key: SessionKey) -> Option<&Slot> {
        self.slots
            .get(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
    }

    fn slot_mut(&mut self, key: SessionKey) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
    }

    fn key_at(&self, index: SessionIndex) -> Option<SessionKey> {
        let generation = self.slots.get(index as usize)?.generation;
        Some(SessionKey { index, generation })
    }
}

fn encode_event(
    wire: Wire,
    channel: &ChannelName,
    event: &Event,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let channel = channel.as_str();
    let push = match event {
        Event::Publication { publication, epoch } => Push::Publication {
            channel,
            publication,
            epoch: *epoch,
        },
        Event::Join(info) => Push::Join { channel, info },
        Event::Leave(info) => Push::Leave { channel, info },
    };
    wire.push(&push, out)
}

fn encode_notice(
    wire: Wire,
    notice: &Notice,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let push = match notice {
        Notice::Unsubscribe(channel, unsubscribed) => Push::Unsubscribe {
            channel: channel.as_str(),
            unsubscribed,
        },
        Notice::Subscribe {
            channel,
            recoverable,
            position,
            data,
        } => Push::Subscribe {
            channel: channel.as_str(),
            recoverable: *recoverable,
            positioned: position.is_some(),
            position: *position,
            data: data.as_ref(),
        },
        Notice::Publication(channel, publication) => Push::Publication {
            channel: channel.as_str(),
            publication,
            epoch: campanile_protocol::Epoch::EMPTY,
        },
        Notice::Message(data) => Push::Message { data },
        Notice::Refresh(expiry) => Push::Refresh(*expiry),
    };
    wire.push(&push, out)
}
