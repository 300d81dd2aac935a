//! Several nodes over one sequencer, under a seeded storm: lines break with and without anybody
//! noticing, messages are lost and repeated, nodes are killed and suspended, the sequencer dies and
//! comes back with what it knew, without its latest, or with nothing. Clients come back elsewhere.
//!
//! What must be true at each step, and at the end, is in `judge` and in [`assert_whole`]. More seeds:
//! `SEEDS=20000 cargo test -p campanile-engine --release --test cluster_simulation`; one again: `SEED=n`.

mod client;
mod judge;
mod orders;
mod publisher;
mod world;

use std::collections::BTreeSet;

use campanile_engine::testkit::channel;
use client::Heard;
use world::{CHANNELS, World};

const STEPS: usize = 500;
const SEEDS: u64 = 200;

/// How long it may take until everybody is where the streams are, once it shows that something is
/// missing: until the next look at what had no room, and until clients have come back.
const REPAIR_SECONDS: usize = 15;

/// How long, when nothing shows it: until a quiet channel is looked at, and again for who had to come
/// back then.
const NOTICE_SECONDS: usize = 2 * (40 + 25 + 1) + REPAIR_SECONDS;
const ROUND_SECONDS: usize = 5;

/// Names the seed of a storm that panics.
struct Named(u64);

impl Drop for Named {
    #[expect(
        clippy::print_stdout,
        reason = "whoever repeats a failure needs its seed"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "the storm of seed {} failed: SEED={} repeats it",
                self.0, self.0
            );
        }
    }
}

fn storm(seed: u64) -> Heard {
    let _named = Named(seed);
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    // That a node has ended an epoch, since what it knew was lost, shows the others nothing yet.
    let seconds = if world.is_lossy {
        NOTICE_SECONDS
    } else {
        REPAIR_SECONDS
    };
    converge(&mut world, seconds);
    // Every node says what it knows of every stream.
    world.publish_everywhere();
    converge(&mut world, REPAIR_SECONDS);
    world.crowd();
    converge(&mut world, REPAIR_SECONDS);
    world.lose_the_last();
    converge(&mut world, NOTICE_SECONDS);
    assert_acknowledged(&world);
    Heard {
        orders: world.obeyed,
        ..world.heard
    }
}

/// Lets time pass until all clients are at the tops of their channels.
fn converge(world: &mut World, seconds: usize) {
    for _ in 0..seconds / ROUND_SECONDS {
        world.come_back(ROUND_SECONDS);
        if lagging(world).is_none() {
            return;
        }
    }
    panic!("{}", lagging(world).expect("just seen"));
}

/// Who is not where its channel's stream is.
fn lagging(world: &World) -> Option<String> {
    for client in &world.clients {
        for name in CHANNELS {
            let place = client.places.get(name);
            let (top, last) = world.sequencer.top(&channel(name))?;
            let is_there = place.is_some_and(|place| {
                place.is_subscribed
                    && place.epoch == top.epoch.as_str()
                    && place.offset == top.offset
                    && place.standing.contains(&last)
            });
            if !is_there {
                let number = client.number;
                return Some(format!(
                    "client {number} is not at the top of {name}, {top:?} and {last:?}, but at {place:?}"
                ));
            }
        }
    }
    None
}

/// What was acknowledged is in the stream, or its epoch is over, so that everybody was told; and no
/// key is there twice.
fn assert_acknowledged(world: &World) {
    for name in CHANNELS {
        let Some((top, last)) = world.sequencer.top(&channel(name)) else {
            continue;
        };
        let lineage = world.judge.lineage(last);
        let mut keys = BTreeSet::new();
        for index in &lineage {
            let key = &world.judge.stored(*index).key;
            assert!(
                key.is_none() || keys.insert(key.clone()),
                "{key:?} is there twice"
            );
        }
        for acknowledged in &world.acknowledged {
            let Some(position) = acknowledged.published.position else {
                continue;
            };
            let is_known = world.sites.iter().any(|it| it.number == acknowledged.node);
            if acknowledged.channel != name || (world.is_lossy && !is_known) {
                continue;
            }
            let is_stored = |index: &usize| {
                let stored = world.judge.stored(*index);
                stored.position == position && &*stored.data == acknowledged.data.as_bytes()
            };
            assert!(
                position.epoch != top.epoch || lineage.iter().any(is_stored),
                "{} was acknowledged at {position:?} and is lost without a word",
                acknowledged.data
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_to_a_cluster_nobody_is_told_anything_untrue() {
    if let Some(seed) = number("SEED") {
        storm(seed);
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let mut all = Heard::default();
    for seed in 0..seeds {
        let heard = storm(seed);
        all.publications += heard.publications;
        all.recoveries += heard.recoveries;
        all.losses += heard.losses;
        all.excused += heard.excused;
        all.orders += heard.orders;
    }
    println!("{all:?}");
    assert!(
        all.publications as u64 > 10 * seeds,
        "storms reach deliveries: {all:?}"
    );
    assert!(
        all.recoveries as u64 > seeds / 2,
        "storms reach recoveries: {all:?}"
    );
    assert!(
        all.orders as u64 > seeds / 4,
        "storms reach orders: {all:?}"
    );
    assert!(
        all.excused < all.recoveries / 20,
        "they are the exception: {all:?}"
    );
    assert!(
        all.losses as u64 > seeds / 2,
        "storms reach losses: {all:?}"
    );
}
