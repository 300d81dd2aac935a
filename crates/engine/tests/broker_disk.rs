//! The disk broker keeps the contract of brokers, whether it syncs each group or not and whether it
//! has what it is asked for in memory or not.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::{Broker, DiskBroker, DiskOptions, Durability};
use campanile_engine::testkit::contract::Fixture;
use campanile_engine::testkit::disk::SimulatedDisk;

/// So that no test writes megabytes of zeros.
const SEGMENT_BYTES: u64 = 64 * 1024;

fn disk(fixture: &Fixture, options: DiskOptions) -> Arc<dyn Broker> {
    let broker = DiskBroker::open(
        Arc::new(SimulatedDisk::default()),
        options,
        fixture.inboxes.clone(),
        Arc::clone(&fixture.budget),
        fixture.clock.clone(),
        fixture.meta_ttl_min,
    );
    Arc::new(broker.expect("a new disk can be used"))
}

fn to_the_end(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs no driver").block_on(case);
}

mod sync {
    use super::*;

    fn sync(fixture: &Fixture) -> Arc<dyn Broker> {
        let options = DiskOptions {
            durability: Durability::Sync,
            segment_bytes: SEGMENT_BYTES,
            ..DiskOptions::default()
        };
        disk(fixture, options)
    }

    campanile_engine::broker_contract!(sync, to_the_end);
}

mod relaxed {
    use super::*;

    fn relaxed(fixture: &Fixture) -> Arc<dyn Broker> {
        let durability = Durability::Relaxed {
            sync_interval: Duration::from_millis(1),
        };
        let options = DiskOptions {
            durability,
            segment_bytes: SEGMENT_BYTES,
            ..DiskOptions::default()
        };
        disk(fixture, options)
    }

    campanile_engine::broker_contract!(relaxed, to_the_end);
}

/// Everything is read from the disk, and what is needed is moved all the time. Without the cases
/// that count on memory: deltas are made of what is there, and what is not counts as more than it is.
mod cold {
    use super::*;

    fn cold(fixture: &Fixture) -> Arc<dyn Broker> {
        let options = DiskOptions {
            segment_bytes: 1024,
            cache_bytes: 0,
            ..DiskOptions::default()
        };
        disk(fixture, options)
    }

    campanile_engine::broker_contract!(
        cold, to_the_end; subscriptions, history, keys, lifetimes
    );
}
