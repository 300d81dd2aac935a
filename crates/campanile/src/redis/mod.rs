//! Redis as what many nodes have in common: one, one behind Sentinels, or a Redis Cluster; Valkey
//! too.
//!
//! Everything here runs on the background thread and may be asked from any other. Lines are our own
//! rather than a client library's: subscriptions, their silent end when a slot moves, deadlines of
//! everything, and what must not be repeated, are what this stands or falls with. The order of layers:
//!
//! * `reply`, `command`: bytes; `line`, `dial`: one connection;
//! * `topology`, `slots`: who has what; `lane`: a connection to each, made again when it is lost;
//! * [`Redis`]: asks whoever has a key.
//!
//! # How to ask
//!
//! ```ignore
//! static ENTER: Script = Script::new(include_str!("scripts/enter.lua"));
//! let hash = redis.key("p", channel);           // `{prefix}.p.{channel}`, safe for any name
//! let reply = redis.run(&ENTER, &[hash.as_bytes()], &[b"argument", b"2"]).await?;
//! let count = reply.integer().ok_or(Failure::Nonsense)?;
//! let reply = redis.ask(&[b"HLEN", hash.as_bytes()]).await?; // the second word is the key
//! ```
//!
//! The first key chooses the shard; all keys of a script are of one channel. What fails has not been
//! done, but for `Failure::Unanswered` and `Failure::Nonsense`.

mod asking;
mod backoff;
mod bus;
mod codec;
mod command;
mod dial;
mod ear;
mod ears;
mod failure;
mod following;
mod lane;
mod line;
mod link;
mod map;
mod names;
pub(crate) mod presence;
mod probe;
mod reply;
mod settings;
mod slots;
mod topology;
mod vitals;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use self::backoff::Backoff;
use self::failure::Redirection;
use self::following::accept;
use self::lane::Lane;
use self::map::{Map, Safety};
use self::topology::Topology;
use crate::background::{Running, Spawner};

pub use self::bus::RedisBus;
pub use self::dial::{Access, Address};
pub use self::link::RedisLink;
pub use self::settings::{Settings, SettingsFault};
pub use self::topology::Servers;

pub(crate) use self::command::{Script, command};
pub(crate) use self::failure::Failure;
pub(crate) use self::reply::Reply;

/// How often it is looked whether somebody else has become primary without anybody having noticed:
/// one that was cut off from its Sentinels goes on as if nothing had happened.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// The way to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Core>);

struct Core {
    settings: Arc<Settings>,
    map: RwLock<Arc<Map>>,
    /// Counts changes of the map.
    changes: watch::Sender<u64>,
    trouble: Trouble,
    spawner: Spawner,
    watching: RwLock<Option<Running<()>>>,
    /// For each slot a text that belongs to it; one for all, where there is no cluster.
    tags: Box<[u32]>,
    /// Of this process, where it has to know its own.
    id: String,
}

/// Told when somebody else may be primary.
#[derive(Clone, Default)]
struct Trouble(Arc<Notify>);

impl Trouble {
    fn tell(&self) {
        self.0.notify_one();
    }
}

impl Redis {
    /// Begins to connect, and never ends trying.
    pub fn start(mut settings: Settings, spawner: &Spawner) -> Self {
        settings.prefix = settings.prefix_of_names();
        let tags = match settings.servers.is_cluster() {
            true => slots::tags(),
            false => Box::from([0; slots::SLOTS as usize]),
        };
        let redis = Self(Arc::new(Core {
            tags,
            id: random_id(),
            settings: Arc::new(settings),
            map: RwLock::default(),
            changes: watch::Sender::new(0),
            trouble: Trouble::default(),
            spawner: spawner.clone(),
            watching: RwLock::default(),
        }));
        let core = Arc::downgrade(&redis.0);
        let watching = spawner.spawn(async move {
            let mut backoff = Backoff::default();
            while let Some(core) = core.upgrade() {
                let wait = core.look(&mut backoff).await;
                let trouble = core.trouble.clone();
                drop(core);
                let _ = timeout(wait, trouble.0.notified()).await;
            }
        });
        *write(&redis.0.watching) = Some(watching);
        redis
    }

    /// Runs a script at the shard that has its first key.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn run(
        &self,
        script: &'static Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Reply, Failure> {
        self.run_on(script, keys, arguments, Safety::Primary).await
    }

    /// Runs a script, and answers when as many replicas have what it did as are configured.
    ///
    /// # Errors
    /// See [`Failure`]. If there are not as many in time, `Failure::Unanswered`.
    pub(crate) async fn run_safely(
        &self,
        script: &'static Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Reply, Failure> {
        self.run_on(script, keys, arguments, Safety::Replicas).await
    }

    async fn run_on(
        &self,
        script: &'static Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        safety: Safety,
    ) -> Result<Reply, Failure> {
        let slot = self.slot(keys.first().copied().unwrap_or_default());
        let lane = self.lane(slot, safety)?;
        let reply = lane.ask(script.call(true, keys, arguments)).await?;
        match Redirection::of(&reply) {
            None => accept(reply),
            Some(hint) => {
                // With its text: it may be unknown there too.
                let text = script.call(false, keys, arguments);
                self.follow((slot, safety), lane, text, hint).await
            }
        }
    }

    /// Runs a command at the shard that has its key, which is its second word.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn ask(&self, parts: &[&[u8]]) -> Result<Reply, Failure> {
        let slot = self.slot(parts.get(1).copied().unwrap_or_default());
        let lane = self.lane(slot, Safety::Primary)?;
        let text = command(parts);
        let reply = lane.ask(text.clone()).await?;
        match Redirection::of(&reply) {
            None => accept(reply),
            Some(hint) => self.follow((slot, Safety::Primary), lane, text, hint).await,
        }
    }

    /// The name of a key of `channel`: all keys of one channel are at the same shard.
    pub(crate) fn key(&self, kind: &str, channel: &str) -> String {
        names::key(&self.0.settings.prefix, kind, channel)
    }

    /// The name of what belongs to no channel, but is used together with this key.
    pub(crate) fn key_beside(&self, kind: &str, key: &str) -> String {
        let tag = self.0.tags[usize::from(self.slot(key.as_bytes()))];
        names::key(self.prefix(), kind, &tag.to_string())
    }

    /// Where work for it runs.
    pub(crate) fn spawner(&self) -> &Spawner {
        &self.0.spawner
    }

    /// What publishes.
    pub(crate) fn publish_verb(&self) -> &'static [u8] {
        if self.is_cluster() {
            b"SPUBLISH"
        } else {
            b"PUBLISH"
        }
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn prefix(&self) -> &str {
        &self.0.settings.prefix
    }

    fn is_cluster(&self) -> bool {
        self.0.settings.servers.is_cluster()
    }

    /// Somebody else may be primary.
    fn doubt(&self) {
        self.0.trouble.tell();
    }

    /// Changes whenever shards or slots do.
    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// All shards, and which slots they have.
    fn shards(&self) -> Vec<(Arc<Lane>, HashSet<u16>)> {
        let map = self.map();
        let shards = map.topology.shards.iter();
        let slots = shards.map(|shard| shard.slots.iter().cloned().flatten().collect());
        map.lanes.iter().map(Arc::clone).zip(slots).collect()
    }

    /// Why something that is asked may not be answered.
    fn obstacle(&self) -> Option<String> {
        let map = self.map();
        if map.lanes.is_empty() {
            let why = map.unknown.as_deref().unwrap_or("not found yet");
            return Some(format!("redis cannot be found: {why}"));
        }
        let mut lanes = map.lanes.iter().chain(&map.safe_lanes);
        let lane = lanes.find(|lane| !lane.is_up())?;
        let why = lane
            .trouble()
            .unwrap_or_else(|| "connection lost".to_owned());
        Some(format!(
            "redis at {} cannot be reached: {why}",
            lane.address
        ))
    }

    fn slots_of(&self, primary: &Address) -> HashSet<u16> {
        let mut shards = self.shards().into_iter();
        let shard = shards.find(|(lane, _)| lane.address == *primary);
        shard.map(|(_, slots)| slots).unwrap_or_default()
    }

    /// A name that is this process's alone, at the shard that has `slots`.
    fn probe_name(&self, slots: &HashSet<u16>) -> String {
        let slot = slots.iter().copied().min().unwrap_or_default();
        let tag = self.0.tags[usize::from(slot)];
        names::key(
            self.prefix(),
            &format!("probe.{}", self.0.id),
            &tag.to_string(),
        )
    }

    fn lane_of(&self, key: &[u8]) -> Result<Arc<Lane>, Failure> {
        self.lane(self.slot(key), Safety::Primary)
    }

    fn slot(&self, key: &[u8]) -> u16 {
        if self.is_cluster() {
            slots::slot(key)
        } else {
            0
        }
    }

    fn lane(&self, slot: u16, safety: Safety) -> Result<Arc<Lane>, Failure> {
        self.map().lane(slot, safety).ok_or(Failure::Unreachable)
    }

    fn lanes(&self) -> Vec<Arc<Lane>> {
        let map = self.map();
        map.lanes
            .iter()
            .chain(&map.safe_lanes)
            .map(Arc::clone)
            .collect()
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&read(&self.0.map))
    }
}

/// Sixteen random hexadecimal digits.
fn random_id() -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the system has random numbers");
    format!("{:016x}", u64::from_ne_bytes(random))
}

impl Core {
    /// Looks who has what; returns when to look again.
    async fn look(&self, backoff: &mut Backoff) -> Duration {
        let settings = &self.settings;
        let known = read(&self.map).topology.primaries();
        let patience = settings.connect_timeout;
        let servers = &settings.servers;
        match servers.discover(&known, &settings.access, patience).await {
            Ok(topology) => {
                self.adopt(topology);
                // As many may have told of trouble at once, they are answered at once.
                sleep(backoff.next()).await;
                backoff.reset();
                LOOK_INTERVAL
            }
            Err(unknown) => {
                self.note(unknown.to_string());
                backoff.next()
            }
        }
    }

    fn note(&self, unknown: String) {
        let map = Arc::clone(&read(&self.map));
        if map.unknown.as_ref() != Some(&unknown) {
            tracing::warn!("cannot find out where redis is: {unknown}");
            *write(&self.map) = Arc::new(map.with_unknown(Some(unknown)));
        }
    }

    fn adopt(&self, topology: Topology) {
        let before = Arc::clone(&read(&self.map));
        if before.topology == topology {
            if before.unknown.is_some() {
                *write(&self.map) = Arc::new(before.with_unknown(None));
            }
            return;
        }
        let primaries = topology.primaries();
        let told: Vec<_> = primaries.iter().map(ToString::to_string).collect();
        tracing::info!("redis is at {}", told.join(", "));
        let lanes = |safety: Safety, replicas| {
            let open = |primary: &Address| {
                let known = before.lane_to(primary, safety);
                known.unwrap_or_else(|| Arc::new(self.open(primary, replicas)))
            };
            primaries.iter().map(open).collect()
        };
        let safe_lanes = match self.settings.replicas {
            None => Vec::new(),
            replicas => lanes(Safety::Replicas, replicas),
        };
        let map = Map::new(lanes(Safety::Primary, None), safe_lanes, topology);
        *write(&self.map) = Arc::new(map);
        self.changes.send_modify(|count| *count += 1);
    }

    fn open(&self, primary: &Address, replicas: Option<(u32, Duration)>) -> Lane {
        let primary = primary.clone();
        Lane::open(
            (primary, replicas),
            &self.settings,
            &self.trouble,
            &self.spawner,
        )
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
