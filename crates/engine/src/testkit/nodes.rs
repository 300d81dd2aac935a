//! Several nodes in one thread that know each other over a [`StubBus`].
//!
//! Each has its own shards, broker and clients, and a wall clock that may differ; time passes for
//! all of them together. One can stand still as under SIGSTOP, or end without a word.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::wakes::Wakes;
use super::{Driver, ManualClock, Place, Random, Setup, StubBus};
use crate::application::NoApplication;
use crate::cluster::{Cluster, NodeId};
use crate::node::Node;

/// See the [module](self).
pub struct Nodes {
    /// The nodes; those that were killed too.
    pub drivers: Vec<Driver>,
    /// What carries their messages.
    pub bus: Arc<StubBus>,
    clock: Arc<ManualClock>,
    random: Random,
    states: Vec<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    StandsStill,
    IsDead,
}

/// How often the node looks whether there is something to do for its cluster.
const STEP: Duration = Duration::from_millis(100);

impl Nodes {
    /// So many nodes that know each other already.
    #[must_use]
    pub fn new(count: usize, setup: &Setup) -> Self {
        let clock = Arc::<ManualClock>::default();
        let mut nodes = Self {
            drivers: Vec::new(),
            bus: StubBus::new(Arc::clone(&clock), setup.seed),
            clock,
            random: Random::new(setup.seed),
            states: Vec::new(),
        };
        for _ in 0..count {
            nodes.add(setup, 0);
        }
        nodes.pass(Duration::from_secs(2));
        nodes
    }

    /// One more, whose wall clock is so many milliseconds ahead; returns its index.
    pub fn add(&mut self, setup: &Setup, ahead: i64) -> usize {
        let now = self.clock.at_start();
        let clock = Arc::new(ManualClock::at(now + ahead));
        clock.advance(self.clock.elapsed());
        let id = NodeId::from_random(self.random.bytes());
        let cluster = Cluster::new(id, clock.clone(), |ear| {
            Ok::<_, std::convert::Infallible>(self.bus.join(id, ear))
        });
        let Ok(cluster) = cluster;
        let setup = Setup {
            seed: setup.seed.wrapping_add(self.drivers.len() as u64),
            ..setup.clone()
        };
        let place = Some(Place { clock, cluster });
        let driver = Driver::placed(setup, Arc::new(NoApplication), place);
        self.drivers.push(driver);
        self.states.push(State::Runs);
        self.drivers.len() - 1
    }

    /// The identity of a node.
    ///
    /// # Panics
    /// There is no such node.
    #[must_use]
    pub fn id(&self, index: usize) -> NodeId {
        self.cluster(index).id()
    }

    /// A node's part in the cluster.
    ///
    /// # Panics
    /// There is no such node.
    #[must_use]
    pub fn cluster(&self, index: usize) -> &Arc<Cluster> {
        let cluster = self.drivers[index].node.cluster();
        cluster.expect("all have their place in a cluster")
    }

    /// A node.
    #[must_use]
    pub fn node(&self, index: usize) -> Arc<Node> {
        Arc::clone(&self.drivers[index].node)
    }

    /// Lets a node stand still, while time passes and messages for it wait.
    pub fn suspend(&mut self, index: usize) {
        self.states[index] = State::StandsStill;
        self.bus.hold(self.id(index), true);
    }

    /// Lets it go on.
    pub fn resume(&mut self, index: usize) {
        self.states[index] = State::Runs;
        self.bus.hold(self.id(index), false);
        self.drivers[index].age();
        self.settle();
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, index: usize) {
        self.states[index] = State::IsDead;
        self.bus.leave(self.id(index));
    }

    /// Lets time pass for all, a tenth of a second after the other, with everything settled in
    /// between.
    pub fn pass(&mut self, mut time: Duration) {
        while !time.is_zero() {
            let step = time.min(STEP);
            time -= step;
            self.clock.advance(step);
            for (driver, state) in self.drivers.iter_mut().zip(&self.states) {
                driver.clock.advance(step);
                if *state == State::Runs {
                    driver.age();
                }
            }
            self.settle();
        }
    }

    /// Runs everything that has become possible on all nodes that run.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// Moves everything on by one step; returns whether there is anything left that can move.
    pub fn step(&mut self) -> bool {
        let mut has_moved = self.bus.deliver();
        for (driver, state) in self.drivers.iter_mut().zip(&self.states) {
            if *state == State::Runs {
                has_moved |= driver.step();
            }
        }
        has_moved
    }

    /// Lets time pass until `future` has come to its end; returns how that took, and what came of
    /// it.
    ///
    /// # Panics
    /// It takes more than a minute.
    pub fn wait_for<T>(&mut self, future: impl Future<Output = T>) -> (Duration, T) {
        let (wakes, mut future) = (Wakes::default(), pin!(future));
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(60) {
            loop {
                if let Some(outcome) = wakes.poll(future.as_mut()) {
                    return (waited, outcome);
                }
                self.settle();
                if !wakes.take() {
                    break;
                }
            }
            self.pass(STEP);
            waited += STEP;
        }
        panic!("it takes too long");
    }
}
