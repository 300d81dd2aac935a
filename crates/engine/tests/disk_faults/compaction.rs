//! How large a log becomes, and what is left of it.

use super::*;

const SEGMENT_BYTES: u64 = 16 * 1024;

fn small() -> DiskOptions {
    DiskOptions {
        segment_bytes: SEGMENT_BYTES,
        ..OPTIONS
    }
}

/// Sweeps until the log has no more than `bytes`.
fn settle(process: &Process, bytes: u64) {
    process.sweep_until(|process| process.broker.status().log_bytes <= bytes);
}

#[test]
fn a_log_is_at_most_twice_what_is_needed_and_some_segments() {
    let disk = SimulatedDisk::default();
    let process = try_start(Arc::new(disk.clone()), small(), START).unwrap();
    process.try_publish(kept("old", "1")).unwrap();
    for number in 0..3_000 {
        let name = format!("c{}", number % 100);
        process.try_publish(kept(&name, "x")).unwrap();
    }
    let live = process.broker.status().live_bytes;
    settle(&process, 2 * live + 5 * SEGMENT_BYTES);
    let status = process.broker.status();
    assert!(
        status.compacted_segments > 0 && status.carried > 0,
        "{status:?}"
    );
    drop(process);
    let process = try_start(Arc::new(disk.kill()), small(), START).unwrap();
    assert_eq!(offsets(&process.page("old")), [1]);
    for number in 0..100 {
        let page = process.page(&format!("c{number}"));
        assert_eq!(offsets(&page), [27, 28, 29, 30], "c{number}");
    }
}

#[test]
fn keys_are_carried_once_and_remembered() {
    let disk = SimulatedDisk::default();
    let process = try_start(Arc::new(disk.clone()), small(), START).unwrap();
    for number in 0..200 {
        let new = keyed("k", kept(&format!("keyed{number}"), "1"));
        process.try_publish(new).unwrap();
    }
    let before = process.broker.status().written_bytes;
    for number in 0..2_000 {
        let name = format!("c{}", number % 10);
        process.try_publish(kept(&name, &"x".repeat(100))).unwrap();
    }
    let published = process.broker.status().written_bytes - before;
    let live = process.broker.status().live_bytes;
    settle(&process, 2 * live + 5 * SEGMENT_BYTES);
    let settled = process.broker.status();
    for _ in 0..1_000 {
        process.broker.sweep();
    }
    let idle = process.broker.status();
    assert!(
        idle.log_bytes <= settled.log_bytes,
        "it grows without a publish"
    );
    assert!(
        idle.written_bytes - before < 3 * published,
        "compaction wrote {} for {published}",
        idle.written_bytes - before
    );
    drop(process);
    let process = try_start(Arc::new(disk.kill()), small(), START).unwrap();
    for number in 0..200 {
        let new = keyed("k", kept(&format!("keyed{number}"), "1"));
        assert_eq!(process.try_publish(new), Ok(1), "keyed{number} is a repeat");
    }
}

#[test]
fn a_segment_of_many_channels_costs_few_groups() {
    let disk = SimulatedDisk::default();
    let process = try_start(Arc::new(disk.clone()), small(), START).unwrap();
    let mut commits = 0;
    for _ in 0..4 {
        commits = process.broker.status().commits;
        for number in 0..500 {
            process
                .try_publish(kept(&format!("c{number}"), "x"))
                .unwrap();
        }
    }
    let live = process.broker.status().live_bytes;
    process.clock.advance(RETENTION.ttl);
    settle(&process, live + 5 * SEGMENT_BYTES);
    let status = process.broker.status();
    let upkeep = status.commits - commits - 500;
    assert!(
        upkeep < 20 * (status.compacted_segments + 1),
        "{upkeep} groups for {} segments",
        status.compacted_segments
    );
}

#[test]
fn a_place_that_cannot_be_read_does_not_end_compaction() {
    let disk = SimulatedDisk::default();
    let options = DiskOptions {
        cache_bytes: 0,
        ..small()
    };
    let process = try_start(Arc::new(disk.clone()), options, START).unwrap();
    process.try_publish(kept("old", "1")).unwrap();
    // It is met twice, by two attempts.
    for after in [0, 1] {
        disk.fail_next(Operation::Read, after, ErrorKind::Other);
    }
    for number in 0..3_000 {
        process
            .try_publish(kept(&format!("c{}", number % 10), &"x".repeat(50)))
            .unwrap();
    }
    let live = process.broker.status().live_bytes;
    settle(&process, 2 * live + 5 * SEGMENT_BYTES);
    let status = process.broker.status();
    assert_eq!((status.read_errors, status.damaged), (2, 1), "{status:?}");
    assert!(offsets(&process.page("old")).is_empty(), "and it is told");
    assert_eq!(process.page("old").top.offset, 1);
}
