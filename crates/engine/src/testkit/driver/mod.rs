//! A whole node in one thread: shards, a memory broker, presence, and clients that speak JSON.
//!
//! Nothing moves by itself: a test opens, sends, delivers and lets time pass, and
//! [`Driver::settle`] runs whatever has become possible. With [`Driver::manual`] errands and
//! deliveries wait until they are moved one by one. [`Nodes`](super::Nodes) drives several of them
//! that know each other.

mod moves;
mod peer;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::wire::Encoding;
use campanile_protocol::{Disconnect, Payload, Wire};
use futures_util::FutureExt;
use tokio::sync::mpsc;

pub use peer::Peer;

use super::wakes::Wakes;
use super::{ManualClock, Random, StubAuthority, StubBroker};
use crate::application::{Application, NoApplication};
use crate::ask::{Answer, Ticket};
use crate::broker::{Broker, HistoryPage, MemoryBroker};
use crate::budget::MemoryBudget;
use crate::channel::options::{ChannelOptions, NameRules};
use crate::channel::{ChannelName, Namespaces};
use crate::cluster::Cluster;
use crate::delivery::{Delivery, Inbox, Inboxes};
use crate::node::{Control, Node, Parts, PublishRequest, SurveyPresence};
use crate::presence::{MemoryPresence, Presence};
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
    wakes: Wakes,
    /// Whether something has moved in this step.
    has_moved: bool,
    /// What the node does beside its shards' errands, in a cluster.
    asides: Vec<Aside>,
}

type Aside = Pin<Box<dyn Future<Output = ()>>>;

/// A node's place among others.
pub struct Place {
    /// Its time; its moments are those of the others, what the wall says may not be.
    pub clock: Arc<ManualClock>,
    /// Its part in the cluster.
    pub cluster: Arc<Cluster>,
}

/// A shard and what is on its way to it.
pub struct Worker {
    /// The shard.
    pub shard: Shard,
    /// Deliveries that it has not got yet; tests drop and repeat them here.
    pub line: VecDeque<Arc<Delivery>>,
    inbox: Inbox,
    controls: mpsc::Receiver<Control>,
    /// Frames that came in requests of their own.
    pub frames: Vec<Payload>,
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

impl Driver {
    /// A node that nobody is connected to.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self::with(setup, Arc::new(NoApplication))
    }

    /// The same, with an application.
    #[must_use]
    pub fn with(setup: Setup, application: Arc<dyn Application>) -> Self {
        Self::placed(setup, application, None)
    }

    /// The same, at its place among others. Their presence is asked for by surveys.
    #[must_use]
    pub fn placed(setup: Setup, application: Arc<dyn Application>, place: Option<Place>) -> Self {
        Self::over(setup, application, place, |inboxes, budget, clock| {
            Arc::new(MemoryBroker::new(inboxes, budget, clock, META_TTL))
        })
    }

    /// The same, with the broker that `build` makes.
    #[must_use]
    pub fn over(
        mut setup: Setup,
        application: Arc<dyn Application>,
        place: Option<Place>,
        build: impl FnOnce(Inboxes, Arc<MemoryBudget>, Arc<ManualClock>) -> Arc<dyn Broker>,
    ) -> Self {
        setup.settings.interests = application.interests();
        let (clock, cluster) = match place {
            Some(Place { clock, cluster }) => (clock, Some(cluster)),
            None => (Arc::default(), None),
        };
        let budget = Arc::new(MemoryBudget::new(setup.budget));
        let (inboxes, shard_inboxes) = Inboxes::new(setup.shards);
        let broker = build(inboxes.clone(), Arc::clone(&budget), Arc::clone(&clock));
        let broker = Arc::new(StubBroker::new(broker, setup.seed));
        let presence = Arc::new(MemoryPresence::default());
        let everywhere: Arc<dyn Presence> = match &cluster {
            Some(cluster) => Arc::new(SurveyPresence::new(Arc::clone(cluster))),
            None => presence.clone(),
        };
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
            presence: everywhere,
            authority: Arc::new(StubAuthority),
            application,
            budget: Arc::clone(&budget),
            clock: clock.clone(),
            inboxes,
            shard_inboxes,
            name: "test".into(),
            cluster,
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
            frames: Vec::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
        });
        Self {
            workers: workers.collect(),
            asides: vec![obeying(&node)],
            node,
            clock,
            broker,
            presence,
            budget,
            manual: false,
            random: Random::new(setup.seed),
            wakes: Wakes::default(),
            has_moved: false,
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
        Peer::new(shard, key)
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
            self.age();
            self.move_on();
        }
    }

    /// Does what it is time for, once the clock has moved.
    pub fn age(&mut self) {
        let now = self.now();
        for worker in &mut self.workers {
            worker.shard.tick(now);
            worker.shard.shed(now);
            worker.take_errands();
        }
        self.node.sweep();
        self.node.tick();
        let node = Arc::clone(&self.node);
        self.asides.push(Box::pin(async move { node.beat().await }));
    }

    fn move_on(&mut self) {
        if !self.manual {
            self.settle();
        }
    }
}

fn obeying(node: &Arc<Node>) -> Aside {
    let node = Arc::clone(node);
    Box::pin(async move { node.obey_peers().await })
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

    fn take_errands(&mut self) {
        let mut errands = Vec::new();
        self.shard.take_errands(&mut errands);
        self.waiting.extend(errands);
    }
}
