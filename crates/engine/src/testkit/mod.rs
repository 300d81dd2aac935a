//! What tests of the engine are made of, and tests of everything that is built on it: time moved
//! by hand, the contract that every broker keeps, a broker and a disk that misbehave on demand.
//!
//! It panics where an assertion would, since only tests use it; it refuses to know sockets and
//! runtimes like the rest of the engine.

mod application;
mod authority;
mod broker;
mod clock;
pub mod contract;
pub mod disk;
mod driver;
mod random;
mod reader;
pub mod sequencer;

use crate::channel::ChannelName;

pub use application::StubApplication;
pub use authority::StubAuthority;
pub use broker::StubBroker;
pub use clock::ManualClock;
pub use driver::{Driver, Peer, Setup, Worker};
pub use random::Random;
pub use reader::PayloadReader;
pub use sequencer::{StubLink, StubSequencer};

/// The channel of this name, in whatever namespace it pretends to be.
#[must_use]
pub fn channel(name: &str) -> ChannelName {
    ChannelName::trusted(name)
}
