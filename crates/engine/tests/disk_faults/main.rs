//! What the disk broker does when the disk, the clock or a neighbour misbehaves.

mod bounds;
mod compaction;
mod restarts;
mod trouble;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::disk::OpenError;
use campanile_engine::broker::{
    Broker as _, BrokerError, DiskBroker, DiskOptions, Durability, HistoryPage, HistoryQuery,
    IDEMPOTENCY_TTL, NewPublication, Published, Retention,
};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::{Event, Inbox, Inboxes, ShardId};
use campanile_engine::limits::{COLD_READS_MAX, COMMIT_QUEUE_BYTES_MAX};
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
    try_start_with(directory, options, unix_millis, RETENTION.meta_ttl)
}

fn try_start_with(
    directory: Arc<dyn store::Directory>,
    options: DiskOptions,
    unix_millis: i64,
    meta_ttl_min: Duration,
) -> Result<Process, OpenError> {
    let (inboxes, mut shards) = Inboxes::new(1);
    let clock = Arc::new(ManualClock::at(unix_millis));
    let broker = DiskBroker::open(
        directory,
        options,
        inboxes,
        Arc::new(MemoryBudget::new(None)),
        clock.clone(),
        meta_ttl_min,
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

    /// Sweeps until `is_so`, which other threads bring about.
    fn sweep_until(&self, mut is_so: impl FnMut(&Self) -> bool) {
        const TRIES_MAX: usize = 200_000;
        for _ in 0..TRIES_MAX {
            if is_so(self) {
                return;
            }
            self.broker.sweep();
            std::thread::yield_now();
        }
        panic!("{:?}", self.broker.status());
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
