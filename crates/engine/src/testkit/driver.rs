//! A whole node in one thread: shards, a memory broker, presence, and clients that speak JSON.
//!
//! Nothing moves by itself: a test opens, sends, delivers and lets time pass, and
//! [`Driver::settle`] runs whatever has become possible. With [`Driver::manual`] errands and
//! deliveries wait until they are moved one by one.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::wire::Encoding;
use campanile_protocol::ws::{Event, Limits, Reader, Role};
use campanile_protocol::{Disconnect, Wire};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::{ManualClock, Random, StubAuthority, StubBroker};
use crate::application::{Application, NoApplication};
use crate::ask::{Answer, Ticket};
use crate::broker::{Broker, HistoryPage, MemoryBroker};
use crate::budget::MemoryBudget;
use crate::channel::options::{ChannelOptions, NameRules};
use crate::channel::{ChannelName, Namespaces};
use crate::delivery::{Delivery, Inbox, Inboxes};
use crate::node::{Control, Node, Parts, PublishRequest};
use crate::presence::MemoryPresence;
use crate::settings::Settings;
use crate::shard::{Errand, SessionKey, Shard};
use crate::time::{Clock, Now};

/// How long epochs and offsets outlive the last publish.
const META_TTL: Duration = Duration::from_secs(3600);

/// What a driver is made for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The operator's rules.
    pub settings: Settings,
    /// Rules of channels without a namespace.
    pub options: ChannelOptions,
    /// How many shards.
    pub shards: usize,
    /// Bytes that the node may hold.
    pub budget: Option<u64>,
    /// Repeats all random choices.
    pub seed: u64,
}

impl Default for Setup {
    /// One shard, on which clients may do everything.
    fn default() -> Self {
        let options = ChannelOptions {
            history_size: 1000,
            history_ttl: Duration::from_secs(600),
            presence: true,
            allow_subscribe_for_client: true,
            allow_publish_for_client: true,
            allow_presence_for_client: true,
            allow_history_for_client: true,
            ..ChannelOptions::default()
        };
        Self {
            settings: Settings::default(),
            options,
            shards: 1,
            budget: None,
            seed: 0,
        }
    }
}

/// A whole node in one thread, moved by hand.
pub struct Driver {
    /// The node.
    pub node: Arc<Node>,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Its broker.
    pub broker: Arc<StubBroker>,
    /// Its presence.
    pub presence: Arc<MemoryPresence>,
    /// Its memory.
    pub budget: Arc<MemoryBudget>,
    /// Its shards.
    pub workers: Vec<Worker>,
    /// Whether nothing moves but by hand.
    pub manual: bool,
    random: Random,
}

/// A shard and what is on its way to it.
pub struct Worker {
    /// The shard.
    pub shard: Shard,
    /// Deliveries that it has not got yet; tests drop and repeat them here.
    pub line: VecDeque<Arc<Delivery>>,
    inbox: Inbox,
    controls: mpsc::Receiver<Control>,
    waiting: VecDeque<Errand>,
    running: Vec<Running>,
}

type Running = Pin<Box<dyn Future<Output = Done>>>;

/// What an errand brings back.
enum Done {
    Answer(SessionKey, Ticket, Answer),
    Told,
    Repaired(ChannelName, Option<HistoryPage>),
}

/// The client's end of a connection.
pub struct Peer {
    /// The index of its shard.
    pub shard: usize,
    /// Its connection.
    pub key: SessionKey,
    reader: Reader,
    unread: Vec<u8>,
}

impl Driver {
    /// A node that nobody is connected to.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self::with(setup, Arc::new(NoApplication))
    }

    /// The same, with an application.
    #[must_use]
    pub fn with(setup: Setup, application: Arc<dyn Application>) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::over(setup, application, clock, |inboxes, budget, clock| {
            Arc::new(MemoryBroker::new(inboxes, budget, clock, META_TTL))
        })
    }

    /// A node with the broker that `build` makes, which may share its time with others.
    #[must_use]
    pub fn over(
        mut setup: Setup,
        application: Arc<dyn Application>,
        clock: Arc<ManualClock>,
        build: impl FnOnce(Inboxes, Arc<MemoryBudget>, Arc<ManualClock>) -> Arc<dyn Broker>,
    ) -> Self {
        setup.settings.interests = application.interests();
        let budget = Arc::new(MemoryBudget::new(setup.budget));
        let (inboxes, shard_inboxes) = Inboxes::new(setup.shards);
        let broker = build(inboxes.clone(), Arc::clone(&budget), Arc::clone(&clock));
        let broker = Arc::new(StubBroker::new(broker, setup.seed));
        let presence = Arc::new(MemoryPresence::default());
        let options = ChannelOptions {
            history_meta_ttl: META_TTL,
            ..setup.options
        };
        let settings = Arc::new(setup.settings);
        let namespaces = Arc::new(Namespaces::new(NameRules::default(), options, []));
        let (node, seats) = Node::new(Parts {
            settings: Arc::clone(&settings),
            namespaces: Arc::clone(&namespaces),
            broker: broker.clone(),
            presence: presence.clone(),
            authority: Arc::new(StubAuthority),
            application,
            budget: Arc::clone(&budget),
            clock: clock.clone(),
            inboxes,
            shard_inboxes,
            name: "test".into(),
        });
        let workers = seats.into_iter().map(|seat| Worker {
            shard: Shard::new(
                seat.id,
                node.id(),
                Arc::clone(&settings),
                Arc::clone(&namespaces),
                Arc::clone(&budget),
                clock.now(),
            ),
            line: VecDeque::new(),
            inbox: seat.inbox,
            controls: seat.controls,
            waiting: VecDeque::new(),
            running: Vec::new(),
        });
        Self {
            workers: workers.collect(),
            node,
            clock,
            broker,
            presence,
            budget,
            manual: false,
            random: Random::new(setup.seed),
        }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Opens a connection to a shard.
    pub fn open(&mut self, shard: usize) -> Peer {
        let (now, random) = (self.now(), [self.random.bytes(), self.random.bytes()]);
        let key =
            self.workers[shard]
                .shard
                .open(now, Wire::WebSocket(Encoding::Json), random, None);
        Peer {
            shard,
            key,
            reader: Reader::new(Role::Client),
            unread: Vec::new(),
        }
    }

    /// Opens a connection that is live with this token.
    pub fn connect(&mut self, shard: usize, token: &str) -> Peer {
        let mut peer = self.open(shard);
        self.send(
            &mut peer,
            &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#),
        );
        peer
    }

    /// Sends a frame of commands.
    pub fn send(&mut self, peer: &mut Peer, frame: &str) {
        if !peer.unread.is_empty() {
            peer.unread.push(b'\n');
        }
        peer.unread.extend_from_slice(frame.as_bytes());
        self.resume(peer);
    }

    /// Lets the shard read what it had to leave.
    pub fn resume(&mut self, peer: &mut Peer) {
        let now = self.now();
        loop {
            let worker = &mut self.workers[peer.shard];
            if peer.unread.is_empty() || !worker.shard.is_listening(peer.key) {
                return;
            }
            let commands = Wire::WebSocket(Encoding::Json).remaining_commands(&peer.unread);
            peer.unread = worker.shard.receive(now, peer.key, commands).to_vec();
            worker.take_errands();
            if self.manual {
                return;
            }
            self.settle();
        }
    }

    /// Everything that the server has written to the client: JSON messages, and `close` with a
    /// code for a close frame.
    pub fn read(&mut self, peer: &mut Peer) -> Vec<String> {
        let shard = &mut self.workers[peer.shard].shard;
        let mut bytes = Vec::new();
        while let Some(outbox) = shard.outbox(peer.key).filter(|outbox| !outbox.is_empty()) {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.slices(&mut slices);
            let before = bytes.len();
            for slice in &slices[..filled] {
                bytes.extend_from_slice(slice);
            }
            let written = bytes.len() - before;
            shard.wrote(peer.key, written);
        }
        peer.decode(&mut bytes)
    }

    /// The connection is gone.
    pub fn release(&mut self, peer: &Peer) {
        let now = self.now();
        self.workers[peer.shard].shard.release(now, peer.key);
        self.workers[peer.shard].take_errands();
        self.move_on();
    }

    /// Closes the connection from this side.
    pub fn close(&mut self, peer: &Peer, disconnect: Disconnect) {
        let now = self.now();
        self.workers[peer.shard]
            .shard
            .close(now, peer.key, disconnect);
        self.workers[peer.shard].take_errands();
        self.move_on();
    }

    /// Publishes through the application's way in, at once; returns the offset, 0 without one.
    pub fn publish(&mut self, channel: &str, data: &str) -> Option<u64> {
        let publication = PublishRequest::from(data.as_bytes());
        self.publish_as(channel, publication)
    }

    /// The same, with all that can be said about a publication.
    pub fn publish_as(&mut self, channel: &str, publication: PublishRequest) -> Option<u64> {
        let mut publish = Box::pin(self.node.publish(channel, publication));
        let outcome = loop {
            if let Some(outcome) = publish.as_mut().now_or_never() {
                break outcome;
            }
        };
        drop(publish);
        self.move_on();
        let published = outcome.ok()?;
        Some(published.position.map_or(0, |position| position.offset))
    }

    /// Lets time pass, second by second, with everything settled in between.
    pub fn pass(&mut self, mut time: Duration) {
        while !time.is_zero() {
            let step = time.min(Duration::from_secs(1));
            time -= step;
            self.clock.advance(step);
            self.tick();
            self.move_on();
        }
    }

    /// Has the node and its shards look at the time.
    pub fn tick(&mut self) {
        let now = self.now();
        for worker in &mut self.workers {
            worker.shard.tick(now);
            worker.shard.shed(now);
            worker.take_errands();
        }
        self.node.sweep();
    }

    /// Runs all errands and deliveries, and those that they bring about. Shards take turns, since an
    /// errand of one may wait for another.
    pub fn settle(&mut self) {
        while !self.workers.iter_mut().all(Worker::is_settled) {
            for index in 0..self.workers.len() {
                self.obey(index);
                self.begin(index);
                self.deliver(index);
                for running in (0..self.workers[index].running.len()).rev() {
                    self.poll(index, running);
                }
            }
        }
    }

    fn move_on(&mut self) {
        if !self.manual {
            self.settle();
        }
    }

    /// Has every shard obey one order, begin one errand, take one delivery, and looks at all errands
    /// that run; `true` when nothing of it could be done, whatever is still to come from outside.
    pub fn stir(&mut self) -> bool {
        let mut is_quiet = true;
        for index in 0..self.workers.len() {
            self.obey(index);
            let worker = &mut self.workers[index];
            worker.pull();
            worker.take_errands();
            is_quiet &= worker.line.is_empty() && worker.waiting.is_empty();
            self.begin(index);
            self.deliver(index);
            for running in (0..self.workers[index].running.len()).rev() {
                let before = self.workers[index].running.len();
                self.poll(index, running);
                is_quiet &= before == self.workers[index].running.len();
            }
        }
        is_quiet
    }

    /// Begins the next errand of a shard: errands begin in order, and end in any.
    pub fn begin(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.take_errands();
        if let Some(errand) = worker.waiting.pop_front() {
            let node = Arc::clone(&self.node);
            let shard = worker.shard.id();
            worker.running.push(Box::pin(async move {
                match errand {
                    Errand::Ask(key, ticket, ask) => {
                        Done::Answer(key, ticket, node.ask(shard, ask).await)
                    }
                    Errand::Tell(tell) => {
                        node.tell(shard, tell).await;
                        Done::Told
                    }
                    Errand::Repair(channel, position) => {
                        let page = node.read_gap(&channel, position).await;
                        Done::Repaired(channel, page)
                    }
                }
            }));
            let last = worker.running.len() - 1;
            self.poll(index, last);
        }
    }

    /// Polls one of a shard's running errands, and brings back what it has.
    pub fn poll(&mut self, index: usize, running: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        let Some(errand) = worker.running.get_mut(running) else {
            return;
        };
        let Some(done) = errand.as_mut().now_or_never() else {
            return;
        };
        drop(worker.running.remove(running));
        match done {
            Done::Answer(key, ticket, answer) => worker.shard.answer(now, key, ticket, answer),
            Done::Told => {}
            Done::Repaired(channel, page) => worker.shard.repaired(now, &channel, page),
        }
        worker.take_errands();
    }

    /// Gives a shard the next of the orders that wait for it.
    pub fn obey(&mut self, index: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        match worker.controls.try_recv() {
            Ok(Control::Order(target, order, done)) => {
                // Whoever gave it may wait for its answer no longer.
                let _ = done.send(worker.shard.order(now, &target, &order));
                worker.take_errands();
            }
            Ok(other) => panic!("nobody drives {other:?} here"),
            Err(_) => {}
        }
    }

    /// Hands the next delivery to a shard.
    pub fn deliver(&mut self, index: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        worker.pull();
        if let Some(delivery) = worker.line.pop_front() {
            worker.shard.deliver(now, &delivery);
            worker.take_errands();
        }
    }
}

impl Worker {
    /// Errands that run.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Errands that have not begun.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Moves what the broker has delivered into the line.
    pub fn pull(&mut self) {
        while let Ok(delivery) = self.inbox.try_recv() {
            self.line.push_back(delivery);
        }
    }

    fn is_settled(&mut self) -> bool {
        self.pull();
        self.take_errands();
        self.line.is_empty() && self.waiting.is_empty() && self.running.is_empty()
    }

    fn take_errands(&mut self) {
        let mut errands = Vec::new();
        self.shard.take_errands(&mut errands);
        self.waiting.extend(errands);
    }
}

impl Peer {
    /// Whether the client has sent something that the server has not read.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        !self.unread.is_empty()
    }

    fn decode(&mut self, bytes: &mut [u8]) -> Vec<String> {
        let limits = Limits {
            message_bytes_max: usize::MAX,
            ..Limits::default()
        };
        let mut messages = Vec::new();
        let mut taken = 0;
        while taken < bytes.len() {
            let read = self.reader.read(&limits, &mut bytes[taken..]);
            let (count, event) = read.expect("the server writes frames");
            taken += count;
            match event {
                Some(Event::Text(text)) => messages.push(text.to_owned()),
                Some(Event::Close(Some(close))) => messages.push(format!("close {}", close.code)),
                Some(other) => panic!("the server never writes {other:?}"),
                None => {}
            }
        }
        messages
    }
}
