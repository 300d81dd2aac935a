//! A start after a power cut, which gives all streams of a relaxed log another epoch.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use campanile_engine::broker::{
    Broker, DiskBroker, DiskOptions, HistoryQuery, NewPublication, Retention,
};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::Inboxes;
use campanile_engine::store::OsDirectory;
use campanile_engine::testkit::contract::kept;
use campanile_engine::testkit::{ManualClock, channel};
use campanile_protocol::Position;

const RETENTION: Retention = Retention {
    size: 100,
    ttl: Duration::from_secs(10),
    meta_ttl: Duration::from_secs(10),
};

/// A directory that is removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("campanile-rebirth-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new name");
        Self(path)
    }

    /// What a machine would find that stopped now.
    fn snapshot(&self) -> Self {
        let copy = Self::new();
        for file in fs::read_dir(&self.0).expect("it is there") {
            let file = file.expect("it is there");
            fs::copy(file.path(), copy.0.join(file.file_name())).expect("there is room");
        }
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Path, boot_id: &str, clock: &Arc<ManualClock>) -> DiskBroker {
    let (inboxes, _) = Inboxes::new(1);
    let options = DiskOptions {
        boot_id: Some(boot_id.to_owned()),
        ..DiskOptions::default()
    };
    DiskBroker::open(
        Arc::new(OsDirectory::lock(directory).expect("nobody has it")),
        options,
        inboxes,
        Arc::new(MemoryBudget::new(None)),
        clock.clone(),
        RETENTION.meta_ttl,
    )
    .expect("it was left whole")
}

async fn publish(broker: &DiskBroker) -> Position {
    let new = NewPublication {
        retention: Some(RETENTION),
        ..kept("c", "1")
    };
    let published = broker.publish(new).await.expect("there is room");
    published.position.expect("it is kept")
}

#[tokio::test]
async fn a_stream_that_is_forgotten_after_a_power_cut_begins_again_under_another_epoch() {
    let clock = Arc::new(ManualClock::default());
    let before = Scratch::new();
    let broker = open(&before.0, "first", &clock);
    let first = publish(&broker).await;
    clock.advance(RETENTION.meta_ttl / 2);

    let after = before.snapshot();
    let broker = open(&after.0, "second", &clock);
    let history = broker.history(&channel("c"), HistoryQuery::default()).await;
    let reborn = history.unwrap().top;
    assert_ne!(reborn.epoch, first.epoch);
    assert_eq!(reborn.offset, first.offset);
    clock.advance(RETENTION.meta_ttl / 2 + Duration::from_secs(1));
    broker.sweep();
    let again = publish(&broker).await;
    assert_ne!(again.epoch, reborn.epoch);
    assert_eq!(again.offset, 1);
}

#[tokio::test]
async fn what_was_forgotten_before_a_power_cut_is_not_taken_for_what_came_after_it() {
    let clock = Arc::new(ManualClock::default());
    let before = Scratch::new();
    let broker = open(&before.0, "first", &clock);
    for _ in 0..3 {
        publish(&broker).await;
    }
    clock.advance(RETENTION.meta_ttl + Duration::from_secs(1));

    let after = before.snapshot();
    let broker = open(&after.0, "second", &clock);
    assert_eq!(publish(&broker).await.offset, 1);

    let killed = after.snapshot();
    let broker = open(&killed.0, "second", &clock);
    assert_eq!(publish(&broker).await.offset, 2);
}
