//! What is forgotten when, by the bench's clock.

use std::time::Duration;

use super::{BUDGET_BYTES, Bench, RETENTION, kept, offsets, passing};
use crate::broker::{IDEMPOTENCY_TTL, NewPublication, Retention};

fn pass(bench: &Bench, time: Duration) {
    bench.clock.advance(time);
    bench.broker.sweep();
}

/// All publications go together; the position stays, swept or not.
pub async fn history_expires_as_a_whole_and_keeps_the_position(bench: &Bench) {
    for _ in 0..3 {
        bench.publish(kept("c", "1")).await;
    }
    let top = bench.history("c").await.top;
    bench
        .clock
        .advance(RETENTION.ttl - Duration::from_millis(1));
    assert_eq!(offsets(&bench.history("c").await), [1, 2, 3]);
    bench.clock.advance(Duration::from_millis(1));
    for _ in 0..2 {
        let page = bench.history("c").await;
        assert_eq!((offsets(&page), page.top), (vec![], top));
        bench.broker.sweep();
    }
    bench.publish(kept("c", "1")).await;
    let page = bench.history("c").await;
    assert_eq!(offsets(&page), [4]);
    assert_eq!(page.top.epoch, top.epoch);
}

/// The lifetime is that of the whole history, from the last publish on.
pub async fn each_publish_renews_the_lifetime(bench: &Bench) {
    for _ in 0..3 {
        bench.publish(kept("c", "1")).await;
        pass(bench, RETENTION.ttl * 3 / 4);
    }
    assert_eq!(offsets(&bench.history("c").await), [1, 2, 3]);
}

/// A stream that was forgotten never comes back as the one it was.
pub async fn metadata_that_expired_comes_back_with_another_epoch(bench: &Bench) {
    bench.publish(kept("c", "1")).await;
    let before = bench.history("c").await.top;
    pass(bench, RETENTION.meta_ttl - Duration::from_millis(1));
    assert_eq!(bench.history("c").await.top, before);
    pass(bench, Duration::from_millis(1));
    let after = bench.history("c").await.top;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset, 0);
    let published = bench.publish(kept("c", "1")).await;
    let position = published.position.expect("history is kept");
    assert_eq!((position.epoch, position.offset), (after.epoch, 1));
}

/// What a subscriber was told stays true while it is there.
pub async fn subscribers_keep_the_epoch_alive(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let before = bench.publish(kept("c", "1")).await.position;
    pass(bench, RETENTION.meta_ttl * 3);
    let top = bench.history("c").await.top;
    assert_eq!(Some(top), before);
    bench.unsubscribe(0, "c").await;
    assert_ne!(bench.history("c").await.top.epoch, top.epoch);
}

/// A key works for five minutes from its first use, whatever is kept beside it.
pub async fn keys_are_forgotten_after_five_minutes(bench: &Bench) {
    let keyed = |retention| NewPublication {
        idempotency_key: Some("k".into()),
        retention,
        ..passing("c", "1")
    };
    for retention in [None, Some(RETENTION)] {
        assert!(!bench.publish(keyed(retention)).await.is_suppressed);
        pass(bench, IDEMPOTENCY_TTL - Duration::from_millis(1));
        assert!(bench.publish(keyed(retention)).await.is_suppressed);
        bench.clock.advance(Duration::from_millis(1));
    }
    assert!(!bench.publish(keyed(None)).await.is_suppressed, "unswept");
}

/// Metadata that is past its time while keys are not gives no sweep endless work.
pub async fn keys_that_outlive_the_metadata_do_not_hold_up_others(bench: &Bench) {
    let short = Retention {
        size: 1,
        ttl: Duration::from_secs(1),
        meta_ttl: Duration::from_secs(1),
    };
    // So many that those with a key and those without meet in whatever the broker sweeps at once.
    for number in 0..500 {
        let new = NewPublication {
            retention: Some(short),
            idempotency_key: Some("k".into()),
            ..passing(&format!("keyed{number}"), "1")
        };
        bench.publish(new).await;
    }
    bench.clock.advance(Duration::from_secs(2));
    bench.broker.sweep();
    let keys_only = bench.budget.stored();
    for number in 0..500 {
        let new = NewPublication {
            retention: Some(short),
            ..passing(&format!("plain{number}"), "1")
        };
        bench.publish(new).await;
    }
    for _ in 0..2 {
        pass(bench, Duration::from_secs(2));
    }
    assert!(keys_only < BUDGET_BYTES && keys_only > 0);
    assert_eq!(bench.budget.stored(), keys_only);
    pass(bench, IDEMPOTENCY_TTL);
    assert_eq!(bench.budget.stored(), 0);
}
