//! What the next process finds.

use campanile_engine::store::{Group, Log, LogOptions};

use super::*;

#[test]
fn a_store_does_not_start_on_a_read_only_disk() {
    let disk = SimulatedDisk::default();
    start(&disk).publish("1").unwrap();
    let disk = disk.kill();
    disk.set_read_only(true);
    let refused = try_start(Arc::new(disk.clone()), OPTIONS, START).err();
    assert!(matches!(
        refused,
        Some(OpenError::Log(store::OpenError::Io { .. }))
    ));
    disk.set_read_only(false);
    assert_eq!(start(&disk).kept(), (vec![1], 1));
}

#[test]
fn a_write_that_was_interrupted_is_dropped() {
    let disk = SimulatedDisk::default();
    let victim = disk.clone();
    let point = KillPoint {
        operation: Some(Operation::Write),
        // Its head and its era, the mark, and the first publication.
        after: 4,
        when: When::Middle,
    };
    let directory = KillPoints::new(Arc::new(disk.clone()), point, move || victim.turn_off());
    let process = try_start(Arc::new(directory), OPTIONS, START).unwrap();
    let mut acknowledged = 0;
    while let Ok(offset) = process.publish("12345678") {
        acknowledged = offset;
    }
    let process = start(&disk.kill());
    let recovered = process.broker.recovered();
    assert!(recovered.torn_bytes > 0 && !recovered.was_clean);
    assert!(acknowledged > 0);
    assert_eq!(process.kept().1, acknowledged);
    assert_eq!(process.publish("2"), Ok(acknowledged + 1));
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let name = format!("campanile-owner-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let owner = OsDirectory::lock(&path).unwrap();
    assert!(matches!(OsDirectory::lock(&path), Err(LockError::InUse)));
    drop(owner);
    drop(OsDirectory::lock(&path).unwrap());
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let disk = SimulatedDisk::default();
    drop(start(&disk));
    let mark = String::from_utf8(disk.bytes("mark").unwrap()).unwrap();
    let (_, fields) = mark.split_once("format ").unwrap();
    let (known, fields) = fields.split_once('\n').unwrap();
    let (fields, _) = fields.split_once("checksum").unwrap();
    let newer = known.parse::<u32>().unwrap() + 1;
    let (title, _) = mark.split_once('\n').unwrap();
    let text = format!("{title}\nformat {newer}\n{fields}");
    let sum = crc32fast::hash(text.as_bytes());
    let text = format!("{text}checksum {sum:08x}\n");
    let file = disk.create("mark", 0).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    let steps = disk.steps();
    let refused = try_start(Arc::new(disk.clone()), OPTIONS, START).err();
    assert!(matches!(
        refused,
        Some(OpenError::Log(store::OpenError::NewerFormat { found, .. })) if found == newer
    ));
    let log = disk.log();
    assert!(log[steps..].iter().all(|step| !step.operation.is_change()));
}

#[test]
fn a_clock_that_goes_back_between_two_runs_makes_nothing_younger_or_older() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    process.clock.advance(Duration::from_secs(1000));
    process.try_publish(keyed("k", kept("c", "1"))).unwrap();
    drop(process);

    let process = try_start(Arc::new(disk), OPTIONS, START).unwrap();
    let behind = process.broker.recovered().clock_went_back;
    assert_eq!(behind, Some(Duration::from_secs(1000)));
    let instant = Duration::from_millis(1);
    process.clock.advance(RETENTION.ttl - instant);
    assert_eq!(process.kept(), (vec![1], 1));
    process.clock.advance(instant);
    assert_eq!(
        process.kept(),
        (vec![], 1),
        "it expires as if nothing had happened"
    );
    process
        .clock
        .advance(IDEMPOTENCY_TTL - RETENTION.ttl - instant);
    assert_eq!(process.try_publish(keyed("k", kept("c", "1"))), Ok(1));
    process.clock.advance(instant);
    assert_eq!(process.try_publish(keyed("k", kept("c", "2"))), Ok(2));
}

#[test]
fn an_idempotency_key_survives_the_end_of_the_process() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    let new = [keyed("k", kept("c", "1")), keyed("k", passing("d", "1"))];
    let published = new.map(|new| wait(process.broker.publish(new)).unwrap());
    let process = start(&disk.kill());
    process
        .clock
        .advance(IDEMPOTENCY_TTL - Duration::from_millis(1));
    let new = [keyed("k", kept("c", "2")), keyed("k", passing("d", "2"))];
    let again = new.map(|new| wait(process.broker.publish(new)).unwrap());
    assert_eq!(
        again,
        published.map(|published| Published {
            is_suppressed: true,
            ..published
        })
    );
}

#[test]
fn a_channel_that_was_never_published_to_stands_where_it_stood_after_a_restart() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    let before = process.page("never").top;
    drop(process);
    let process = start(&disk);
    assert!(process.broker.recovered().was_clean);
    assert_eq!(process.page("never").top, before);
    let process = start(&disk.kill());
    assert_eq!(process.page("never").top, before);
    process.clock.advance(RETENTION.meta_ttl);
    assert_ne!(process.page("never").top, before, "until its era is over");
}

#[test]
fn a_store_that_was_killed_on_a_full_disk_starts_again() {
    let disk = SimulatedDisk::default();
    let options = DiskOptions {
        segment_bytes: 64 * 1024,
        ..OPTIONS
    };
    let process = try_start(Arc::new(disk.clone()), options.clone(), START).unwrap();
    for _ in 0..3 {
        process.publish("1").unwrap();
    }
    let disk = disk.kill();
    disk.set_capacity(disk.used());
    let process = try_start(Arc::new(disk.clone()), options, START).unwrap();
    assert_eq!(process.kept(), (vec![1, 2, 3], 3));
}

#[test]
fn a_segment_is_not_missed_that_was_removed_and_a_power_cut_brought_its_mark_back() {
    let disk = SimulatedDisk::default();
    let options = LogOptions {
        segment_bytes: 100,
        is_relaxed: false,
        boot_id: None,
    };
    let open = |disk: &SimulatedDisk| {
        let directory = Arc::new(disk.clone());
        Log::open(directory, options.clone(), 0, &mut |_, _, _| ())
    };
    let (mut log, _) = open(&disk).unwrap();
    for time in 0..10 {
        log.append(&mut Group::new(), time).unwrap();
    }
    assert!(log.segments().newest() > 2);
    // The new mark is there, but its name is not durable.
    disk.fail_next(Operation::SyncNames, 0, ErrorKind::Other);
    log.segments().remove_oldest().unwrap_err();
    drop(log);
    let disk = disk.kill();
    let victim = disk.clone();
    let point = KillPoint {
        operation: Some(Operation::Remove),
        after: 0,
        when: When::After,
    };
    let directory = KillPoints::new(Arc::new(disk.clone()), point, move || victim.turn_off());
    let interrupted = Log::open(Arc::new(directory), options.clone(), 0, &mut |_, _, _| ());
    assert!(interrupted.is_err() && disk.count(Operation::Remove) == 1);
    for seed in 0..50 {
        let cut = disk.power_cut(Loss::Scattered(seed));
        open(&cut).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_shorter_lifetime_of_metadata_is_not_the_end_of_two_streams_with_one_name() {
    let disk = SimulatedDisk::default();
    let second = Duration::from_secs(1);
    let open = |disk: &SimulatedDisk, meta_ttl, unix_millis| {
        try_start_with(Arc::new(disk.clone()), OPTIONS, unix_millis, meta_ttl).unwrap()
    };
    drop(open(&disk, 1000 * second, START));
    let short = Retention {
        size: 4,
        ttl: 30 * second,
        meta_ttl: 60 * second,
    };
    let publish = |process: &Process| {
        let new = NewPublication {
            retention: Some(short),
            ..kept("c", "1")
        };
        wait(process.broker.publish(new)).unwrap().position.unwrap()
    };
    let process = open(&disk, short.meta_ttl, START + 1_000);
    process.clock.advance(9 * second);
    let seen = publish(&process);
    drop(process);
    // Each start would give the era another lifetime, which the stream does not outlive.
    let process = open(&disk, short.meta_ttl, START + 50_000);
    process.clock.advance(25 * second);
    process.broker.sweep();
    process.clock.advance(second);
    let again = publish(&process);
    assert_eq!((seen.offset, again.offset), (1, 1), "it was forgotten");
    assert_ne!(seen.epoch, again.epoch);
}
