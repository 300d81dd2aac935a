//! What is kept, and how it is read.

use super::{Bench, EVERYTHING, info, kept, offsets};
use crate::broker::{HistoryQuery, NewPublication, Retention};
use crate::testkit::channel;

async fn publish(bench: &Bench, count: usize) {
    for _ in 0..count {
        bench.publish(kept("c", "1")).await;
    }
}

async fn read(bench: &Bench, query: HistoryQuery) -> Vec<u64> {
    let page = bench.page("c", query).await;
    offsets(&page)
}

/// Both directions hold everything that is kept.
pub async fn pages_go_forward_and_reverse(bench: &Bench) {
    publish(bench, 3).await;
    assert_eq!(read(bench, EVERYTHING).await, [1, 2, 3]);
    let reverse = HistoryQuery {
        reverse: true,
        ..EVERYTHING
    };
    assert_eq!(read(bench, reverse).await, [3, 2, 1]);
    assert_eq!(bench.history("c").await.top.offset, 3);
}

/// The offset that a page starts from is not in it.
pub async fn pages_start_behind_or_before_an_offset(bench: &Bench) {
    publish(bench, 4).await;
    let since = |since, reverse| HistoryQuery {
        since: Some(since),
        reverse,
        ..EVERYTHING
    };
    assert_eq!(read(bench, since(2, false)).await, [3, 4]);
    assert_eq!(read(bench, since(0, false)).await, [1, 2, 3, 4]);
    assert_eq!(read(bench, since(4, false)).await, [0; 0]);
    assert_eq!(read(bench, since(9, false)).await, [0; 0]);
    assert_eq!(read(bench, since(u64::MAX, false)).await, [0; 0]);
    assert_eq!(read(bench, since(3, true)).await, [2, 1]);
    assert_eq!(read(bench, since(1, true)).await, [0; 0]);
}

/// Forward, a page starts with the oldest that is kept; reverse, nothing is known to be older.
pub async fn a_start_that_is_no_longer_kept_is_not_invented(bench: &Bench) {
    publish(bench, 7).await;
    let since = |since, reverse| HistoryQuery {
        since: Some(since),
        reverse,
        ..EVERYTHING
    };
    assert_eq!(read(bench, since(1, false)).await, [4, 5, 6, 7]);
    assert_eq!(read(bench, since(2, true)).await, [0; 0]);
    assert_eq!(read(bench, since(4, true)).await, [0; 0]);
    assert_eq!(read(bench, since(5, true)).await, [4]);
}

/// A limit counts from where the page starts.
pub async fn limits_cut_pages_and_zero_asks_for_the_top(bench: &Bench) {
    publish(bench, 4).await;
    let limited = |limit, reverse| HistoryQuery {
        limit,
        reverse,
        ..EVERYTHING
    };
    assert_eq!(read(bench, limited(2, false)).await, [1, 2]);
    assert_eq!(read(bench, limited(2, true)).await, [4, 3]);
    let top = bench.page("c", limited(0, false)).await;
    assert_eq!((offsets(&top), top.top.offset), (vec![], 4));
}

/// A full history forgets its oldest publications, down to a smaller size too.
pub async fn the_oldest_make_room(bench: &Bench) {
    publish(bench, 6).await;
    assert_eq!(read(bench, EVERYTHING).await, [3, 4, 5, 6]);
    let retention = Retention {
        size: 2,
        ..super::RETENTION
    };
    let smaller = NewPublication {
        retention: Some(retention),
        ..kept("c", "1")
    };
    bench.publish(smaller).await;
    assert_eq!(read(bench, EVERYTHING).await, [6, 7]);
}

/// Publications go, epoch and offset stay.
pub async fn removing_history_keeps_the_position(bench: &Bench) {
    publish(bench, 3).await;
    let before = bench.history("c").await.top;
    for name in ["c", "never published to"] {
        let removed = bench.broker.remove_history(&channel(name)).await;
        removed.expect("the broker can be reached");
    }
    let after = bench.history("c").await;
    assert_eq!((offsets(&after), after.top), (vec![], before));
    publish(bench, 1).await;
    let next = bench.history("c").await;
    assert_eq!(offsets(&next), [4]);
    assert_eq!(next.top.epoch, before.epoch);
}

/// A channel that was never published to has an epoch and offset 0.
pub async fn an_unknown_channel_is_empty(bench: &Bench) {
    let page = bench.history("c").await;
    assert!(page.publications.is_empty() && page.top.offset == 0);
    assert!(!page.top.epoch.is_empty());
    let published = bench.publish(kept("c", "1")).await;
    let epoch = published.position.map(|position| position.epoch);
    assert_eq!(epoch, Some(page.top.epoch), "whoever read it can recover");
}

/// Publisher and labels are kept.
pub async fn publications_keep_all_that_they_came_with(bench: &Bench) {
    let tags = [("a".into(), "b".into())].into();
    let new = NewPublication {
        info: Some(info("42")),
        tags: Some(Box::new(tags)),
        ..kept("c", "{}")
    };
    bench.subscribe(0, "c").await;
    bench.publish(new).await;
    let delivered = bench.publication(0).await;
    let stored = bench.history("c").await.publications.remove(0);
    assert_eq!(delivered, stored);
    assert_eq!(stored.info, Some(info("42")));
    let tags = stored.tags.as_deref().expect("tags are kept");
    assert_eq!((&*stored.data, &*tags["a"]), (&b"{}"[..], "b"));
}
