//! A remote broker over a link to a sequencer keeps the contract of brokers.

use std::convert::Infallible;
use std::sync::Arc;

use campanile_engine::broker::{Broker, RemoteBroker};
use campanile_engine::testkit::StubSequencer;
use campanile_engine::testkit::contract::Fixture;
use futures_util::FutureExt;

fn remote(fixture: &Fixture) -> Arc<dyn Broker> {
    let sequencer = StubSequencer::new(Arc::clone(&fixture.clock));
    let connect = |hearing| Ok::<_, Infallible>(sequencer.link(hearing));
    let broker = RemoteBroker::new(fixture.inboxes.clone(), fixture.clock.clone(), connect);
    let Ok(broker) = broker;
    Arc::new(broker)
}

fn at_once(case: impl Future<Output = ()>) {
    case.now_or_never()
        .expect("everything is answered at once here");
}

campanile_engine::broker_contract!(remote, at_once; subscriptions, history, deltas, keys);
