//! The memory broker keeps the contract of brokers.

use std::sync::Arc;

use campanile_engine::broker::{Broker, MemoryBroker};
use campanile_engine::testkit::contract::Fixture;
use futures_util::FutureExt;

fn memory(fixture: &Fixture) -> Arc<dyn Broker> {
    Arc::new(MemoryBroker::new(
        fixture.inboxes.clone(),
        Arc::clone(&fixture.budget),
        fixture.clock.clone(),
        fixture.meta_ttl_min,
    ))
}

fn at_once(case: impl Future<Output = ()>) {
    case.now_or_never().expect("memory never waits");
}

campanile_engine::broker_contract!(memory, at_once);
