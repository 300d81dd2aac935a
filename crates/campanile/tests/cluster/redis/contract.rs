//! The Redis broker keeps the contract of brokers.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use campanile::background::Background;
use campanile::redis::{Redis, RedisLink, Servers, Settings};
use campanile::vitals::Vitals as _;
use campanile_engine::broker::Broker;
use campanile_engine::broker::remote::RemoteBroker;
use campanile_engine::testkit::contract::Fixture;

use crate::support::redis::{RedisServer, settings};

static BACKGROUND: LazyLock<Background> = LazyLock::new(|| Background::start().unwrap());

/// A broker over `settings`, which is connected.
pub(crate) fn broker(fixture: &Fixture, settings: Settings) -> Arc<dyn Broker> {
    let redis = Redis::start(settings, &BACKGROUND.spawner());
    let connect = |hearing| {
        let link = Arc::new(RedisLink::open(&redis, hearing, fixture.meta_ttl_min));
        wait_for(&link);
        Ok::<_, std::convert::Infallible>(link)
    };
    let Ok(broker) = RemoteBroker::new(fixture.inboxes.clone(), fixture.clock.clone(), connect);
    Arc::new(broker)
}

fn wait_for(link: &RedisLink) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while link.obstacle().is_some() {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            link.obstacle()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a case to its end, within a time.
pub(crate) fn to_the_end(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let limited = async { tokio::time::timeout(crate::support::PATIENCE, case).await };
    runtime.unwrap().block_on(limited).expect("the case ends");
}

/// One server for all cases, which have a prefix of their own each.
fn single(fixture: &Fixture) -> Arc<dyn Broker> {
    static SERVER: Mutex<Option<RedisServer>> = Mutex::new(None);
    let mut server = SERVER.lock().unwrap();
    let server = server.get_or_insert_with(RedisServer::start);
    let servers = Servers::Single(server.address());
    broker(
        fixture,
        Settings {
            prefix: own_prefix(),
            ..settings(servers)
        },
    )
}

fn own_prefix() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("case{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

campanile_engine::broker_contract!(single, to_the_end; subscriptions, history, deltas, keys);
