//! What the disk broker does when the disk, the clock or a neighbour misbehaves.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::disk::OpenError;
use campanile_engine::broker::{
    Broker as _, BrokerError, DiskBroker, DiskOptions, Durability, HistoryPage, HistoryQuery,
    IDEMPOTENCY_TTL, NewPublication, Published,
};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::{Event, Inbox, Inboxes, ShardId};
use campanile_engine::store::{self, Directory as _, LockError, OsDirectory};
use campanile_engine::testkit::contract::{EVERYTHING, RETENTION, kept, offsets, passing};
use campanile_engine::testkit::disk::{
    KillPoint, KillPoints, Loss, Operation, SimulatedDisk, When,
};
use campanile_engine::testkit::{ManualClock, channel};

const START: i64 = 1_700_000_000_000;

/// A broker that syncs each group, in segments of a few publications, and reads all of them from the
/// disk.
const OPTIONS: DiskOptions = DiskOptions {
    durability: Durability::Sync,
    segment_bytes: 1024,
    cache_bytes: 0,
    size_limit: None,
    boot_id: None,
};

/// A process with one shard.
struct Process {
    broker: DiskBroker,
    inbox: Inbox,
    clock: Arc<ManualClock>,
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs no driver").block_on(future)
}

fn try_start(
    directory: Arc<dyn store::Directory>,
    options: DiskOptions,
    unix_millis: i64,
) -> Result<Process, OpenError> {
    let (inboxes, mut shards) = Inboxes::new(1);
    let clock = Arc::new(ManualClock::at(unix_millis));
    let broker = DiskBroker::open(
        directory,
        options,
        inboxes,
        Arc::new(MemoryBudget::new(None)),
        clock.clone(),
        RETENTION.meta_ttl,
    )?;
    let inbox = shards.pop().expect("there is one");
    Ok(Process {
        broker,
        inbox,
        clock,
    })
}

fn start(disk: &SimulatedDisk) -> Process {
    let process = try_start(Arc::new(disk.clone()), OPTIONS, START);
    process.unwrap_or_else(|error| panic!("it does not open: {error}"))
}

impl Process {
    fn try_publish(&self, new: NewPublication) -> Result<u64, BrokerError> {
        let published = wait(self.broker.publish(new))?;
        Ok(published.position.map_or(0, |position| position.offset))
    }

    /// Publishes into the history of channel `c`.
    fn publish(&self, data: &str) -> Result<u64, BrokerError> {
        self.try_publish(kept("c", data))
    }

    fn try_page(&self, name: &str) -> Result<HistoryPage, BrokerError> {
        wait(self.broker.history(&channel(name), EVERYTHING))
    }

    fn page(&self, name: &str) -> HistoryPage {
        self.try_page(name).expect("it can be read")
    }

    /// The offsets that are kept of channel `c`, and the top.
    fn kept(&self) -> (Vec<u64>, u64) {
        let page = self.page("c");
        (offsets(&page), page.top.offset)
    }

    fn subscribe(&self, name: &str) {
        let shard = ShardId::new(0).expect("0 is one");
        wait(self.broker.subscribe(shard, &channel(name))).expect("it always works");
    }

    /// What has been delivered since somebody asked last.
    fn delivered(&mut self) -> Vec<String> {
        let deliveries = std::iter::from_fn(|| self.inbox.try_recv().ok());
        let payload = |event: &Event| match event {
            Event::Publication { publication, .. } => {
                String::from_utf8_lossy(&publication.data).into_owned()
            }
            other => panic!("nobody comes or goes: {other:?}"),
        };
        deliveries
            .map(|delivery| payload(&delivery.event))
            .collect()
    }
}

fn keyed(key: &str, new: NewPublication) -> NewPublication {
    NewPublication {
        idempotency_key: Some(key.into()),
        ..new
    }
}

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
    assert_eq!(process.publish("3"), Ok(2));
    assert!(!process.broker.status().is_full);
    assert_eq!(process.delivered(), ["1", "2", "3"]);
    assert_eq!(start(&disk.kill()).kept(), (vec![1, 2], 2));
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
    let mut tries = 0;
    while process.publish(&data).is_err() {
        process.broker.sweep();
        std::thread::yield_now();
        tries += 1;
        assert!(tries < 100_000, "{:?}", process.broker.status());
    }
    let status = process.broker.status();
    assert!(status.compacted_segments > 0 && status.is_writable());
    assert_eq!(process.page("c0").top.offset, 1, "positions are kept");
    assert_eq!(start(&disk.kill()).page("c0").top.offset, 1);
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
