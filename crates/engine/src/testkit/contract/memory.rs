//! What a broker that stores in the node's memory takes of its budget.

use super::{BUDGET_BYTES, Bench, EVERYTHING, RETENTION, kept, offsets, passing};
use crate::broker::{BrokerError, HistoryQuery, IDEMPOTENCY_TTL, NewPublication, Retention};
use crate::limits::{IDEMPOTENCY_KEYS_MAX, PUBLICATION_OVERHEAD_BYTES};
use crate::testkit::channel;

/// Whether the broker has no more room, wherever it stores.
fn is_full(error: BrokerError) -> bool {
    matches!(error, BrokerError::OutOfMemory | BrokerError::StorageFull)
}

/// Fills the store until `bytes` do not fit any more.
async fn fill(bench: &Bench, bytes: usize) {
    let data = "1".repeat(bytes);
    let mut number = 0;
    loop {
        match bench
            .try_publish(kept(&format!("fill{number}"), &data))
            .await
        {
            Ok(_) => number += 1,
            Err(error) => return assert!(is_full(error), "{error:?}"),
        }
    }
}

/// A refused publication is neither stored nor delivered, and moves nothing.
pub async fn a_full_budget_refuses_and_delivers_nothing(bench: &Bench) {
    bench.subscribe(0, "c").await;
    fill(bench, 10_000).await;
    let refused = bench.try_publish(kept("c", &"1".repeat(10_000))).await;
    assert!(refused.is_err_and(is_full));
    assert_eq!(bench.history("c").await.top.offset, 0);
    let published = bench.publish(passing("c", "2")).await;
    assert_eq!(published.position, None, "what is not stored needs no room");
    assert_eq!(&*bench.publication(0).await.data, b"2");
    assert!(bench.is_quiet(0).await);
    assert!(bench.budget.stored() <= BUDGET_BYTES);
}

/// Nothing stays behind of history and keys, with and without subscribers.
pub async fn everything_is_given_back_when_it_expired(bench: &Bench) {
    bench.subscribe(0, "heard").await;
    for name in ["heard", "unheard"] {
        for key in ["a", "b", "c"] {
            let new = NewPublication {
                idempotency_key: Some(key.into()),
                ..kept(name, "12345")
            };
            bench.publish(new).await;
        }
    }
    assert!(bench.budget.stored() > 0);
    bench.clock.advance(RETENTION.meta_ttl.max(IDEMPOTENCY_TTL));
    bench.broker.sweep();
    assert_eq!(bench.budget.stored(), 0);
}

/// A full history takes no more than its size.
pub async fn trimming_gives_back(bench: &Bench) {
    bench.publish(kept("c", "1234")).await;
    let single = bench.budget.stored();
    for _ in 1..RETENTION.size {
        bench.publish(kept("c", "1234")).await;
    }
    let full = bench.budget.stored();
    for _ in 0..10 {
        bench.publish(kept("c", "1234")).await;
    }
    assert_eq!(bench.budget.stored(), full);
    let one = NewPublication {
        retention: Some(Retention {
            size: 1,
            ..RETENTION
        }),
        ..kept("c", "1234")
    };
    bench.publish(one).await;
    assert_eq!(bench.budget.stored(), single);
}

/// Removing history takes effect at once; what the channel itself takes goes with its position.
pub async fn removing_history_gives_back(bench: &Bench) {
    bench.publish(kept("c", "1234")).await;
    let full = bench.budget.stored();
    let removed = bench.broker.remove_history(&channel("c")).await;
    removed.expect("the broker can be reached");
    let left = bench.budget.stored();
    assert!(left > 0 && left + 4 <= full, "{left} of {full}");
    bench.clock.advance(RETENTION.meta_ttl);
    bench.broker.sweep();
    assert_eq!(bench.budget.stored(), 0);
}

/// Labels take memory as payloads do.
pub async fn tags_count(bench: &Bench) {
    bench.publish(kept("plain", "1")).await;
    let plain = bench.budget.stored();
    let tags = [("k".repeat(100), "v".repeat(200))].into();
    let new = NewPublication {
        tags: Some(Box::new(tags)),
        ..kept("tagged", "1")
    };
    bench.publish(new).await;
    assert!(bench.budget.stored() >= 2 * plain + 300);
}

/// Names cost nothing once nobody is subscribed, or anybody could fill the node with them.
pub async fn subscribing_to_unpublished_names_stores_nothing(bench: &Bench) {
    let before = bench.history("c0").await.top;
    for number in 0..100 {
        let name = format!("c{number}");
        bench.subscribe(0, &name).await;
        bench.publish(passing(&name, "1")).await;
        bench.unsubscribe(0, &name).await;
        bench.history(&name).await;
    }
    assert_eq!(bench.budget.stored(), 0);
    assert_eq!(bench.history("c0").await.top, before);
    bench.clock.advance(RETENTION.meta_ttl);
    let later = bench.history("c0").await.top;
    assert_ne!(later.epoch, before.epoch, "nothing was stored of it");
}

/// A channel remembers so many keys and refuses more; a live key is never given up.
pub async fn too_many_keys_are_refused_and_live_ones_kept(bench: &Bench) {
    let keyed = |key: usize| NewPublication {
        idempotency_key: Some(key.to_string().into()),
        ..passing("c", "1")
    };
    let mut taken = 0;
    let refusal = loop {
        match bench.try_publish(keyed(taken)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(taken <= IDEMPOTENCY_KEYS_MAX);
    if taken == IDEMPOTENCY_KEYS_MAX {
        assert_eq!(refusal, BrokerError::TooManyKeys);
    } else {
        assert!(is_full(refusal), "{refusal:?}");
    }
    assert!(bench.publish(keyed(0)).await.is_suppressed);
    bench.clock.advance(IDEMPOTENCY_TTL);
    bench.broker.sweep();
    assert!(!bench.publish(keyed(taken)).await.is_suppressed);
}

/// A page is bounded in bytes too, overhead included.
pub async fn bytes_cut_pages(bench: &Bench) {
    for data in ["11", "2", "333"] {
        bench.publish(kept("c", data)).await;
    }
    let bytes = |bytes, reverse| HistoryQuery {
        bytes,
        reverse,
        ..EVERYTHING
    };
    let overhead = PUBLICATION_OVERHEAD_BYTES;
    for (query, expected) in [
        (bytes(2 * overhead + 3, false), &[1, 2][..]),
        (bytes(2 * overhead + 2, false), &[1]),
        (bytes(overhead + 3, true), &[3]),
        (bytes(overhead, false), &[]),
    ] {
        assert_eq!(offsets(&bench.page("c", query).await), expected);
    }
}
