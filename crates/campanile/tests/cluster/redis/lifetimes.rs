//! What is forgotten when. A server's clock cannot be moved, so lifetimes are short here.

use std::time::Duration;

use campanile::redis::Servers;
use campanile_engine::broker::{NewPublication, Retention};
use campanile_engine::delivery::Event;
use campanile_engine::testkit::contract::kept;

use crate::support::redis::{Peer, RedisServer, settings};
use crate::support::{eventually, run};

/// Publishes with these lifetimes, in milliseconds.
fn short(data: &str, ttl: u64, meta_ttl: u64) -> NewPublication {
    NewPublication {
        retention: Some(Retention {
            size: 10,
            ttl: Duration::from_millis(ttl),
            meta_ttl: Duration::from_millis(meta_ttl),
        }),
        wants_delta: true,
        ..kept("c", data)
    }
}

fn start() -> (RedisServer, Peer) {
    let server = RedisServer::start();
    let peer = Peer::start(settings(Servers::Single(server.address())));
    (server, peer)
}

fn await_size(server: &RedisServer, keys: usize) {
    let expected = format!(":{keys}\r\n");
    eventually("keys expire", || server.ask(&["DBSIZE"]) == expected);
}

/// Metadata, history and era.
const ALL: usize = 3;

#[test]
fn a_history_expires_as_a_whole_and_its_position_stays() {
    let (server, mut peer) = start();
    run(async {
        peer.subscribe("c").await.unwrap();
        for _ in 0..3 {
            peer.publish(short("1", 200, 60_000)).await.unwrap();
        }
        let top = peer.history("c").await.1;
        await_size(&server, ALL - 1);
        assert_eq!(peer.history("c").await, (vec![], top));
        let next = peer.publish(short("1", 200, 60_000)).await.unwrap();
        let next = next.position.unwrap();
        assert_eq!((next.epoch, next.offset), (top.epoch, 4));
        for offset in 1..=4 {
            let delivery = peer.delivery().await;
            let Event::Publication {
                publication,
                previous,
                ..
            } = &delivery.event
            else {
                panic!("no publication: {delivery:?}");
            };
            assert_eq!(publication.offset, offset);
            assert_eq!(
                previous.is_some(),
                offset == 2 || offset == 3,
                "what expired is not brought"
            );
        }
    });
}

#[test]
fn each_publish_renews_the_lifetime() {
    let (server, peer) = start();
    run(async {
        peer.publish(short("1", 1, 60_000)).await.unwrap();
        peer.publish(short("1", 60_000, 120_000)).await.unwrap();
        for (kind, at_least) in [("s", 50_000), ("m", 110_000)] {
            let keys = server.ask(&["KEYS", &format!("*.{kind}.*")]);
            let name = keys.lines().nth(2).unwrap();
            let left = server.ask(&["PTTL", name]);
            let left: i64 = left.trim().trim_start_matches(':').parse().unwrap();
            assert!(left > at_least, "{kind}: {left}");
        }
    });
}

#[test]
fn metadata_that_expired_comes_back_with_another_epoch() {
    let (server, peer) = start();
    run(async {
        peer.publish(short("1", 100, 100)).await.unwrap();
        let before = peer.history("c").await.1;
        await_size(&server, ALL - 2);
        // Of the shortest lifetime that is configured, which was not kept to here.
        server.ask(&["FLUSHALL"]);
        let after = peer.history("c").await.1;
        assert_ne!(after.epoch, before.epoch);
        assert_eq!(after.offset, 0);
        let published = peer
            .publish(short("1", 100, 60_000))
            .await
            .unwrap()
            .position
            .unwrap();
        assert_eq!((published.epoch, published.offset), (after.epoch, 1));
    });
}

#[test]
fn metadata_that_is_forgotten_before_its_time_is_noticed_by_who_saw_more() {
    let (server, mut peer) = start();
    run(async {
        peer.subscribe("c").await.unwrap();
        for publish_first in [false, true] {
            for _ in 0..3 {
                peer.keep("c", "1").await.unwrap();
                peer.publication().await;
            }
            let before = peer.history("c").await.1;
            let keys = server.ask(&["KEYS", "*.m.*"]);
            server.ask(&["DEL", keys.lines().nth(2).unwrap()]);
            if publish_first {
                peer.keep("c", "2").await.unwrap();
            }
            let after = peer.history("c").await.1;
            assert_ne!(after.epoch, before.epoch, "its offsets are given again");
            assert_eq!(after.offset, u64::from(publish_first));
        }
    });
}

#[test]
fn an_era_ends_with_the_shortest_lifetime_whoever_is_configured_with_it() {
    let (server, peer) = start();
    run(async {
        peer.history("c").await;
        let keys = server.ask(&["KEYS", "*.e.*"]);
        let era = keys.lines().nth(2).unwrap();
        let left = || {
            let left = server.ask(&["PTTL", era]);
            left.trim().trim_start_matches(':').parse::<u64>().unwrap()
        };
        let configured = left();
        let longer = (configured * 10).to_string();
        server.ask(&["PEXPIRE", era, &longer]);
        peer.history("c").await;
        assert!(left() <= configured + 1000, "{} ms", left());
    });
}

#[test]
fn whoever_listens_keeps_the_metadata_alive_by_asking() {
    let (server, peer) = start();
    run(async {
        peer.subscribe("c").await.unwrap();
        peer.publish(short("1", 100, 60_000)).await.unwrap();
        let keys = server.ask(&["KEYS", "*.m.*"]);
        let name = keys.lines().nth(2).unwrap();
        let left = || {
            let left = server.ask(&["PTTL", name]);
            left.trim().trim_start_matches(':').parse::<i64>().unwrap()
        };
        server.ask(&["PEXPIRE", name, "40000"]);
        peer.history("c").await;
        assert!(left() <= 40_000, "it is not half over");
        server.ask(&["PEXPIRE", name, "20000"]);
        peer.history("c").await;
        assert!(left() > 50_000, "renewed");
    });
}

#[test]
fn keys_live_for_five_minutes_from_their_use() {
    let (server, peer) = start();
    run(async {
        let new = NewPublication {
            idempotency_key: Some("k".into()),
            retention: None,
            ..kept("c", "1")
        };
        peer.publish(new).await.unwrap();
        for kind in ["k", "a"] {
            let keys = server.ask(&["KEYS", &format!("*.{kind}.*")]);
            let left = server.ask(&["PTTL", keys.lines().nth(2).unwrap()]);
            let left: i64 = left.trim().trim_start_matches(':').parse().unwrap();
            assert!((290_000..=300_000).contains(&left), "{left}");
        }
    });
}
