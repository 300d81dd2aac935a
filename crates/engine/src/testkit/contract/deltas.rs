//! The publication before, which deliveries bring when they are asked to.

use std::sync::Arc;

use campanile_protocol::Publication;

use super::{Bench, kept, passing};
use crate::broker::{NewPublication, Retention};
use crate::delivery::Event;
use crate::testkit::channel;

fn wanting_delta(new: NewPublication) -> NewPublication {
    NewPublication {
        wants_delta: true,
        ..new
    }
}

/// The offset of the next delivery, and of what it brings.
async fn next(bench: &Bench) -> (u64, Option<u64>) {
    let delivery = bench.delivery(0).await;
    let Event::Publication {
        publication,
        previous,
        ..
    } = &delivery.event
    else {
        panic!("no publication: {delivery:?}");
    };
    let offset = |publication: &Arc<Publication>| publication.offset;
    (publication.offset, previous.as_ref().map(offset))
}

/// Who asks gets the publication with the offset before, whether that asked or not.
pub async fn a_publication_that_asks_brings_the_one_before(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.publish(wanting_delta(kept("c", "1"))).await;
    bench.publish(kept("c", "2")).await;
    for _ in 0..6 {
        bench.publish(wanting_delta(kept("c", "3"))).await;
    }
    assert_eq!(next(bench).await, (1, None), "there is none before");
    assert_eq!(next(bench).await, (2, None), "it did not ask");
    for offset in 3..=8 {
        assert_eq!(next(bench).await, (offset, Some(offset - 1)));
    }
}

/// A history of one holds what is needed, although it is no longer there afterwards.
pub async fn a_history_of_one_has_the_one_before(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let retention = Retention {
        size: 1,
        ..super::RETENTION
    };
    for offset in 1..=3 {
        let new = NewPublication {
            retention: Some(retention),
            ..wanting_delta(kept("c", "1"))
        };
        bench.publish(new).await;
        assert_eq!(
            next(bench).await,
            (offset, Some(offset - 1).filter(|before| *before > 0))
        );
    }
}

/// What is not in the history neither has one before it nor is one.
pub async fn what_stays_out_of_history_has_nothing_to_do_with_it(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.publish(kept("c", "1")).await;
    bench.publish(wanting_delta(passing("c", "2"))).await;
    bench.publish(wanting_delta(kept("c", "3"))).await;
    for expected in [(1, None), (0, None), (2, Some(1))] {
        assert_eq!(next(bench).await, expected);
    }
}

/// A removed publication is brought by nobody.
pub async fn what_was_removed_is_not_brought(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.publish(kept("c", "1")).await;
    let removed = bench.broker.remove_history(&channel("c")).await;
    removed.expect("the broker can be reached");
    bench.publish(wanting_delta(kept("c", "2"))).await;
    bench.publish(wanting_delta(kept("c", "3"))).await;
    for expected in [(1, None), (2, None), (3, Some(2))] {
        assert_eq!(next(bench).await, expected);
    }
}

/// Neither is one that expired. Wants a broker that lives by the bench's clock.
pub async fn what_expired_is_not_brought(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.publish(kept("c", "1")).await;
    bench.clock.advance(super::RETENTION.ttl);
    bench.publish(wanting_delta(kept("c", "2"))).await;
    bench.publish(wanting_delta(kept("c", "3"))).await;
    for expected in [(1, None), (2, None), (3, Some(2))] {
        assert_eq!(next(bench).await, expected);
    }
}

/// A repeat is not delivered, and is not what the next one follows.
pub async fn a_repeat_is_not_what_the_next_one_follows(bench: &Bench) {
    bench.subscribe(0, "c").await;
    for _ in 0..2 {
        let new = NewPublication {
            idempotency_key: Some("k".into()),
            ..wanting_delta(kept("c", "1"))
        };
        bench.publish(new).await;
    }
    bench.publish(wanting_delta(kept("c", "2"))).await;
    assert_eq!(next(bench).await, (1, None));
    assert_eq!(next(bench).await, (2, Some(1)));
}
