//! A Redis behind Sentinels, one of which is enough here.

use std::time::Duration;

use campanile::redis::{Access, Servers};
use campanile_engine::testkit::contract::kept;

use crate::support::redis::{Peer, RedisServer, keep_soon, settings};
use crate::support::{eventually, run};

/// A replica that has all that came before this.
pub(super) fn replica_of(primary: &RedisServer) -> RedisServer {
    let replica = RedisServer::start();
    replica.ask(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    eventually("the replica is there", || {
        replica
            .ask(&["INFO", "replication"])
            .contains("master_link_status:up")
    });
    replica
}

/// Waits until the replica has everything.
pub(super) fn catch_up(primary: &RedisServer, replica: &RedisServer) {
    let offset = |server: &RedisServer| {
        let text = server.ask(&["INFO", "replication"]);
        let line = text
            .lines()
            .find(|line| line.starts_with("master_repl_offset:"));
        line.map(str::to_owned)
    };
    eventually("the replica has all", || offset(primary) == offset(replica));
}

fn servers(sentinel: &RedisServer) -> Servers {
    Servers::Sentinel {
        sentinels: vec![sentinel.address()],
        master: "main".into(),
        access: Access::default(),
    }
}

#[test]
fn nodes_follow_a_failover() {
    let mut primary = RedisServer::start();
    let replica = replica_of(&primary);
    let sentinel = RedisServer::sentinel(primary.port, Duration::from_millis(500));
    eventually("the sentinel knows the replica", || {
        sentinel
            .ask(&["SENTINEL", "MASTER", "main"])
            .contains("num-slaves\r\n$1\r\n1")
    });
    let mut a = Peer::start(settings(servers(&sentinel)));
    run(async {
        a.subscribe("c").await.unwrap();
        let before = a.keep("c", "1").await.unwrap();
        catch_up(&primary, &replica);
        primary.kill();
        let after = keep_soon(&a, "c", "2").await;
        assert_eq!(
            (after.epoch, after.offset),
            (before.epoch, 2),
            "nothing was lost"
        );
        let mut last = a.publication().await.offset;
        while last < after.offset {
            // What was published while nobody listened is in the history.
            let (offsets, top) = a.history("c").await;
            assert_eq!((offsets, top.offset), (vec![1, 2], 2));
            last = 2;
        }
        a.node.wait();
        let third = a.keep("c", "3").await.unwrap();
        assert_eq!(third.offset, 3);
    });
}

#[test]
fn a_tail_that_a_failover_lost_is_noticed() {
    let mut primary = RedisServer::start();
    let replica = replica_of(&primary);
    let sentinel = RedisServer::sentinel(primary.port, Duration::from_secs(60));
    let settings = settings(servers(&sentinel));
    let mut a = Peer::start(settings.clone());
    let b = Peer::start(settings.clone());
    run(async {
        a.subscribe("lost").await.unwrap();
        a.subscribe("kept").await.unwrap();
        let lost = b.keep("lost", "1").await.unwrap();
        let kept_at = b.keep("kept", "1").await.unwrap();
        catch_up(&primary, &replica);
        // From here on it has nothing more, and is a primary.
        replica.ask(&["REPLICAOF", "NO", "ONE"]);
        for _ in 0..3 {
            b.keep("lost", "2").await.unwrap();
        }
        for _ in 0..5 {
            a.publication().await;
        }
        primary.kill();
        sentinel.ask(&["SENTINEL", "REMOVE", "main"]);
        let port = replica.port.to_string();
        sentinel.ask(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]);
        let after = keep_soon(&b, "kept", "2").await;
        assert_eq!((after.epoch, after.offset), (kept_at.epoch, 2));
        // Somebody publishes first who does not know what there was, more than was lost.
        let stranger = Peer::start(settings);
        for offset in 2..=9 {
            assert_eq!(stranger.keep("lost", "3").await.unwrap().offset, offset);
        }
        // Whoever saw what was lost says so, and all get another epoch.
        a.node.wait();
        let (offsets, top) = a.history("lost").await;
        assert_ne!(top.epoch, lost.epoch);
        assert!(offsets.is_empty() && top.offset == 0);
        let next = b
            .publish(kept("lost", "4"))
            .await
            .unwrap()
            .position
            .unwrap();
        assert_eq!((next.epoch, next.offset), (top.epoch, 1));
    });
}
