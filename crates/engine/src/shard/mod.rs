//! Everything that belongs to one worker thread: its sessions, their outboxes and subscriptions.
//!
//! A shard carries out what its sessions want: it encodes, fans out and keeps time for them. What
//! it cannot do by itself it leaves as [`Errand`]s for whoever drives it, who also owns the sockets
//! and writes the outboxes. Nothing here waits, and nothing is shared with another thread.

mod counts;
mod deadlines;
mod frames;
mod hearing;
mod orders;
mod secrets;
mod steps;
mod unfit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::ws::deflate::{Deflater, Window};
use campanile_protocol::{ClientId, Disconnect, Encoder, Position, Wire};
use slab::Slab;

use crate::ask::{Answer, Ask, Tell, Ticket};
use crate::authority::Handshake;
use crate::broker::HistoryPage;
use crate::budget::MemoryBudget;
use crate::channel::{ChannelName, Namespaces};
use crate::delivery::{Delivery, Event, ShardId};
use crate::hub::{Hub, Reception, SessionIndex};
use crate::outbox::{Ledger, Outbox};
use crate::session::{Context, Input, Session};
use crate::settings::Settings;
use crate::time::{Moment, Now};
use crate::wheel::Wheel;

use frames::FrameCache;

pub use counts::{CodeTotals, ShardReport, ShardStats, ShardTotals};
pub use orders::Target;
pub use secrets::Secret;
use secrets::Secrets;

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

/// How long a connection without a session may be idle.
const BARE_IDLE: Duration = Duration::from_secs(60);

/// How long a connection that was closed by us may take to read why and to close its side.
const CLOSE_LINGER: Duration = Duration::from_secs(5);

struct Slot {
    generation: u32,
    wire: Wire,
    /// Set when its messages are compressed.
    window: Option<Window>,
    outbox: Outbox,
    /// `None` for a connection that has no protocol of ours.
    session: Option<Box<Session>>,
    is_dirty: bool,
    /// Whether something was sent since it was last looked at; for connections without a session.
    is_in_use: bool,
    /// Set when nothing more is to be said than what is in the outbox, to when it is cut off.
    closes: Option<Moment>,
    /// Set when its connection is gone, but an answer to its session is still under way.
    is_orphan: bool,
    /// When the wheel will bring it up.
    filed: Option<Moment>,
}

/// See the [module](self).
pub struct Shard {
    id: ShardId,
    settings: Arc<Settings>,
    namespaces: Arc<Namespaces>,
    budget: Arc<MemoryBudget>,
    slots: Slab<Slot>,
    hub: Hub,
    secrets: Secrets,
    wheel: Wheel<SessionKey>,
    dirty: VecDeque<SessionKey>,
    errands: Vec<Errand>,
    next_generation: u32,
    live: usize,
    /// Bytes of all frames that wait in outboxes.
    held: Ledger,
    totals: ShardTotals,
    codes: CodeTotals,
    encoder: Encoder,
    deflater: Deflater,
    /// Those of the delivery under way; kept for its room.
    frames: FrameCache,
    /// Whether [`Shard::close_slow`] is under way.
    is_closing: bool,
    /// Sessions whose outbox has outgrown its bound, to be closed when the step is over.
    too_slow: Vec<SessionKey>,
    /// Sessions that were to get a payload which their wire cannot carry, likewise.
    unfit: Vec<SessionKey>,
    /// Sessions that missed something while they joined, likewise.
    lost: Vec<(SessionKey, ChannelName)>,
    overdue: Vec<SessionKey>,
    due: Vec<SessionKey>,
}

impl Shard {
    /// A shard without sessions, of the node with this identity.
    #[must_use]
    pub fn new(
        id: ShardId,
        node: &str,
        settings: Arc<Settings>,
        namespaces: Arc<Namespaces>,
        budget: Arc<MemoryBudget>,
        now: Now,
    ) -> Self {
        let deflater = Deflater::new(settings.compression_level, settings.compression_bytes_min);
        Self {
            id,
            settings,
            namespaces,
            budget,
            slots: Slab::new(),
            hub: Hub::default(),
            secrets: Secrets::of(node),
            wheel: Wheel::new(now.moment),
            dirty: VecDeque::new(),
            errands: Vec::new(),
            next_generation: 0,
            live: 0,
            held: Ledger::default(),
            totals: ShardTotals::default(),
            codes: CodeTotals::default(),
            encoder: Encoder::default(),
            deflater,
            frames: FrameCache::default(),
            is_closing: false,
            too_slow: Vec::new(),
            unfit: Vec::new(),
            lost: Vec::new(),
            overdue: Vec::new(),
            due: Vec::new(),
        }
    }

    /// Goes by these rules from now on. Compression stays as it was begun.
    pub fn follow(&mut self, settings: Arc<Settings>, namespaces: Arc<Namespaces>) {
        self.settings = settings;
        self.namespaces = namespaces;
    }

    /// The operator's rules.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
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
            connections: self.connection_count(),
            clients: self.live,
            users: self.hub.user_count(),
            channels: self.hub.channel_count(),
            subscriptions: self.hub.membership_count(),
        }
    }

    /// Everything that it can tell about itself.
    #[must_use]
    pub fn report(&self) -> ShardReport {
        ShardReport {
            stats: self.stats(),
            totals: self.totals(),
            codes: self.codes.clone(),
        }
    }

    /// What has happened in it.
    #[must_use]
    pub const fn totals(&self) -> ShardTotals {
        ShardTotals {
            losses: self.hub.losses(),
            ..self.totals
        }
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

    /// A new connection that speaks `wire`. `random` are random bytes: of a client's identity,
    /// which others see, and of the secret under which it is found, which they do not. `handshake`
    /// is what its transport knows of the client.
    pub fn open(
        &mut self,
        now: Now,
        wire: Wire,
        random: [[u8; 16]; 2],
        handshake: Option<Box<Handshake>>,
    ) -> SessionKey {
        let [random, secret] = random;
        let client = ClientId::from_random(random, self.id.as_u8());
        let jitter = u16::from_le_bytes([random[0], random[1]]);
        let context = Context {
            now,
            settings: &self.settings,
            namespaces: &self.namespaces,
        };
        let session = Session::open(&context, wire, client, jitter, handshake);
        let session = Box::new(session);
        let deadline = session.next_timeout();
        let key = self.insert(wire, Some(session));
        self.entrust(key, Secret::from_random(secret, self.id));
        self.file(key, deadline);
        key
    }

    /// A new connection that has no protocol of ours: it has an outbox, and nothing else.
    ///
    /// It is closed when nothing is sent to it for a minute: it has no pings that would tell whether
    /// anybody is still there.
    pub fn open_bare(&mut self, now: Now) -> SessionKey {
        let key = self.insert(Wire::Plain { is_binary: false }, None);
        self.file(key, Some(now.moment + BARE_IDLE));
        key
    }

    /// From now on compresses the messages of a connection whose client agreed to permessage-deflate.
    pub fn compress(&mut self, key: SessionKey, window: Window) {
        if let Some(slot) = self.slot_mut(key) {
            slot.window = Some(window);
        }
    }

    fn insert(&mut self, wire: Wire, session: Option<Box<Session>>) -> SessionKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let index = self.slots.insert(Slot {
            generation,
            wire,
            window: None,
            outbox: Outbox::default(),
            session,
            is_dirty: false,
            is_in_use: false,
            closes: None,
            is_orphan: false,
            filed: None,
        });
        let index = SessionIndex::try_from(index).expect("fewer connections than descriptors");
        SessionKey { index, generation }
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
    pub fn close_with(&mut self, now: Now, key: SessionKey, last: Vec<u8>) {
        if self.is_open(key) {
            // Out of the session's reach, which takes its client to be gone: these are answers to
            // what was said before, and the first of them may be that to the handshake.
            let waiting = self
                .slot_mut(key)
                .map(|slot| std::mem::take(&mut slot.outbox));
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
        self.secrets.forget(key);
        let Some(slot) = self.slot_mut(key) else {
            return;
        };
        drop(std::mem::take(&mut slot.outbox));
        slot.is_orphan = true;
        let is_needed = slot
            .session
            .as_ref()
            .is_some_and(|session| session.has_loose_ends());
        if !is_needed {
            self.slots.remove(key.index as usize);
        }
    }

    /// Fans a delivery out to this shard's members of its channel.
    pub fn deliver(&mut self, now: Now, delivery: &Arc<Delivery>) {
        match self.hub.receive(now.moment, delivery) {
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
        // Before the others receive what could be found: to those who miss something else, it
        // would come behind a gap.
        for index in repaired.lost {
            if let Some(key) = self.key_at(index) {
                self.step(now, key, Input::Lost(channel.clone()));
            }
        }
        for publication in repaired.publications {
            let event = Event::Publication {
                publication,
                epoch: repaired.epoch,
                previous: None,
            };
            self.fan_out(channel, &event);
        }
        if let Some(position) = repaired.again {
            self.errands.push(Errand::Repair(channel.clone(), position));
        }
        self.close_slow(now);
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
                if !slot.is_orphan {
                    return Some(key);
                }
            }
        }
        None
    }

    /// How many connections have something to write.
    #[must_use]
    pub fn dirty_count(&self) -> usize {
        self.dirty.len()
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
        }
    }

    /// Sends whole frames to a connection, compressed if its client agreed.
    pub fn send_frames(&mut self, now: Now, key: SessionKey, mut frames: Vec<u8>) {
        let window = self.slot(key).and_then(|slot| slot.window);
        self.totals.compressions += self.deflater.shrink(window, &mut frames);
        self.send(now, key, frames);
    }

    /// Sends bytes to a connection as they are. One that does not read them is closed as slow.
    pub fn send(&mut self, now: Now, key: SessionKey, bytes: Vec<u8>) {
        if let Some(slot) = self.slot_mut(key) {
            slot.is_in_use = true;
        }
        self.send_to(key, bytes);
        self.close_slow(now);
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
