//! Shards, a node, a memory broker and clients wired together in one thread.

mod application;
mod bare;
mod cache;
mod deltas;
mod fanout;
mod filters;
mod gaps;
mod joining;
mod quiet;
mod release;
mod secrets;
mod sole;
mod stage;
mod timers;

use std::time::Duration;

use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::testkit::{Driver, Peer, Setup};

/// A setup in which every subscription is positioned and recoverable.
pub(crate) fn recoverable() -> Setup {
    let setup = Setup::default();
    Setup {
        options: ChannelOptions {
            force_recovery: true,
            ..setup.options.clone()
        },
        ..setup
    }
}

/// A client that is subscribed to `c` and has read everything about that.
pub(crate) fn subscriber(driver: &mut Driver, shard: usize) -> Peer {
    let mut peer = driver.connect(shard, "42");
    driver.send(&mut peer, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    let said = driver.read(&mut peer);
    assert!(said[1].starts_with(r#"{"id":2,"subscribe":{"#), "{said:?}");
    peer
}

/// The offsets of the publications among `messages`, be they pushed or in a reply.
pub(crate) fn offsets(messages: &[String]) -> Vec<u64> {
    let mut offsets = Vec::new();
    for message in messages {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(message) else {
            continue;
        };
        let recovered = value["subscribe"]["publications"].as_array();
        let all = recovered
            .into_iter()
            .flatten()
            .chain([&value["push"]["pub"]]);
        offsets.extend(all.filter_map(|publication| publication["offset"].as_u64()));
    }
    offsets
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
