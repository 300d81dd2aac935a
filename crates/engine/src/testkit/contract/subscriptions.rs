//! Who receives what, and in which order.

use super::{Bench, info, kept, passing};
use crate::broker::Attendance;
use crate::delivery::{Admission, Event};
use crate::testkit::channel;

/// The first publication of a stream has offset 1, and there are no holes.
pub async fn offsets_are_contiguous_from_one(bench: &Bench) {
    bench.subscribe(0, "c").await;
    for offset in 1..=5 {
        let published = bench.publish(kept("c", "1")).await;
        let position = published.position.expect("history is kept");
        assert_eq!((position.offset, published.is_suppressed), (offset, false));
        assert_eq!(bench.publication(0).await.offset, offset);
    }
}

/// One order per channel, for all shards.
pub async fn all_shards_receive_the_same_order(bench: &Bench) {
    for shard in 0..3 {
        bench.subscribe(shard, "c").await;
    }
    for text in ["1", "2", "3"] {
        bench.publish(kept("c", text)).await;
        bench.publish(passing("c", "null")).await;
    }
    for shard in 0..3 {
        for text in ["1", "null", "2", "null", "3", "null"] {
            let publication = bench.publication(shard).await;
            assert_eq!(&*publication.data, text.as_bytes(), "shard {shard}");
        }
    }
}

/// Subscribing and telling the top are one step.
pub async fn subscribing_tells_the_top_above_which_everything_comes(bench: &Bench) {
    assert_eq!(bench.subscribe(0, "c").await, 0);
    bench.publish(kept("c", "1")).await;
    assert_eq!(bench.subscribe(1, "c").await, 1);
    bench.publish(kept("c", "2")).await;
    assert_eq!(bench.publication(0).await.offset, 1);
    assert_eq!(bench.publication(0).await.offset, 2);
    let mut first = bench.publication(1).await;
    // Over a network, what was published before may come after the top was told.
    while first.offset <= 1 {
        first = bench.publication(1).await;
    }
    assert_eq!(first.offset, 2);
}

/// Deliveries end with the subscription, and other shards do not notice.
pub async fn unsubscribing_stops_deliveries_to_that_shard_alone(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.subscribe(1, "c").await;
    bench.unsubscribe(0, "c").await;
    bench.unsubscribe(0, "c").await;
    bench.unsubscribe(2, "never subscribed").await;
    bench.publish(kept("c", "1")).await;
    assert_eq!(bench.publication(1).await.offset, 1);
    assert!(bench.is_quiet(0).await);
}

/// Subscribing is idempotent.
pub async fn subscribing_twice_delivers_once(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.subscribe(0, "c").await;
    bench.publish(kept("c", "1")).await;
    assert_eq!(bench.publication(0).await.offset, 1);
    assert!(bench.is_quiet(0).await);
    bench.unsubscribe(0, "c").await;
    bench.subscribe(1, "c").await;
    bench.publish(kept("c", "2")).await;
    assert_eq!(bench.publication(1).await.offset, 2);
    assert!(bench.is_quiet(0).await, "one unsubscribe ends both");
}

/// Without history a publication is delivered and has no offset.
pub async fn publishing_without_retention_delivers_without_a_position(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let published = bench.publish(passing("c", "1")).await;
    assert_eq!(published.position, None);
    assert!(!published.is_suppressed);
    assert_eq!(bench.publication(0).await.offset, 0);
    assert!(bench.history("c").await.publications.is_empty());
    let unheard = bench.publish(passing("nobody", "1")).await;
    assert_eq!(unheard.position, None);
}

/// A publication that stays out of history leaves the stream as it is.
pub async fn skipping_history_does_not_move_the_stream(bench: &Bench) {
    bench.subscribe(0, "c").await;
    bench.publish(kept("c", "1")).await;
    bench.publish(passing("c", "2")).await;
    let published = bench.publish(kept("c", "3")).await;
    assert_eq!(published.position.map(|position| position.offset), Some(2));
    for offset in [1, 0, 2] {
        assert_eq!(bench.publication(0).await.offset, offset);
    }
}

/// Announcements take the way of publications, and are never stored.
pub async fn joins_and_leaves_come_in_order_with_publications(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let announce = async |attendance| {
        let told = bench
            .broker
            .announce(&channel("c"), attendance, Admission::default())
            .await;
        told.expect("the broker can be reached");
    };
    announce(Attendance::Join(info("a"))).await;
    bench.publish(kept("c", "1")).await;
    announce(Attendance::Leave(info("b"))).await;
    assert!(matches!(&bench.delivery(0).await.event, Event::Join(who) if *who == info("a")));
    assert_eq!(bench.publication(0).await.offset, 1);
    assert!(matches!(&bench.delivery(0).await.event, Event::Leave(who) if *who == info("b")));
    assert!(bench.is_quiet(0).await);
    assert_eq!(bench.history("c").await.publications.len(), 1);
}

/// A delivery says where it happened and in which epoch its offset counts.
pub async fn deliveries_name_their_channel_and_epoch(bench: &Bench) {
    bench.subscribe(0, "c").await;
    let published = bench.publish(kept("c", "1")).await;
    let delivery = bench.delivery(0).await;
    assert_eq!(delivery.channel, channel("c"));
    let Event::Publication { epoch, .. } = &delivery.event else {
        panic!("no publication: {delivery:?}");
    };
    assert_eq!(
        Some(*epoch),
        published.position.map(|position| position.epoch)
    );
    assert!(!epoch.is_empty());
    assert_eq!(bench.history("c").await.top.epoch, *epoch);
}

/// Each channel has a stream of its own.
pub async fn channels_do_not_mix(bench: &Bench) {
    bench.subscribe(0, "a").await;
    bench.subscribe(1, "b").await;
    for name in ["a", "b", "a"] {
        bench.publish(kept(name, "1")).await;
    }
    assert_eq!(bench.publication(0).await.offset, 1);
    assert_eq!(bench.publication(0).await.offset, 2);
    assert_eq!(bench.publication(1).await.offset, 1);
    assert!(bench.is_quiet(0).await && bench.is_quiet(1).await);
}
