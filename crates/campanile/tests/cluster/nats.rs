//! The broker of NATS keeps the contract of brokers, as far as it says, and survives what servers do.

use std::future::Future;

use campanile_engine::testkit::contract::{Bench, lifetimes};

use crate::support::nats::{PATIENCE, broker, fresh_prefix, settings, shared_server};

/// Runs a case to its end, or to that of patience.
fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let ended = tokio::time::timeout(PATIENCE, case).await;
        ended.expect("the case comes to an end");
    });
}

/// The contract against one server.
mod contract {
    use super::*;

    campanile_engine::broker_contract!(
        |fixture| broker(fixture, settings(vec![shared_server()], &fresh_prefix())),
        run;
        subscriptions, history, deltas, keys
    );

    /// Of lifetimes, what does not depend on the server's clock or on memory here.
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
}
