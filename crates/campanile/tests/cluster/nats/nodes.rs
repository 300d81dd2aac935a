//! Several nodes at one server.

use std::sync::Arc;

use campanile::nats::{Histories, NatsSettings};
use campanile_engine::broker::{
    Broker as _, BrokerError, HistoryQuery, NewPublication, Published, Retention,
};
use campanile_engine::delivery::{Delivery, Event, Inbox, Inboxes, ShardId};
use campanile_engine::testkit::channel;
use campanile_engine::testkit::contract::{EVERYTHING, RETENTION, kept, passing};
use campanile_engine::time::{Clock, MachineClock};
use campanile_protocol::{Position, Publication};
use futures_util::future::{join, join_all};

use crate::support::nats::{NatsNode, fresh_prefix, settings, shared_server};
use crate::support::run;

/// A node with one shard.
pub(super) struct Peer {
    pub(super) node: NatsNode,
    pub(super) prefix: String,
    inbox: Inbox,
}

impl Peer {
    /// One that is ready.
    pub(super) fn start(settings: NatsSettings) -> Self {
        let peer = Self::begin(settings);
        peer.node.wait();
        peer
    }

    pub(super) fn begin(settings: NatsSettings) -> Self {
        let (inboxes, mut shards) = Inboxes::new(1);
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
        let prefix = settings.prefix.clone();
        let node = NatsNode::begin(settings, inboxes, &clock);
        let inbox = shards.pop().expect("there is one");
        Self {
            node,
            prefix,
            inbox,
        }
    }

    pub(super) async fn subscribe(&self, name: &str) -> Result<Position, BrokerError> {
        let shard = ShardId::new(0).expect("the first one");
        self.node.broker.subscribe(shard, &channel(name)).await
    }

    pub(super) async fn publish(&self, new: NewPublication) -> Result<Published, BrokerError> {
        self.node.broker.publish(new).await
    }

    /// Publishes into a history; the offset.
    pub(super) async fn keep(&self, name: &str, text: &str) -> Result<Position, BrokerError> {
        let published = self.publish(kept(name, text)).await?;
        Ok(published.position.expect("history is kept"))
    }

    pub(super) async fn history(&self, name: &str, query: HistoryQuery) -> (Vec<u64>, Position) {
        let page = self.node.broker.history(&channel(name), query).await;
        let page = page.expect("the broker can be read");
        let publications = page.publications.iter();
        let offsets = publications.map(|publication| publication.offset);
        (offsets.collect(), page.top)
    }

    pub(super) async fn delivery(&mut self) -> Arc<Delivery> {
        self.inbox
            .recv()
            .await
            .expect("the broker keeps its inboxes")
    }

    /// The next publication, whatever else comes before.
    pub(super) async fn publication(&mut self) -> Arc<Publication> {
        loop {
            if let Event::Publication { publication, .. } = &self.delivery().await.event {
                return Arc::clone(publication);
            }
        }
    }
}

/// Two nodes of one system.
fn two() -> (Peer, Peer) {
    let settings = settings(vec![shared_server()], &fresh_prefix());
    (Peer::start(settings.clone()), Peer::start(settings))
}

#[test]
fn nodes_that_publish_at_once_share_one_sequence() {
    let (mut a, mut b) = two();
    run(async {
        a.subscribe("c").await.unwrap();
        b.subscribe("c").await.unwrap();
        let from = async |peer: &Peer| {
            let all = (0..200).map(|_| peer.keep("c", "1"));
            join_all(all)
                .await
                .into_iter()
                .map(|position| position.unwrap().offset)
                .collect::<Vec<_>>()
        };
        let (mut offsets, others) = join(from(&a), from(&b)).await;
        offsets.extend(others);
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=400).collect::<Vec<_>>());
        for peer in [&mut a, &mut b] {
            for offset in 1..=400 {
                assert_eq!(peer.publication().await.offset, offset);
            }
        }
    });
}

#[test]
fn what_one_node_publishes_is_heard_by_the_other() {
    let (a, mut b) = two();
    run(async {
        b.subscribe("c").await.unwrap();
        a.keep("c", "1").await.unwrap();
        assert_eq!(b.publication().await.offset, 1);
        // Both take one connection to one server.
        a.publish(passing("c", "2")).await.unwrap();
        assert_eq!(&*b.publication().await.data, b"2");
        let keyed = || NewPublication {
            idempotency_key: Some("k".into()),
            ..passing("c", "3")
        };
        assert!(!a.publish(keyed()).await.unwrap().is_suppressed);
        assert!(
            b.publish(keyed()).await.unwrap().is_suppressed,
            "the key is everybody's"
        );
        assert_eq!(&*b.publication().await.data, b"3");
    });
}

#[test]
fn names_are_taken_as_they_are() {
    let (a, mut b) = two();
    run(async {
        let names = [
            "a.b",
            "a b",
            "a*",
            "*",
            ">",
            "a.>",
            "$a",
            "ä€😀",
            "a\tb",
            "%2e",
            "{}",
            "news:a#1,2",
        ];
        for name in names {
            b.subscribe(name).await.unwrap();
            assert_eq!(a.keep(name, "1").await.unwrap().offset, 1, "{name}");
            let delivery = b.delivery().await;
            assert_eq!(delivery.channel.as_str(), name);
            assert_eq!(b.history(name, EVERYTHING).await.0, [1]);
        }
    });
}

#[test]
fn a_long_history_is_read_from_anywhere() {
    let mut settings = settings(vec![shared_server()], &fresh_prefix());
    settings.histories = settings.histories.map(|histories| Histories {
        size_max: 2000,
        ..histories
    });
    let peer = Peer::start(settings);
    run(async {
        let retention = Retention {
            size: 2000,
            ..RETENTION
        };
        let new = || NewPublication {
            retention: Some(retention),
            ..kept("c", "1")
        };
        for _ in 0..30 {
            let all = join_all((0..50).map(|_| peer.publish(new()))).await;
            assert!(all.iter().all(Result::is_ok));
            // In a channel of its own: so that numbers of messages are not offsets.
            peer.publish(kept("other", "1")).await.unwrap();
        }
        let query = |since, reverse, limit| HistoryQuery {
            since,
            reverse,
            limit,
            bytes: usize::MAX,
        };
        for (since, reverse, limit, expected) in [
            (None, false, 3, vec![1, 2, 3]),
            (Some(1497), false, 100, vec![1498, 1499, 1500]),
            (Some(700), false, 2, vec![701, 702]),
            (None, true, 2, vec![1500, 1499]),
            (Some(900), true, 2, vec![899, 898]),
        ] {
            let (offsets, top) = peer.history("c", query(since, reverse, limit)).await;
            assert_eq!((offsets, top.offset), (expected, 1500));
        }
        let (all, _) = peer.history("c", EVERYTHING).await;
        assert_eq!(all, (1..=1500).collect::<Vec<_>>());
    });
}

#[test]
fn a_removed_history_is_removed_for_all() {
    let (a, b) = two();
    run(async {
        for _ in 0..3 {
            a.keep("c", "1").await.unwrap();
        }
        assert_eq!(b.history("c", EVERYTHING).await.0, [1, 2, 3]);
        let removed = b.node.broker.remove_history(&channel("c")).await;
        removed.unwrap();
        let (offsets, top) = a.history("c", EVERYTHING).await;
        assert_eq!((offsets, top.offset), (vec![], 3));
        assert_eq!(a.keep("c", "1").await.unwrap().offset, 4);
    });
}

#[test]
fn a_publication_that_is_too_long_is_refused_and_others_go_on() {
    let (a, _) = two();
    run(async {
        let long = "x".repeat(2 * 1024 * 1024);
        assert_eq!(a.keep("c", &long).await, Err(BrokerError::StorageFailed));
        let passed = a.publish(passing("c", &long)).await;
        assert_eq!(passed, Err(BrokerError::StorageFailed));
        assert_eq!(a.keep("c", "1").await.unwrap().offset, 1);
    });
}
