//! The contract of brokers, against a server whose clock goes with the test's.

use std::sync::{Arc, LazyLock, Mutex};

use campanile::redis::Servers;
use campanile_engine::broker::Broker;
use campanile_engine::testkit::contract::{Bench, Fixture, lifetimes};

use crate::support::redis::{RedisServer, broker, settings};
use crate::support::run;

/// One server for all whose clock stands still.
fn shared(fixture: &Fixture) -> Arc<dyn Broker> {
    static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
    broker(fixture, settings(Servers::Single(SERVER.address())))
}

campanile_engine::broker_contract!(shared, run; subscriptions, history, keys);

/// Keeps a server for as long as the broker is there that is returned with it.
fn with_clock(fixture: &Fixture, servers: &Mutex<Vec<RedisServer>>) -> Arc<dyn Broker> {
    let server = RedisServer::with_clock();
    fixture.clock.lead(server.clock());
    let broker = broker(fixture, settings(Servers::Single(server.address())));
    servers.lock().expect("nobody panics here").push(server);
    broker
}

mod moved_clock {
    use super::*;
    use campanile_engine::testkit::contract::deltas;

    macro_rules! cases {
        ($($group:ident::$case:ident),* $(,)?) => {
            $(
                #[test]
                fn $case() {
                    let servers = Mutex::default();
                    let bench = Bench::new(|fixture| with_clock(fixture, &servers));
                    run($group::$case(&bench));
                }
            )*
        };
    }

    cases!(
        deltas::a_publication_that_asks_brings_the_one_before,
        deltas::a_history_of_one_has_the_one_before,
        deltas::what_stays_out_of_history_has_nothing_to_do_with_it,
        deltas::what_was_removed_is_not_brought,
        deltas::what_expired_is_not_brought,
        deltas::a_repeat_is_not_what_the_next_one_follows,
        lifetimes::history_expires_as_a_whole_and_keeps_the_position,
        lifetimes::each_publish_renews_the_lifetime,
        lifetimes::metadata_that_expired_comes_back_with_another_epoch,
        lifetimes::keys_are_forgotten_after_five_minutes,
    );
}
