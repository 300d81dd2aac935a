//! Subscriptions: a line of them to each shard, and which channel is heard over which.
//!
//! Lines follow the topology: where somebody else becomes primary there is another line, and where
//! a slot moves its channels are listened to at its new place.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use campanile_engine::broker::remote::Hearing;
use campanile_engine::channel::ChannelName;
use campanile_engine::cluster::ClusterEar;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::codec;
use super::dial::Address;
use super::ear::{Ear, Order};
use super::failure::Failure;
use super::lane::{Lane, STEADY, dial_primary};
use super::line::{Line, Loss};
use super::names;
use super::probe::{Probe, Proof};
use super::slots::slot;
use super::{Redis, read, write};
use crate::background::Running;

/// Between being told that a channel is elsewhere and asking where.
const SETTLING: Duration = Duration::from_millis(50);

/// What is done with what is heard, whatever the line.
pub(super) struct Listener {
    redis: Redis,
    hearing: Hearing,
    /// Names that are heard for something else, and for what.
    fixed: RwLock<Vec<(String, ClusterEar)>>,
    /// Takes the names of channels that are not listened to any more where they were.
    lost: mpsc::UnboundedSender<String>,
    pub(super) counts: Counts,
}

/// What is counted of messages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Messages that were heard.
    pub(super) heard: AtomicU64,
    /// Messages that make no sense here.
    pub(super) undecodable: AtomicU64,
    /// Lines after the first one of each shard.
    pub(super) reconnects: AtomicU64,
    /// Channels that were listened to again.
    pub(super) resumed: AtomicU64,
}

impl Listener {
    /// Whether channels belong to slots, as keys do.
    pub(super) fn is_sharded(&self) -> bool {
        self.redis.is_cluster()
    }

    /// What a channel is called in Redis.
    pub(super) fn name(&self, channel: &ChannelName) -> String {
        self.redis.key(CHANNEL, channel.as_str())
    }

    /// Takes a message.
    pub(super) fn hear(&self, name: &[u8], payload: &[u8]) {
        self.counts.heard.fetch_add(1, Relaxed);
        let name = std::str::from_utf8(name).ok();
        let channel = name.and_then(|name| names::channel(self.redis.prefix(), CHANNEL, name));
        if channel.is_none()
            && let Some(ear) = self.attending(name)
        {
            return ear.hear(payload);
        }
        match (channel, codec::decode_message(payload)) {
            (Some(channel), Ok((event, generation))) => {
                self.hearing.heard(&channel, event, generation);
            }
            _ => {
                self.counts.undecodable.fetch_add(1, Relaxed);
            }
        }
    }

    fn attending(&self, name: Option<&str>) -> Option<ClusterEar> {
        let fixed = read(&self.fixed);
        let mut fixed = fixed.iter().filter(|(own, _)| Some(&**own) == name);
        fixed.next().map(|(_, ear)| ear.clone())
    }

    /// The fixed names that `is_here` says are here.
    fn fixed(&self, is_here: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let fixed = read(&self.fixed);
        let names = fixed.iter().map(|(name, _)| name.clone());
        names.filter(|name| is_here(name.as_bytes())).collect()
    }

    /// What had this name is not listened to any more where it was; `false` when it is no channel.
    pub(super) fn lose(&self, name: &[u8]) -> bool {
        let name = std::str::from_utf8(name).ok();
        let channel = name.and_then(|name| names::channel(self.redis.prefix(), CHANNEL, name));
        // As many wait as there are channels. Nobody takes them at the end only.
        channel.is_some_and(|channel| self.lost.send(channel.into_owned()).is_ok())
    }

    /// These are listened to again.
    pub(super) fn resumed(&self, channels: &[ChannelName]) {
        self.counts
            .resumed
            .fetch_add(channels.len() as u64, Relaxed);
        self.hearing.resumed(channels);
    }
}

/// The kind of names of channels.
pub(super) const CHANNEL: &str = "c";

/// All lines of subscriptions.
pub(super) struct Ears {
    shared: Arc<Shared>,
    _following: [Running<()>; 2],
}

struct Shared {
    redis: Redis,
    listener: Arc<Listener>,
    ears: RwLock<HashMap<Address, Place>>,
}

/// An ear's place, whatever line it has.
struct Place {
    state: Arc<State>,
    /// Ends with the place.
    _keeping: Running<()>,
}

/// What an ear's task and those who order share.
#[derive(Default)]
struct State {
    /// `None` while there is no line.
    orders: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    proof: Arc<Proof>,
}

impl Ears {
    /// Begins to listen to whatever `hearing` wants.
    pub(super) fn open(redis: &Redis, hearing: Hearing) -> Self {
        let (lost, lost_names) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            redis: redis.clone(),
            listener: Arc::new(Listener {
                redis: redis.clone(),
                hearing,
                fixed: RwLock::default(),
                lost,
                counts: Counts::default(),
            }),
            ears: RwLock::default(),
        });
        let spawner = redis.spawner();
        let following = [
            spawner.spawn(follow(Arc::clone(&shared))),
            spawner.spawn(find(Arc::clone(&shared), lost_names)),
        ];
        Self {
            shared,
            _following: following,
        }
    }

    /// Has what comes under this name brought to `ear`, for ever.
    pub(super) fn attend(&self, name: String, ear: ClusterEar) {
        let listener = &self.shared.listener;
        write(&listener.fixed).push((name.clone(), ear));
        // An ear without a line begins with it.
        let lane = self.shared.redis.lane_of(name.as_bytes()).ok();
        if let Some(orders) = lane.and_then(|lane| self.shared.orders_to(&lane.address)) {
            let _ = orders.send(Order::Attend(name));
        }
    }

    /// Has the channel heard.
    pub(super) async fn listen(&self, channel: &ChannelName) -> Result<(), Failure> {
        self.shared.listen(channel).await
    }

    /// Has it not heard any more.
    pub(super) fn ignore(&self, channel: &ChannelName) {
        if let Some(orders) = self.shared.orders(channel) {
            let _ = orders.send(Order::Ignore(channel.clone()));
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.shared.listener.counts
    }

    /// Why what is published may not arrive.
    pub(super) fn obstacle(&self) -> Option<String> {
        let ears = read(&self.shared.ears);
        if ears.is_empty() {
            return Some("nothing is subscribed to at redis yet".to_owned());
        }
        let mut unproved = ears
            .iter()
            .filter(|(_, place)| !place.state.proof.is_proved());
        let (address, _) = unproved.next()?;
        Some(format!("messages from redis at {address} do not arrive"))
    }

    /// What is known of the proofs of all shards.
    pub(super) fn proofs(&self) -> Vec<Arc<Proof>> {
        let ears = read(&self.shared.ears);
        ears.values()
            .map(|place| Arc::clone(&place.state.proof))
            .collect()
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        // Their tasks share what they are kept in.
        write(&self.shared.ears).clear();
    }
}

impl Shared {
    fn orders(&self, channel: &ChannelName) -> Option<mpsc::UnboundedSender<Order>> {
        let name = self.listener.name(channel);
        let lane = self.redis.lane_of(name.as_bytes()).ok()?;
        self.orders_to(&lane.address)
    }

    fn orders_to(&self, address: &Address) -> Option<mpsc::UnboundedSender<Order>> {
        lock(&read(&self.ears).get(address)?.state.orders).clone()
    }

    async fn listen(&self, channel: &ChannelName) -> Result<(), Failure> {
        let orders = self.orders(channel).ok_or(Failure::Unreachable)?;
        let (tell, told) = oneshot::channel();
        let order = Order::Listen(channel.clone(), tell);
        orders.send(order).map_err(|_| Failure::Unreachable)?;
        told.await.unwrap_or(Err(Failure::Unreachable))
    }

    /// The channels that are wanted and in `slots`, and what is attended there beside them.
    fn wanted(&self, slots: &HashSet<u16>) -> (Vec<String>, Vec<ChannelName>) {
        let is_here = |name: &[u8]| !self.redis.is_cluster() || slots.contains(&slot(name));
        let mut wanted = self.listener.hearing.wanted();
        wanted.retain(|channel| is_here(self.listener.name(channel).as_bytes()));
        (self.listener.fixed(is_here), wanted)
    }
}

/// Keeps an ear at each shard, and has slots that moved listened to where they are.
async fn follow(shared: Arc<Shared>) {
    let mut changes = shared.redis.changes();
    let mut before: HashMap<Address, HashSet<u16>> = HashMap::new();
    loop {
        changes.borrow_and_update();
        let shards = shared.redis.shards();
        let is_there = |address: &Address| shards.iter().any(|(lane, _)| lane.address == *address);
        write(&shared.ears).retain(|address, _| is_there(address));
        let mut now = HashMap::new();
        for (lane, slots) in shards {
            let address = lane.address.clone();
            if let Some(before) = before.get(&address) {
                let gained: HashSet<u16> = slots.difference(before).copied().collect();
                if let Some(orders) = shared.orders_to(&address)
                    && !gained.is_empty()
                {
                    let (fixed, wanted) = shared.wanted(&gained);
                    let _ = orders.send(Order::Resume(wanted));
                    for name in fixed {
                        let _ = orders.send(Order::Attend(name));
                    }
                }
            } else {
                let place = open(&shared, lane);
                write(&shared.ears).insert(address.clone(), place);
            }
            now.insert(address, slots);
        }
        before = now;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Has channels listened to where they are that are not any more where they were.
async fn find(shared: Arc<Shared>, mut lost: mpsc::UnboundedReceiver<String>) {
    let mut backoff = Backoff::default();
    while let Some(first) = lost.recv().await {
        sleep(SETTLING).await;
        shared.redis.doubt();
        sleep(SETTLING + backoff.next()).await;
        let mut names = HashSet::from([first]);
        while let Ok(name) = lost.try_recv() {
            names.insert(name);
        }
        let mut there: HashMap<Address, Vec<ChannelName>> = HashMap::new();
        for channel in shared.listener.hearing.wanted() {
            if names.contains(channel.as_str()) {
                let name = shared.listener.name(&channel);
                if let Ok(lane) = shared.redis.lane_of(name.as_bytes()) {
                    there.entry(lane.address.clone()).or_default().push(channel);
                }
            }
        }
        for (address, channels) in there {
            // An ear without a line begins with all that is wanted.
            if let Some(orders) = shared.orders_to(&address) {
                let _ = orders.send(Order::Resume(channels));
            }
        }
        if lost.is_empty() && names.len() == 1 {
            backoff.reset();
        }
    }
}

fn open(shared: &Arc<Shared>, lane: Arc<Lane>) -> Place {
    let state = Arc::new(State::default());
    let keeping = keep(Arc::clone(shared), lane, Arc::clone(&state));
    Place {
        state,
        _keeping: shared.redis.spawner().spawn(keeping),
    }
}

/// Makes a line again whenever there is none.
async fn keep(shared: Arc<Shared>, lane: Arc<Lane>, state: Arc<State>) {
    let mut backoff = Backoff::default();
    let mut is_first = true;
    loop {
        // What may have been missed is asked for at once when channels are heard again.
        lane.wait().await;
        // The lane says why there is no connection.
        if let Ok(dialled) = dial_primary(&lane.address, shared.redis.settings()).await {
            if !std::mem::take(&mut is_first) {
                shared.listener.counts.reconnects.fetch_add(1, Relaxed);
            }
            let began = Instant::now();
            let line = Line::new(dialled.into_stream());
            let loss = serve(&shared, &lane, &state, line).await;
            tracing::warn!(address = %lane.address, "lost subscriptions: {loss}");
            if began.elapsed() >= STEADY {
                backoff.reset();
            }
        }
        shared.redis.doubt();
        sleep(backoff.next()).await;
    }
}

/// Listens until the line ends.
async fn serve(shared: &Shared, lane: &Arc<Lane>, state: &State, mut line: Line) -> Loss {
    let settings = shared.redis.settings();
    let (sender, mut orders) = mpsc::unbounded_channel();
    // First: who comes after the list below was made is listened to by order.
    *lock(&state.orders) = Some(sender);
    let slots = shared.redis.slots_of(&lane.address);
    let begin = shared.wanted(&slots);
    let name = shared.redis.probe_name(&slots);
    let way = (Arc::clone(lane), shared.redis.publish_verb());
    let times = (settings.probe_interval, settings.io_timeout);
    let probe = Probe::new(name, way, times, Arc::clone(&state.proof));
    let listener = Arc::clone(&shared.listener);
    let mut ear = Ear::new(listener, probe, begin, settings.io_timeout);
    let patience = settings.io_timeout.min(settings.probe_interval);
    let loss = line.carry(&mut orders, &mut ear, patience).await;
    *lock(&state.orders) = None;
    state.proof.end();
    ear.end();
    orders.close();
    while let Ok(order) = orders.try_recv() {
        if let Order::Listen(_, waiting) = order {
            let _ = waiting.send(Err(Failure::Unreachable));
        }
    }
    loss
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
