//! What comes out is a log that a broker goes on with.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::{Broker, DiskBroker, DiskOptions};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::{Inboxes, ShardId};
use campanile_engine::store::Directory;
use campanile_engine::testkit::channel;
use campanile_engine::testkit::disk::SimulatedDisk;
use campanile_engine::time::{Clock, Moment, Now};
use campanile_engine::upkeep::{compact, renew, repair};

use super::world::{NOW, World, circumstances, read};

/// It stands still.
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Now {
        Now {
            moment: Moment::START,
            unix_millis: NOW.try_into().expect("soon after 1970"),
        }
    }
}

fn open(disk: &SimulatedDisk) -> (DiskBroker, ShardId) {
    let (inboxes, _) = Inboxes::new(1);
    let broker = DiskBroker::open(
        Arc::new(disk.clone()),
        DiskOptions {
            boot_id: circumstances().boot_id,
            ..DiskOptions::default()
        },
        inboxes,
        Arc::new(MemoryBudget::new(None)),
        Arc::new(StillClock),
        Duration::from_secs(60),
    );
    let shard = ShardId::new(0).expect("there is one");
    (broker.expect("a log that is whole"), shard)
}

/// A broker on `disk` knows what is there, and gives streams that begin another epoch.
async fn check(disk: &SimulatedDisk, epochs_are_new: bool) {
    let (contents, epochs) = read(disk, "boot");
    let (broker, shard) = open(disk);
    let recovered = broker.recovered();
    assert!(recovered.was_clean && !recovered.is_lossy);
    assert_eq!(recovered.channels, contents.len() as u64);
    for (name, content) in &contents {
        let position = broker.subscribe(shard, &channel(name)).await;
        let position = position.expect("it is in memory");
        assert_eq!(position.offset, content.top);
        assert!(epochs.contains(position.epoch.as_str()));
    }
    let begins = broker.subscribe(shard, &channel("begins")).await;
    let begins = begins.expect("it is in memory");
    assert!(!epochs_are_new || !epochs.contains(begins.epoch.as_str()));
}

#[tokio::test]
async fn a_broker_goes_on_from_what_comes_out() {
    let world = World::new(4, 40);
    let new = SimulatedDisk::default();
    repair(&world.disk, Arc::new(new.clone()), &circumstances()).unwrap();
    check(&new, true).await;
    let directory: Arc<dyn Directory> = Arc::new(world.disk.clone());
    compact(&directory, &circumstances()).unwrap();
    check(&world.disk, false).await;
    renew(directory, &circumstances()).unwrap();
    check(&world.disk, true).await;
}
