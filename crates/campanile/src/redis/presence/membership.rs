//! Which nodes live: the lease of this one, and what is known of the others.
//!
//! A lease is one score in one sorted set, so that everything a node has in any channel ends at one
//! moment, without a write. Who has lost a lease never gets it back: it takes another incarnation, and
//! whatever it still writes for the one before is of a dead node.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::keys::{self, Incarnation};
use crate::redis::{Failure, Redis, Reply, Script};

static BEAT: Script = Script::new(include_str!("scripts/beat.lua"));
static BURY: Script = Script::new(include_str!("scripts/bury.lua"));

/// Beats in the time in which a dead node's entries are to vanish.
const BEATS: u32 = 10;

/// Incarnations before the present one whose entries are taken over; older ones are left to be
/// purged.
const PREVIOUS_MAX: usize = 4;

/// How long a dead node is remembered of which nothing is left: what it sent before it died may
/// still arrive.
const BURIAL: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Membership {
    /// How long a dead node's entries may be seen.
    lease: Duration,
    view: Mutex<View>,
    /// Held while Redis is asked.
    turn: Turn<()>,
}

#[derive(Debug)]
struct View {
    own: Incarnation,
    has_entered: bool,
    /// Those whose entries are taken over.
    previous: Vec<Incarnation>,
    /// Whether it was said of sessions in these, where they are not found, that they left.
    were_mourned: bool,
    live: HashSet<Incarnation>,
    dead: Vec<Incarnation>,
    purges: bool,
    era: Bytes,
    life: Bytes,
    /// Before the question was asked that has prolonged the lease.
    leased: Option<Instant>,
    /// Before the question was asked that has led to what is known of others.
    asked: Option<Instant>,
}

/// As what something is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// The present incarnation, and those before it; never empty.
    pub(super) lives: Vec<Incarnation>,
    /// See `View::were_mourned`.
    pub(super) were_mourned: bool,
}

impl Identity {
    /// The present incarnation.
    pub(super) fn own(&self) -> Incarnation {
        self.lives[0]
    }
}

/// What a beat has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// All is as it was.
    Unchanged,
    /// The lease is lost: a new one is to be taken at once.
    Lost,
    /// A lease was taken: all is to be written again.
    Entered,
    /// Redis is another than before, and may have lost what the other was told last.
    Replaced,
}

/// What somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Live,
    Dead,
}

impl Membership {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            view: Mutex::new(View {
                own: Incarnation::random(),
                has_entered: false,
                previous: Vec::new(),
                were_mourned: false,
                live: HashSet::new(),
                dead: Vec::new(),
                purges: false,
                era: Bytes::new(),
                life: Bytes::new(),
                leased: None,
                asked: None,
            }),
            turn: Turn::default(),
        }
    }

    /// Between two beats.
    pub(super) fn interval(&self) -> Duration {
        self.lease / BEATS
    }

    /// What Redis is told: shorter by what it takes others to notice.
    fn hold(&self) -> Duration {
        self.lease * (BEATS - 2) / BEATS
    }

    /// Prolongs the lease, or takes one, and learns of the others.
    pub(super) async fn beat(&self, redis: &Redis) -> Result<Found, Failure> {
        let _turn = self.turn.lock().await;
        let (own, aim) = {
            let view = self.view();
            let aim = if view.has_entered {
                Aim::Prolong
            } else {
                Aim::Enter
            };
            (view.own, aim)
        };
        let asked = Instant::now();
        match self.ask(redis, own, aim).await {
            Ok(told) => Ok(self.view().take(told, aim, asked)),
            Err(failure) => {
                if aim == Aim::Enter && !matches!(failure, Failure::Unreachable | Failure::Busy) {
                    // It may have been taken, and Redis would refuse it.
                    self.view().own = Incarnation::random();
                }
                Err(failure)
            }
        }
    }

    async fn ask(&self, redis: &Redis, own: Incarnation, aim: Aim) -> Result<Told, Failure> {
        let keys = keys::registry(redis);
        let keys = keys.each_ref().map(String::as_bytes);
        let hold = self.hold().as_millis().to_string();
        let candidate = Incarnation::random();
        let arguments = [own.bytes(), hold.as_bytes(), candidate.bytes(), aim.word()];
        let reply = redis.run(&BEAT, &keys, &arguments).await?;
        Told::read(&reply).ok_or(Failure::Nonsense)
    }

    /// Which of `nodes` live. Asks again if it does not know one of them.
    pub(super) async fn standings(
        &self,
        redis: &Redis,
        nodes: impl Iterator<Item = Incarnation> + Clone,
    ) -> Result<Vec<Standing>, Failure> {
        let began = Instant::now();
        let known = self.view().standings(nodes.clone());
        if let Some(all) = known {
            return self.current(all);
        }
        {
            let _turn = self.turn.lock().await;
            // Somebody else may have asked meanwhile. What was known before does not do: the node
            // may have come since.
            let is_new = |asked: Instant| asked >= began;
            let knows = self.view().asked.is_some_and(is_new);
            if !knows {
                let (own, asked) = (self.view().own, Instant::now());
                let told = self.ask(redis, own, Aim::Look).await?;
                self.view().see(told.live, told.dead, asked);
            }
        }
        let view = self.view();
        let standing = |node| view.standing(node).unwrap_or(Standing::Dead);
        let all = nodes.map(standing).collect();
        drop(view);
        self.current(all)
    }

    /// An answer that rests on the present view, if that is young enough to answer anything.
    fn current<T>(&self, answer: T) -> Result<T, Failure> {
        let is_current = |asked: Instant| asked.elapsed() < self.lease;
        if self.view().asked.is_some_and(is_current) {
            Ok(answer)
        } else {
            Err(Failure::Unreachable)
        }
    }

    /// As what to write now; `None` while there is no lease, or it may have ended.
    pub(super) fn identity(&self) -> Option<Identity> {
        let view = self.view();
        let leased = view.leased.filter(|_| view.has_entered)?;
        (leased.elapsed() < self.hold()).then(|| Identity {
            lives: [view.own].iter().chain(&view.previous).copied().collect(),
            were_mourned: view.were_mourned,
        })
    }

    /// Takes another incarnation with the next beat.
    pub(super) fn abandon(&self) {
        self.view().abandon();
    }

    /// Whose entries this node is to purge now.
    pub(super) fn to_purge(&self) -> Vec<Incarnation> {
        let view = self.view();
        if view.purges {
            view.dead.clone()
        } else {
            Vec::new()
        }
    }

    /// Forgets a node, if it is dead for long. Nothing of it is left.
    pub(super) async fn bury(&self, redis: &Redis, node: Incarnation) -> Result<(), Failure> {
        let [leases, ..] = keys::registry(redis);
        let burial = BURIAL.as_millis().to_string();
        let arguments: [&[u8]; 2] = [node.bytes(), burial.as_bytes()];
        redis.run(&BURY, &[leases.as_bytes()], &arguments).await?;
        Ok(())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn see(&mut self, live: HashSet<Incarnation>, dead: Vec<Incarnation>, asked: Instant) {
        self.live = live;
        self.dead = dead;
        self.asked = Some(asked);
    }

    fn take(&mut self, told: Told, aim: Aim, asked: Instant) -> Found {
        let is_same_life = self.life.is_empty() || self.life == told.life;
        self.life = told.life;
        self.purges = told.purges;
        self.see(told.live, told.dead, asked);
        if !told.has_lease {
            self.abandon();
            return Found::Lost;
        }
        self.leased = Some(asked);
        let is_same_era = std::mem::replace(&mut self.era, told.era) == self.era;
        let (live, dead) = (&self.live, &self.dead);
        let is_known = |node: &Incarnation| live.contains(node) || dead.contains(node);
        if aim == Aim::Enter {
            self.has_entered = true;
            // Of what was lost with its data set nobody was told.
            self.were_mourned = is_same_era && !self.previous.is_empty();
            return Found::Entered;
        }
        self.previous.retain(is_known);
        if is_same_life {
            Found::Unchanged
        } else {
            Found::Replaced
        }
    }

    fn abandon(&mut self) {
        if self.has_entered {
            self.previous.insert(0, self.own);
            self.previous.truncate(PREVIOUS_MAX);
            self.has_entered = false;
        }
        self.own = Incarnation::random();
    }

    fn standing(&self, node: Incarnation) -> Option<Standing> {
        if self.live.contains(&node) {
            Some(Standing::Live)
        } else {
            self.dead.contains(&node).then_some(Standing::Dead)
        }
    }

    fn standings(&self, nodes: impl Iterator<Item = Incarnation>) -> Option<Vec<Standing>> {
        nodes.map(|node| self.standing(node)).collect()
    }
}

/// What a question to the registry is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Aim {
    Enter,
    Prolong,
    Look,
}

impl Aim {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Enter => b"enter",
            Self::Prolong => b"prolong",
            Self::Look => b"look",
        }
    }
}

/// What Redis answers to a beat.
struct Told {
    has_lease: bool,
    purges: bool,
    era: Bytes,
    life: Bytes,
    live: HashSet<Incarnation>,
    dead: Vec<Incarnation>,
}

impl Told {
    fn read(reply: &Reply) -> Option<Self> {
        let [has_lease, purges, era, life, live, dead] = reply.list()? else {
            return None;
        };
        let nodes = |reply: &Reply| -> Option<Vec<Incarnation>> {
            let nodes = reply.list()?.iter();
            // Of another version, perhaps, whose entries are not read either.
            let known = nodes.filter_map(|node| Incarnation::read(node.bytes()?));
            Some(known.collect())
        };
        Some(Self {
            has_lease: has_lease.integer()? == 1,
            purges: purges.integer()? == 1,
            era: era.bytes()?.clone(),
            life: life.bytes()?.clone(),
            live: nodes(live)?.into_iter().collect(),
            dead: nodes(dead)?,
        })
    }
}
