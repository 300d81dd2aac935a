//! Publications that are suppressed: repeats by their key, old states by their version.

use futures_util::future::join_all;

use super::{Bench, kept, offsets, passing};
use crate::broker::{NewPublication, Published, Version};

fn keyed(name: &str, key: &str) -> NewPublication {
    NewPublication {
        idempotency_key: Some(key.into()),
        ..kept(name, "1")
    }
}

fn versioned(number: u64, epoch: &str) -> NewPublication {
    NewPublication {
        version: Some(Version {
            number,
            epoch: epoch.into(),
        }),
        ..kept("c", "1")
    }
}

fn offset(published: Published) -> Option<u64> {
    published.position.map(|position| position.offset)
}

/// A second call with a key does nothing and says what the first did.
pub async fn a_repeat_has_the_first_outcome_and_is_not_delivered(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let first = bench.publish(keyed("c", "k")).await;
    bench.publish(keyed("c", "other")).await;
    let repeat = bench.publish(keyed("c", "k")).await;
    assert!(!first.is_suppressed && repeat.is_suppressed);
    assert_eq!((offset(first), offset(repeat)), (Some(1), Some(1)));
    assert_eq!(bench.publication(0).await.offset, 1);
    assert_eq!(bench.publication(0).await.offset, 2);
    assert!(bench.is_quiet(0).await);
}

/// Keys are remembered for channels without history too.
pub async fn keys_work_without_history(bench: &Bench) {
    let new = || NewPublication {
        retention: None,
        ..keyed("c", "k")
    };
    let first = bench.publish(new()).await;
    let repeat = bench.publish(new()).await;
    assert!(!first.is_suppressed && repeat.is_suppressed);
    assert_eq!((offset(first), offset(repeat)), (None, None));
    assert_eq!(bench.history("c").await.top.offset, 0);
}

/// The same key means nothing in another channel.
pub async fn keys_of_channels_do_not_mix(bench: &Bench) {
    bench.publish(keyed("a", "k")).await;
    assert!(!bench.publish(keyed("b", "k")).await.is_suppressed);
}

/// A version that is not newer is suppressed, and the top is told.
pub async fn an_old_version_is_suppressed(bench: &Bench) {
    bench.subscribe(0, "c").await;
    assert_eq!(offset(bench.publish(versioned(5, "e")).await), Some(1));
    for number in [5, 4, 1] {
        let old = bench.publish(versioned(number, "e")).await;
        assert!(old.is_suppressed, "version {number}");
        assert_eq!(offset(old), Some(1));
    }
    assert_eq!(offset(bench.publish(versioned(6, "e")).await), Some(2));
    assert_eq!(bench.publication(0).await.offset, 1);
    assert_eq!(bench.publication(0).await.offset, 2);
    assert!(bench.is_quiet(0).await);
    assert_eq!(offsets(&bench.history("c").await), [1, 2]);
}

/// Another epoch starts anew; the empty one compares with every epoch.
pub async fn versions_of_another_epoch_are_not_compared(bench: &Bench) {
    bench.publish(versioned(5, "e")).await;
    assert!(bench.publish(versioned(5, "")).await.is_suppressed);
    assert!(!bench.publish(versioned(1, "f")).await.is_suppressed);
    assert!(bench.publish(versioned(1, "f")).await.is_suppressed);
    assert!(!bench.publish(versioned(2, "e")).await.is_suppressed);
}

/// A publish without a version in between changes nothing about what was seen.
pub async fn a_publish_without_a_version_keeps_the_seen_one(bench: &Bench) {
    bench.publish(versioned(5, "e")).await;
    assert_eq!(offset(bench.publish(kept("c", "1")).await), Some(2));
    assert!(bench.publish(versioned(5, "e")).await.is_suppressed);
    assert!(!bench.publish(versioned(6, "e")).await.is_suppressed);
}

/// Without history a version is ignored.
pub async fn versions_count_only_with_retention(bench: &Bench) {
    bench.publish(versioned(5, "")).await;
    let new = NewPublication {
        version: versioned(1, "").version,
        ..passing("c", "1")
    };
    let published = bench.publish(new).await;
    assert!(!published.is_suppressed && published.position.is_none());
}

/// Repeats that come at the same time are one publication with one outcome.
pub async fn concurrent_repeats_are_one_publication(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let all = join_all((0..8).map(|_| bench.publish(keyed("c", "k")))).await;
    assert!(all.iter().all(|published| offset(*published) == Some(1)));
    let fresh = all.iter().filter(|published| !published.is_suppressed);
    assert_eq!(fresh.count(), 1);
    assert_eq!(bench.publication(0).await.offset, 1);
    assert!(bench.is_quiet(0).await);
}
