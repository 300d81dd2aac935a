//! What may happen to a Redis that nodes share.

use std::time::{Duration, Instant};

use campanile::redis::{Servers, Settings};
use campanile::vitals::Vitals as _;
use campanile_engine::broker::BrokerError;
use campanile_engine::testkit::contract::{kept, passing};
use futures_util::future::{join, join_all};

use super::sentinel::{catch_up, replica_of};
use crate::support::redis::{Peer, RedisServer, keep_soon, settings};
use crate::support::{eventually, run};

#[test]
fn a_server_that_comes_back_empty_has_new_epochs() {
    let mut server = RedisServer::start();
    let mut peer = Peer::start(settings(Servers::Single(server.address())));
    run(async {
        peer.subscribe("c").await.unwrap();
        let before = peer.keep("c", "1").await.unwrap();
        server.kill();
        server.run();
        peer.lapse("c").await;
        let (offsets, after) = peer.history("c").await;
        assert_ne!(after.epoch, before.epoch);
        assert!(offsets.is_empty() && after.offset == 0);
        assert_eq!(keep_soon(&peer, "c", "2").await.offset, 1);
        assert_eq!(&*peer.publication().await.data, b"2");
    });
}

#[test]
fn a_server_that_comes_back_whole_goes_on() {
    let mut server = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let peer = Peer::start(settings(Servers::Single(server.address())));
    run(async {
        peer.subscribe("c").await.unwrap();
        let before = peer.keep("c", "1").await.unwrap();
        server.kill();
        eventually("it is noticed", || peer.node.link.obstacle().is_some());
        let refused = peer.publish(passing("c", "1")).await;
        assert_eq!(refused, Err(BrokerError::Unreachable));
        server.run();
        let after = keep_soon(&peer, "c", "2").await;
        assert_eq!((after.epoch, after.offset), (before.epoch, 2));
        let (offsets, _) = peer.history("c").await;
        assert_eq!(offsets, [1, 2]);
        peer.node.wait();
        assert!(peer.node.metric("redis_reconnects") >= 1);
    });
}

#[test]
fn what_too_few_replicas_have_is_not_acknowledged() {
    let primary = RedisServer::start();
    let replica = replica_of(&primary);
    let settings = Settings {
        replicas: Some((1, Duration::from_millis(1500))),
        ..settings(Servers::Single(primary.address()))
    };
    let peer = Peer::start(settings);
    run(async {
        let all = (0..50).map(|_| peer.publish(kept("c", "1")));
        for published in join_all(all).await {
            published.unwrap();
        }
        catch_up(&primary, &replica);
        replica.freeze(true);
        let unsafe_one = peer.publish(kept("c", "2")).await;
        assert_eq!(unsafe_one, Err(BrokerError::Unanswered));
        peer.publish(passing("c", "3"))
            .await
            .expect("it enters no history");
        replica.freeze(false);
        peer.publish(kept("c", "4")).await.unwrap();
    });
}

#[test]
fn a_frozen_server_fails_requests_in_bounded_time() {
    let server = RedisServer::start();
    let io_timeout = Duration::from_millis(300);
    let settings = Settings {
        io_timeout,
        connect_timeout: io_timeout,
        ..settings(Servers::Single(server.address()))
    };
    let peer = Peer::start(settings);
    run(async {
        peer.subscribe("c").await.unwrap();
        peer.keep("c", "1").await.unwrap();
        server.freeze(true);
        let began = Instant::now();
        let unanswered = peer.publish(kept("c", "2")).await;
        assert_eq!(unanswered, Err(BrokerError::Unanswered));
        assert!(began.elapsed() < io_timeout * 5, "{:?}", began.elapsed());
        let refused = peer.publish(kept("c", "3")).await;
        assert_eq!(refused, Err(BrokerError::Unreachable));
        assert!(peer.node.link.obstacle().is_some());
        server.freeze(false);
        keep_soon(&peer, "c", "4").await;
        let (offsets, top) = peer.history("c").await;
        let whole: Vec<u64> = (1..=top.offset).collect();
        assert_eq!(offsets, whole);
    });
}

#[test]
fn requests_beyond_what_may_be_under_way_are_refused() {
    let server = RedisServer::start();
    let settings = Settings {
        io_timeout: Duration::from_secs(30),
        ..settings(Servers::Single(server.address()))
    };
    let peer = Peer::start(settings);
    run(async {
        server.freeze(true);
        let large = "1".repeat(1024 * 1024);
        let all = (0..100).map(|_| peer.publish(passing("c", &large)));
        // Polled in this order: all are sent before anything is answered.
        let thaw = async { server.freeze(false) };
        let (all, ()) = join(join_all(all), thaw).await;
        let count = |outcome| {
            all.iter()
                .filter(|one| one.as_ref().err() == outcome)
                .count()
        };
        assert_eq!(count(Some(&BrokerError::Busy)), 37, "{all:?}");
        assert_eq!(count(None), 63, "{all:?}");
    });
}

#[test]
fn everything_is_subscribed_to_again_in_batches() {
    const CHANNELS: usize = 10_000;
    let server = RedisServer::start();
    let mut peer = Peer::start(settings(Servers::Single(server.address())));
    run(async {
        for batch in (0..CHANNELS).collect::<Vec<_>>().chunks(500) {
            let names: Vec<_> = batch.iter().map(ToString::to_string).collect();
            let all = names.iter().map(|name| peer.subscribe(name));
            for subscribed in join_all(all).await {
                subscribed.unwrap();
            }
        }
        server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let mut lapsed = std::collections::HashSet::new();
        while lapsed.len() < CHANNELS {
            let delivery = peer.delivery().await;
            lapsed.insert(delivery.channel.as_str().to_owned());
        }
        assert_eq!(peer.node.metric("redis_resumed_channels"), CHANNELS as u64);
        let count = server.ask(&["INFO", "commandstats"]);
        let line = count
            .lines()
            .find(|line| line.starts_with("cmdstat_subscribe:"));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1)).unwrap();
        // One for each batch, one for each channel at most before, two for probes.
        assert!(
            calls.parse::<usize>().unwrap() <= CHANNELS + 2 + CHANNELS / 1000,
            "{calls}"
        );
        peer.keep("9999", "1").await.unwrap();
        assert_eq!(peer.publication().await.offset, 1);
    });
}
