//! A bus between nodes of one thread that takes its time, loses, repeats and is cut, by a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ManualClock, Random};
use crate::broker::{BoxFuture, BrokerError};
use crate::cluster::{Bus, ClusterEar, NodeId, Recipient};
use crate::time::{Clock as _, Moment};

/// See the [module](self). It brings nothing by itself: [`StubBus::deliver`] does.
#[derive(Debug)]
pub struct StubBus {
    clock: Arc<ManualClock>,
    random: Random,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    ears: BTreeMap<NodeId, ClusterEar>,
    letters: Vec<Letter>,
    /// Who has no line at all.
    cut: BTreeSet<NodeId>,
    /// Whose messages do not get to whom, without either knowing.
    apart: BTreeSet<(NodeId, NodeId)>,
    /// Who does not read what comes: it waits.
    deaf: BTreeSet<NodeId>,
    delay_max: Duration,
    /// One message in so many is lost, or comes twice; none, when 0.
    loses: usize,
    repeats: usize,
}

#[derive(Clone, Debug)]
struct Letter {
    from: NodeId,
    to: NodeId,
    due: Moment,
    message: Arc<[u8]>,
}

/// One node's end.
#[derive(Debug)]
struct StubLine(Arc<StubBus>, NodeId);

impl StubBus {
    /// A bus without nodes, on which all goes well.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            clock,
            random: Random::new(seed),
            lines: Mutex::default(),
        })
    }

    /// The end of a node.
    #[must_use]
    pub fn join(self: &Arc<Self>, id: NodeId, ear: ClusterEar) -> Arc<dyn Bus> {
        self.lines().ears.insert(id, ear);
        Arc::new(StubLine(Arc::clone(self), id))
    }

    /// The node is gone, with what was on its way to it.
    pub fn leave(&self, id: NodeId) {
        let mut lines = self.lines();
        lines.ears.remove(&id);
        lines.letters.retain(|letter| letter.to != id);
    }

    /// From now on messages take up to so long; those between two nodes keep their order.
    pub fn delay(&self, at_most: Duration) {
        self.lines().delay_max = at_most;
    }

    /// From now on one message in `times` is lost; none, when 0.
    pub fn lose_one_in(&self, times: usize) {
        self.lines().loses = times;
    }

    /// From now on one message in `times` comes twice; none, when 0.
    pub fn repeat_one_in(&self, times: usize) {
        self.lines().repeats = times;
    }

    /// Cuts a node's line, which notices that, or mends it.
    pub fn cut(&self, id: NodeId, is_cut: bool) {
        let mut lines = self.lines();
        if is_cut {
            lines.cut.insert(id);
            lines.letters.retain(|letter| letter.to != id);
        } else {
            lines.cut.remove(&id);
        }
    }

    /// What `from` says does not get to `to` any more, which nobody notices; or does again.
    pub fn part(&self, from: NodeId, to: NodeId, are_apart: bool) {
        let mut lines = self.lines();
        if are_apart {
            lines.apart.insert((from, to));
        } else {
            lines.apart.remove(&(from, to));
        }
    }

    /// What comes to a node waits, or is brought again.
    pub fn hold(&self, id: NodeId, is_held: bool) {
        let mut lines = self.lines();
        if is_held {
            lines.deaf.insert(id);
        } else {
            lines.deaf.remove(&id);
        }
    }

    /// Brings these bytes to all nodes at once.
    pub fn shout(&self, message: &[u8]) {
        let ears: Vec<_> = self.lines().ears.values().cloned().collect();
        for ear in ears {
            ear.hear(message);
        }
    }

    /// Brings what is due; returns whether there was anything.
    pub fn deliver(&self) -> bool {
        let now = self.clock.now().moment;
        let due: Vec<(ClusterEar, Letter)> = {
            let lines = &mut *self.lines();
            let is_due =
                |letter: &mut Letter| letter.due <= now && !lines.deaf.contains(&letter.to);
            let due = lines.letters.extract_if(.., is_due);
            let ear = |letter: Letter| Some((lines.ears.get(&letter.to)?.clone(), letter));
            due.filter_map(ear).collect()
        };
        for (ear, letter) in &due {
            ear.hear(&letter.message);
        }
        !due.is_empty()
    }

    fn post(&self, from: NodeId, to: Recipient, message: Vec<u8>) -> Result<(), BrokerError> {
        let lines = &mut *self.lines();
        if lines.cut.contains(&from) {
            return Err(BrokerError::Unreachable);
        }
        let message = Arc::<[u8]>::from(message);
        let readers: Vec<_> = match to {
            Recipient::All => lines.ears.keys().copied().collect(),
            Recipient::Node(id) => vec![id],
        };
        for to in readers {
            let is_lost = lines.loses > 0 && self.random.one_in(lines.loses);
            let is_far = lines.cut.contains(&to) || lines.apart.contains(&(from, to));
            if is_lost || is_far || !lines.ears.contains_key(&to) {
                continue;
            }
            let most = usize::try_from(lines.delay_max.as_millis()).unwrap_or(usize::MAX - 1);
            let delay = Duration::from_millis(self.random.below(most + 1) as u64);
            let letters = lines.letters.iter();
            let before = letters.filter(|letter| (letter.from, letter.to) == (from, to));
            let before = before.map(|letter| letter.due).max();
            let due = (self.clock.now().moment + delay).max(before.unwrap_or(Moment::START));
            let letter = Letter {
                from,
                to,
                due,
                message: Arc::clone(&message),
            };
            if lines.repeats > 0 && self.random.one_in(lines.repeats) {
                lines.letters.push(letter.clone());
            }
            lines.letters.push(letter);
        }
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for StubLine {
    fn tell(&self, to: Recipient, message: Vec<u8>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { self.0.post(self.1, to, message) })
    }
}
