//! The disk broker against a model, on a disk that loses power, fails and fills up at random.
//!
//! `CAMPANILE_SEEDS` says how many runs each test makes, `CAMPANILE_SEED` which single one.

mod channel;
mod steps;
mod stream;
mod witness;
mod world;

use campanile_engine::testkit::disk::Operation;

use world::{Counts, Manner, Outcome, World};

/// What happens in one run.
const STEPS: usize = 60;

fn run(seed: u64, manner: Manner, forgotten: &[Operation]) -> Outcome<Counts> {
    let mut world = World::new(seed, manner, forgotten);
    let outcome = live(&mut world);
    outcome.map_err(|broken| format!("{}\n{broken}", world.diary.join("\n")))?;
    Ok(world.counts)
}

fn live(world: &mut World) -> Outcome {
    world.start()?;
    for _ in 0..STEPS {
        world.step()?;
    }
    world.finish()
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn run_many(manner: Manner, by_default: u64) -> Counts {
    let seeds = match number_of("CAMPANILE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("CAMPANILE_SEEDS").unwrap_or(by_default),
    };
    let mut counts = Counts::default();
    for seed in seeds {
        match run(seed, manner, &[]) {
            Ok(counted) => counts += counted,
            Err(broken) => panic!("CAMPANILE_SEED={seed} ({manner:?}) after:\n{broken}"),
        }
    }
    counts
}

#[test]
fn what_sync_acknowledged_survives_every_crash() {
    println!("{:?}", run_many(Manner::Sync, 150));
}

#[test]
fn what_relaxed_acknowledged_survives_a_kill_and_a_power_cut_makes_new_epochs() {
    println!("{:?}", run_many(Manner::Relaxed, 150));
}

#[test]
fn processes_of_different_durability_keep_what_each_promised() {
    println!("{:?}", run_many(Manner::Mixed, 100));
}

/// The seeds, of so many, with which a disk that forgets such syncs is found out.
fn found_out(forgotten: &[Operation], seeds: u64) -> usize {
    let is_broken = |seed: &u64| run(*seed, Manner::Sync, forgotten).is_err();
    (0..seeds).filter(is_broken).count()
}

#[test]
fn a_broker_whose_bytes_are_not_synced_is_found_out() {
    let found = found_out(&[Operation::SyncBytes], 20);
    println!("found out by {found} of 20 seeds");
    assert!(found > 10);
}

#[test]
fn a_broker_whose_names_are_not_synced_is_found_out() {
    let found = found_out(&[Operation::SyncNames], 20);
    println!("found out by {found} of 20 seeds");
    assert!(found > 10);
}
