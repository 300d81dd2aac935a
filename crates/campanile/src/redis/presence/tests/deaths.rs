//! Nodes that die.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use super::super::keys as names;
use super::super::purge::purge_node;
use super::server::{Server, keys};
use super::*;

/// Pretends that somebody else purges, so that nobody does.
async fn hold_up_purges(node: &Node) {
    let redis = &node.presence.shared.redis;
    let [_, purger, _] = names::registry(redis);
    let command: [&[u8]; 5] = [b"SET", purger.as_bytes(), b"another", b"EX", b"600"];
    redis.ask(&command).await.unwrap();
}

/// When the last lease ends that any node has, since 1970.
async fn last_lease(node: &Node) -> Duration {
    let redis = &node.presence.shared.redis;
    let [leases, ..] = names::registry(redis);
    let command: [&[u8]; 5] = [b"ZRANGE", leases.as_bytes(), b"-1", b"-1", b"WITHSCORES"];
    let last = redis.ask(&command).await.unwrap();
    let ends = last.list().unwrap()[1].text().unwrap();
    Duration::from_millis(ends.parse().unwrap())
}

/// Redis has the same clock: it is on the same machine.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[tokio::test]
async fn entries_of_a_killed_node_vanish_together_and_before_they_are_purged() {
    let server = Server::start();
    let (a, b) = (Node::start(&server).await, Node::start(&server).await);
    hold_up_purges(&b).await;
    let channels = ["c", "d", "e"];
    for (number, name) in (0..).step_by(10).zip(channels) {
        a.add(name, &session("both", number)).await;
        a.add(name, &session("gone", number + 1)).await;
        b.add(name, &session("both", number + 2)).await;
        b.add(name, &session("here", number + 3)).await;
        assert_eq!(b.stats(name).await, (4, 3));
    }
    drop(a);
    // Nobody prolongs it any more.
    assert!(last_lease(&b).await <= now() + LEASE);
    until(async || b.stats("c").await != (4, 3)).await;
    for name in channels {
        assert_eq!(b.stats(name).await, (2, 2), "{name}");
        assert_eq!(b.list(name).await.len(), 2, "{name}");
    }
    let left = keys(&b.presence.shared.redis).await;
    assert!(
        left.iter().filter(|key| key.contains("entries")).count() == 6,
        "{left:?}"
    );
}

#[tokio::test]
async fn users_of_several_dead_nodes_are_not_counted() {
    let server = Server::start();
    let (a, b) = (Node::start(&server).await, Node::start(&server).await);
    let c = Node::start(&server).await;
    hold_up_purges(&c).await;
    for (number, node) in (0..).zip([&a, &b, &c]) {
        node.add("c", &session("all", number)).await;
        node.add("c", &session(&format!("only{number}"), 10 + number))
            .await;
    }
    a.add("c", &session("dead", 20)).await;
    b.add("c", &session("dead", 21)).await;
    assert_eq!(c.stats("c").await, (8, 5));
    drop((a, b));
    until(async || c.stats("c").await.0 == 2).await;
    assert_eq!(c.stats("c").await, (2, 2));
}

#[tokio::test]
async fn leaves_of_a_dead_node_are_told_once_by_survivors_that_race() {
    let server = Server::start();
    let (a, mut b) = (Node::start(&server).await, Node::start(&server).await);
    let mut c = Node::start(&server).await;
    let sessions: Vec<_> = (0..900).map(|number| session("u", number)).collect();
    for name in ["c", "d"] {
        join_all(sessions.iter().map(|info| a.add(name, info))).await;
    }
    b.add("c", &session("u", 5_000)).await;
    hold_up_purges(&b).await;
    let dead = a.presence.shared.membership.identity().unwrap().own();
    drop(a);
    until(async || b.stats("c").await.0 == 1).await;
    let shared = [&b, &c].map(|node| Arc::clone(&node.presence.shared));
    let [first, second] = shared.each_ref().map(|shared| purge_node(shared, dead));
    let mut told = Vec::new();
    let mut purging = std::pin::pin!(async { tokio::join!(first, second) });
    loop {
        tokio::select! {
            (first, second) = &mut purging => {
                first.and(second).unwrap();
                break;
            }
            Some(notice) = b.notices.recv() => told.push(notice),
            Some(notice) = c.notices.recv() => told.push(notice),
        }
    }
    for node in [&mut b, &mut c] {
        while let Ok(notice) = node.notices.try_recv() {
            told.push(notice);
        }
    }
    let leaves = told.iter().map(|notice| match &notice.attendance {
        Attendance::Leave(info) => (&notice.channel, info.client),
        Attendance::Join(info) => panic!("nobody came: {info:?}"),
    });
    assert_eq!(leaves.collect::<BTreeSet<_>>().len(), 1_800);
    assert_eq!(told.len(), 1_800, "each once");
    assert_eq!(b.stats("c").await, (1, 1));
    let left = keys(&b.presence.shared.redis).await;
    assert_eq!(
        left.len(),
        5,
        "those of the session that is there: {left:?}"
    );
}

#[tokio::test]
async fn the_elected_survivor_purges_and_tells() {
    let server = Server::start();
    let (a, mut b) = (Node::start(&server).await, Node::start(&server).await);
    let mut c = Node::start(&server).await;
    for number in 0..10 {
        a.add("c", &session("u", number)).await;
    }
    drop(a);
    until(async || keys(&b.presence.shared.redis).await.is_empty()).await;
    assert_eq!(b.noticed().len() + c.noticed().len(), 10);
    let purged = b.presence.purged() + c.presence.purged();
    assert_eq!(purged, 10);
}

#[tokio::test]
async fn the_first_node_to_start_purges_what_all_others_left() {
    let server = Server::start();
    let a = Node::start(&server).await;
    a.add("c", &session("u", 1)).await;
    drop(a);
    let mut b = Node::start(&server).await;
    until(async || keys(&b.presence.shared.redis).await.is_empty()).await;
    assert_eq!(b.noticed(), [Attendance::Leave(session("u", 1))]);
    assert_eq!(b.stats("c").await, (0, 0));
}
