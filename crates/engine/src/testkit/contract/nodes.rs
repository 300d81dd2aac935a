//! Two nodes that share a sequencer: one order for both, whoever publishes.
//!
//! Cases take a bench for each node, made by the same `build`; `nodes_contract!` makes a test of
//! each. A broker of one node passes none of them.

use std::sync::Arc;

use futures_util::future::{join, join_all};

use super::{Bench, EVERYTHING, info, kept, offsets, passing};
use crate::broker::{Attendance, Broker, BrokerError, NewPublication, Published, Version};
use crate::delivery::{Admission, Event};
use crate::testkit::channel;

/// A bench for each of two nodes.
pub struct Nodes(pub Bench, pub Bench);

impl Nodes {
    /// Those of the brokers that `build` makes, which share a sequencer.
    pub fn new(build: impl Fn(&super::Fixture) -> Arc<dyn Broker>) -> Self {
        Self(Bench::new(&build), Bench::new(&build))
    }

    fn both(&self) -> [&Bench; 2] {
        [&self.0, &self.1]
    }
}

/// The offset of what was published.
fn offset(published: Result<Published, BrokerError>) -> u64 {
    let published = published.expect("the broker takes it");
    published.position.expect("history is kept").offset
}

/// Publishes so many at the same time.
async fn publish_all(
    bench: &Bench,
    count: usize,
    new: impl Fn() -> NewPublication,
) -> Vec<Result<Published, BrokerError>> {
    join_all((0..count).map(|_| bench.broker.publish(new()))).await
}

/// All nodes are told of all publications in the order of their offsets, without gaps, while both
/// publish at the same time.
pub async fn all_nodes_see_one_order_without_gaps(nodes: &Nodes) {
    const EACH: usize = 50;
    for bench in nodes.both() {
        bench.subscribe(0, "c").await;
    }
    let (first, second) = join(
        publish_all(&nodes.0, EACH, || kept("c", "1")),
        publish_all(&nodes.1, EACH, || kept("c", "2")),
    )
    .await;
    let mut given: Vec<u64> = first.into_iter().chain(second).map(offset).collect();
    given.sort_unstable();
    assert!(given.into_iter().eq(1..=2 * EACH as u64));
    for expected in 1..=2 * EACH as u64 {
        let (at_first, at_second) = join(nodes.0.publication(0), nodes.1.publication(0)).await;
        assert_eq!(at_first.offset, expected);
        assert_eq!(at_first, at_second);
    }
}

/// Deliveries name the epoch that the publisher was told, at every node.
pub async fn all_nodes_know_one_epoch(nodes: &Nodes) {
    nodes.1.subscribe(0, "c").await;
    let position = nodes.0.publish(kept("c", "1")).await.position;
    let position = position.expect("history is kept");
    let delivery = nodes.1.delivery(0).await;
    assert!(
        matches!(&delivery.event, Event::Publication { epoch, .. } if *epoch == position.epoch)
    );
    for bench in nodes.both() {
        let page = bench.page("c", EVERYTHING).await;
        assert_eq!((offsets(&page), page.top), (vec![1], position));
    }
}

/// What is kept nowhere crosses too.
pub async fn publications_without_history_cross(nodes: &Nodes) {
    nodes.1.subscribe(0, "c").await;
    nodes.0.publish(passing("c", "1")).await;
    let publication = nodes.1.publication(0).await;
    assert_eq!((publication.offset, &*publication.data), (0, &b"1"[..]));
}

/// Joins and leaves cross, in order with what their node publishes.
pub async fn joins_and_leaves_cross(nodes: &Nodes) {
    nodes.1.subscribe(0, "c").await;
    for attendance in [Attendance::Join(info("a")), Attendance::Leave(info("a"))] {
        let (broker, name) = (&nodes.0.broker, channel("c"));
        let announced = broker.announce(&name, attendance, Admission::default());
        announced.await.expect("the broker can be reached");
        nodes.0.publish(kept("c", "1")).await;
    }
    assert!(matches!(&nodes.1.delivery(0).await.event, Event::Join(who) if *who == info("a")));
    assert_eq!(nodes.1.publication(0).await.offset, 1);
    assert!(matches!(&nodes.1.delivery(0).await.event, Event::Leave(who) if *who == info("a")));
    assert_eq!(nodes.1.publication(0).await.offset, 2);
}

/// A key that one node used is known to the other, also when both use it at the same time.
pub async fn keys_of_one_node_are_known_to_the_other(nodes: &Nodes) {
    for retention in [kept("c", "1").retention, None] {
        let name = if retention.is_some() { "c" } else { "d" };
        let keyed = || NewPublication {
            idempotency_key: Some("k".into()),
            retention,
            ..passing(name, "1")
        };
        let (first, second) = join(
            publish_all(&nodes.0, 3, keyed),
            publish_all(&nodes.1, 3, keyed),
        )
        .await;
        let all = first.into_iter().chain(second);
        let all: Vec<_> = all.map(|one| one.expect("the broker takes it")).collect();
        let fresh = all.iter().filter(|published| !published.is_suppressed);
        assert_eq!(fresh.count(), 1);
        assert!(all.iter().all(|one| one.position == all[0].position));
    }
}

/// A version that one node published makes older ones of the other a no-operation.
pub async fn versions_of_one_node_count_for_the_other(nodes: &Nodes) {
    let versioned = |number| NewPublication {
        version: Some(Version {
            number,
            epoch: "e".into(),
        }),
        ..kept("c", "1")
    };
    assert!(!nodes.0.publish(versioned(2)).await.is_suppressed);
    assert!(nodes.1.publish(versioned(1)).await.is_suppressed);
    assert!(!nodes.1.publish(versioned(3)).await.is_suppressed);
}

/// What one node removes is gone for the other, and the stream goes on for both.
pub async fn removing_history_counts_for_all_nodes(nodes: &Nodes) {
    nodes.0.publish(kept("c", "1")).await;
    let removed = nodes.1.broker.remove_history(&channel("c")).await;
    removed.expect("the broker can be reached");
    assert!(offsets(&nodes.0.history("c").await).is_empty());
    assert_eq!(offset(nodes.1.try_publish(kept("c", "2")).await), 2);
    assert_eq!(offsets(&nodes.0.history("c").await), [2]);
}

/// A node whose last shard has left hears nothing more, and the other goes on.
pub async fn a_node_that_left_is_not_told(nodes: &Nodes) {
    for bench in nodes.both() {
        bench.subscribe(0, "c").await;
    }
    nodes.0.unsubscribe(0, "c").await;
    nodes.1.publish(kept("c", "1")).await;
    assert_eq!(nodes.1.publication(0).await.offset, 1);
    // Whatever was for it has been overtaken by this.
    nodes.0.subscribe(1, "d").await;
    nodes.1.publish(passing("d", "1")).await;
    nodes.0.publication(1).await;
    assert!(nodes.0.is_quiet(0).await);
}
