//! The contract of brokers, against one server.

use campanile_engine::testkit::contract::{Bench, lifetimes};

use crate::support::nats::{broker, fresh_prefix, settings, shared_server};
use crate::support::run;

campanile_engine::broker_contract!(
    |fixture| broker(fixture, settings(vec![shared_server()], &fresh_prefix())),
    run;
    subscriptions, history, deltas, keys
);

/// Of lifetimes, what depends neither on the server's clock nor on memory here.
macro_rules! lifetimes {
    ($($case:ident),*) => {
        $(
            #[test]
            fn $case() {
                let settings = settings(vec![shared_server()], &fresh_prefix());
                let bench = Bench::new(|fixture| broker(fixture, settings));
                run(lifetimes::$case(&bench));
            }
        )*
    };
}

lifetimes!(
    history_expires_as_a_whole_and_keeps_the_position,
    each_publish_renews_the_lifetime,
    metadata_that_expired_comes_back_with_another_epoch
);
