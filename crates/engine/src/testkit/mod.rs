//! What tests of the engine are made of, and tests of everything that is built on it: time moved
//! by hand, the contract that every broker keeps, a broker and a disk that misbehave on demand.
//!
//! It panics where an assertion would, since only tests use it; it refuses to know sockets and
//! runtimes like the rest of the engine.

mod application;
mod authority;
mod broker;
mod bus;
mod clock;
pub mod contract;
pub mod disk;
mod driver;
mod nodes;
mod random;
mod reader;
pub mod sequencer;
mod wakes;

use crate::channel::ChannelName;

pub use application::StubApplication;
pub use authority::StubAuthority;
pub use broker::StubBroker;
pub use bus::StubBus;
pub use clock::ManualClock;
pub use driver::{Driver, Peer, Place, Setup, Worker};
pub use nodes::Nodes;
pub use random::Random;
pub use reader::PayloadReader;
pub use sequencer::{StubLink, StubSequencer};

/// The channel of this name, in whatever namespace it pretends to be.
#[must_use]
pub fn channel(name: &str) -> ChannelName {
    ChannelName::trusted(name)
}
