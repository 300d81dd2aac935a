//! A disk that makes trouble while it is used.

use super::*;

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_takes_more_when_there_is_room() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    process.publish("1").unwrap();
    disk.set_capacity(disk.used());
    let large = "x".repeat(2000);
    for _ in 0..3 {
        assert_eq!(process.publish(&large), Err(BrokerError::StorageFull));
    }
    assert!(process.broker.status().is_full);
    assert_eq!(process.kept(), (vec![1], 1));
    process
        .try_publish(passing("c", "2"))
        .expect("it needs no room");
    disk.set_capacity(1_000_000);
    process.broker.sweep();
    assert_eq!(process.publish("3"), Ok(2), "it was looked for room");
    assert!(!process.broker.status().is_full);
    assert_eq!(process.delivered(), ["1", "2", "3"]);
    assert_eq!(start(&disk.kill()).kept(), (vec![1, 2], 2));
}

#[test]
fn a_full_disk_makes_room_by_itself_when_what_it_has_expires() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(disk.used() + 64 * 1024);
    let process = try_start(Arc::new(disk.clone()), small_segments(), START).unwrap();
    let data = "x".repeat(500);
    let mut number = 0;
    while process
        .try_publish(kept(&format!("c{number}"), &data))
        .is_ok()
    {
        number += 1;
    }
    assert!(process.broker.status().is_full);
    assert!((50..130).contains(&number), "{number} went in");
    process.clock.advance(RETENTION.ttl);
    process.sweep_until(|process| process.publish(&data).is_ok());
    // Counted when it is all over, which may be a little later.
    process.sweep_until(|process| process.broker.status().compacted_segments > 0);
    drop(process);
    let process = try_start(Arc::new(disk.kill()), small_segments(), START).unwrap();
    assert_eq!(process.page("c0").top.offset, 1, "positions are kept");
}

fn small_segments() -> DiskOptions {
    DiskOptions {
        segment_bytes: 4096,
        ..OPTIONS
    }
}

#[test]
fn a_read_only_disk_refuses_and_is_still_read() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    process.publish("1").unwrap();
    disk.set_read_only(true);
    assert_eq!(process.publish("2"), Err(BrokerError::StorageFailed));
    assert!(process.broker.status().is_unwritable);
    assert_eq!(process.kept(), (vec![1], 1));
    disk.set_read_only(false);
    assert_eq!(process.publish("3"), Ok(2));
    assert!(process.broker.status().is_writable());
    assert_eq!(process.delivered(), ["1", "3"]);
}

#[test]
fn a_publication_whose_write_failed_was_never_there() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    for round in 0..4 {
        // A part of it is written, a different one each time.
        disk.fail_next(Operation::Write, 0, ErrorKind::Other);
        let refused = process.try_publish(keyed("k", kept("c", "lost")));
        assert_eq!(refused, Err(BrokerError::StorageFailed));
        assert_eq!(process.publish("kept"), Ok(round + 1));
    }
    assert_eq!(process.delivered(), ["kept"; 4]);
    assert_eq!(process.kept(), (vec![1, 2, 3, 4], 4));
    let process = start(&disk.kill());
    let page = process.page("c");
    assert!(page.publications.iter().all(|one| *one.data == *b"kept"));
    let published = process.try_publish(keyed("k", kept("c", "5")));
    assert_eq!(published, Ok(5), "its key was not used");
}

#[test]
fn a_failed_sync_ends_storing_until_a_restart() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    process.publish("1").unwrap();
    disk.fail_next(Operation::SyncBytes, 0, ErrorKind::Other);
    assert_eq!(process.publish("2"), Err(BrokerError::StorageFailed));
    let log = disk.log();
    for _ in 0..3 {
        assert_eq!(process.publish("3"), Err(BrokerError::StorageFailed));
        let removed = wait(process.broker.remove_history(&channel("c")));
        assert_eq!(removed, Err(BrokerError::StorageFailed));
    }
    assert!(process.broker.status().is_failed);
    assert_eq!(process.kept(), (vec![1], 1), "it is still read");
    process
        .try_publish(passing("c", "4"))
        .expect("it needs no disk");
    assert_eq!(process.delivered(), ["1", "4"]);
    drop(process);
    let is_segment = |file: &str| !file.starts_with("mark");
    let later = disk.log();
    assert!(
        later[log.len()..].iter().all(|step| {
            step.operation == Operation::Read || step.file.is_empty() || !is_segment(&step.file)
        }),
        "the segment is neither written nor synced again: {later:?}"
    );
    for disk in [disk.kill(), disk.power_cut(Loss::Everything)] {
        let process = start(&disk);
        assert_eq!(process.page("c").publications[0].data.to_vec(), b"1");
        let top = process.page("c").top.offset;
        assert_eq!(process.publish("5"), Ok(top + 1), "it is stored again");
    }
}

#[test]
fn a_disk_that_stands_still_holds_nobody_up_for_ever_and_recovers() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    disk.hold(Operation::Write);
    let outcomes = std::thread::scope(|scope| {
        let process = &process;
        let first = scope.spawn(|| process.publish("first"));
        disk.await_held(Operation::Write);
        // Whether it comes before or after the disk is found to stand still: it is told.
        let waiting: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| process.publish("late")))
            .collect();
        process.clock.advance(Duration::from_secs(6));
        while !waiting
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            process.broker.sweep();
            std::thread::yield_now();
        }
        assert!(process.broker.status().is_stalled);
        assert!(!first.is_finished(), "nobody can say what becomes of it");
        process
            .try_publish(passing("c", "passing"))
            .expect("it needs no disk");
        disk.release();
        let waiting = waiting.into_iter().map(|late| late.join().unwrap());
        let all: Vec<_> = std::iter::once(first.join().unwrap())
            .chain(waiting)
            .collect();
        all
    });
    assert_eq!(outcomes[0], Ok(1));
    assert_eq!(outcomes[1..], [Err(BrokerError::Busy); 4]);
    assert_eq!(process.publish("next"), Ok(2));
    assert!(process.broker.status().is_writable());
    assert_eq!(process.delivered(), ["passing", "first", "next"]);
}

#[test]
fn a_damaged_publication_is_never_served_and_neither_is_what_is_older() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    for data in ["first", "second", "third", "fourth"] {
        process.publish(data).unwrap();
    }
    let needle = b"second";
    for name in disk.list().unwrap() {
        let bytes = disk.bytes(&name).unwrap();
        let places = bytes.windows(needle.len());
        if let Some(place) = places.clone().position(|bytes| bytes == needle) {
            disk.rot(&name, place);
        }
    }
    assert_eq!(process.kept(), (vec![3, 4], 4));
    assert_eq!(process.broker.status().damaged, 1);
    assert_eq!(process.publish("fifth"), Ok(5));
    assert_eq!(process.kept(), (vec![3, 4, 5], 5));
}

#[test]
fn a_log_at_its_size_limit_refuses_until_what_it_has_expires() {
    let disk = SimulatedDisk::default();
    let options = DiskOptions {
        size_limit: Some(16 * 1024),
        ..OPTIONS
    };
    let process = try_start(Arc::new(disk.clone()), options, START).unwrap();
    let data = "x".repeat(500);
    let mut number = 0;
    let refused = loop {
        match process.try_publish(kept(&format!("c{number}"), &data)) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, BrokerError::StorageFull);
    assert!((10..32).contains(&number), "{number} went in");
    process
        .try_publish(passing("c0", "1"))
        .expect("it needs no room");
    assert_eq!(offsets(&process.page("c0")), [1], "nothing made room");

    process.clock.advance(RETENTION.ttl);
    process.sweep_until(|process| process.publish(&data).is_ok());
    assert_eq!(process.page("c0").top.offset, 1, "positions are kept");
    assert_eq!(start(&disk.kill()).page("c0").top.offset, 1);
}

#[test]
fn names_that_nothing_is_stored_for_leave_nothing_on_disk() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    let steps = disk.steps();
    for number in 0..100 {
        let name = format!("c{number}");
        process.subscribe(&name);
        process.try_publish(passing(&name, "1")).unwrap();
        let top = HistoryQuery {
            limit: 0,
            ..EVERYTHING
        };
        wait(process.broker.history(&channel(&name), top)).unwrap();
        wait(process.broker.remove_history(&channel(&name))).unwrap();
        let shard = ShardId::new(0).unwrap();
        wait(process.broker.unsubscribe(shard, &channel(&name)));
    }
    process.broker.sweep();
    assert_eq!(disk.log()[steps..], []);
}
