//! The contract of brokers, against one server.

use std::sync::{Arc, LazyLock};

use campanile::redis::Servers;
use campanile_engine::broker::Broker;
use campanile_engine::testkit::contract::{Bench, Fixture, deltas};

use crate::support::redis::{RedisServer, broker, settings};
use crate::support::run;

static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

fn shared(fixture: &Fixture) -> Arc<dyn Broker> {
    broker(fixture, settings(Servers::Single(SERVER.address())))
}

/// Builds brokers that have the same prefix.
fn share() -> impl Fn(&Fixture) -> Arc<dyn Broker> {
    let settings = settings(Servers::Single(SERVER.address()));
    move |fixture| broker(fixture, settings.clone())
}

campanile_engine::nodes_contract!(share, run);
campanile_engine::broker_contract!(shared, run; subscriptions, history, keys);

/// Of deltas, what does not want the server's clock moved; `lifetimes` has that.
macro_rules! deltas {
    ($($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                let bench = Bench::new(shared);
                run(deltas::$case(&bench));
            }
        )*
    };
}

deltas!(
    a_publication_that_asks_brings_the_one_before,
    a_history_of_one_has_the_one_before,
    what_stays_out_of_history_has_nothing_to_do_with_it,
    what_was_removed_is_not_brought,
    a_repeat_is_not_what_the_next_one_follows,
);
