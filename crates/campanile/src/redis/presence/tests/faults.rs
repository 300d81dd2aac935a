//! Nodes that stand still, and a Redis that goes away.

use campanile_engine::broker::BrokerError;
use futures_util::future::join_all;

use super::server::{Server, keys};
use super::*;

#[tokio::test]
async fn a_node_that_was_suspended_comes_back_as_another() {
    let server = Server::start();
    let (mut a, mut b) = (Node::start(&server).await, Node::start(&server).await);
    for number in 0..3 {
        a.add("c", &session("u", number)).await;
    }
    let before = a.presence.shared.membership.identity().unwrap().own();
    let (resume, _stopped) = a.suspend();
    until(async || b.stats("c").await == (0, 0)).await;
    until(async || keys(&b.presence.shared.redis).await.is_empty()).await;
    assert_eq!(b.noticed().len(), 3, "they were said to have left");
    // One that leaves while nothing can be written is not written again.
    until(async || a.presence.shared.membership.identity().is_none()).await;
    a.remove("c", &session("u", 2)).await;
    drop(resume);
    until(async || b.stats("c").await == (2, 1)).await;
    let after = a.presence.shared.membership.identity().unwrap().own();
    assert_ne!(before, after);
    until(async || a.presence.unwritten() == 0).await;
    let mut joins = a.noticed();
    joins.sort_by_key(|join| match join {
        Attendance::Join(info) | Attendance::Leave(info) => info.client,
    });
    let back = [0, 1].map(|number| Attendance::Join(session("u", number)));
    assert_eq!(joins, back, "who was said to have left is said to be back");
    assert_eq!(b.noticed(), [], "and nobody leaves");
}

#[tokio::test]
async fn a_node_that_comes_back_before_it_is_purged_has_left_nobody() {
    let server = Server::start();
    let (mut a, mut b) = (Node::start(&server).await, Node::start(&server).await);
    let sessions: Vec<_> = (0..600).map(|number| session("u", number)).collect();
    join_all(sessions.iter().map(|info| a.add("c", info))).await;
    // As if its lease had been lost a moment ago.
    a.presence.shared.membership.abandon();
    until(async || {
        let identity = a.presence.shared.membership.identity();
        identity.is_some_and(|identity| identity.lives.len() > 1)
    })
    .await;
    // Those of the life before are in the next, each in one of them at any time.
    until(async || a.presence.unwritten() == 0 && b.stats("c").await == (600, 1)).await;
    let entries = async || {
        let keys = keys(&b.presence.shared.redis).await;
        keys.into_iter()
            .filter(|key| key.contains("entries"))
            .count()
    };
    until(async || entries().await == 1).await;
    assert_eq!(b.stats("c").await, (600, 1));
    assert_eq!((a.noticed(), b.noticed()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_redis_that_was_restarted_empty_is_told_everything_again() {
    let mut server = Server::start();
    let (mut a, mut b) = (Node::start(&server).await, Node::start(&server).await);
    let sessions: Vec<_> = (0..3_000).map(|number| session("u", number)).collect();
    for (name, some) in ["c", "d", "e"].into_iter().zip(sessions.chunks(1_000)) {
        join_all(some.iter().map(|info| a.add(name, info))).await;
    }
    b.add("c", &session("v", 9_000)).await;
    server.restart();
    until(async || {
        let stats = b.presence.stats(&channel("c")).await;
        stats.is_ok_and(|stats| (stats.clients, stats.users) == (1_001, 2))
    })
    .await;
    for name in ["d", "e"] {
        until(async || b.stats(name).await == (1_000, 1)).await;
    }
    assert_eq!((a.noticed(), b.noticed()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn while_redis_is_away_sessions_join_and_nobody_is_told_who_is_there() {
    let mut server = Server::start();
    let node = Node::start(&server).await;
    node.add("c", &session("u", 1)).await;
    server.stop();
    // As soon as it is known; until then whoever joins waits for an answer.
    until(async || !node.presence.shared.is_reachable()).await;
    node.add("c", &session("v", 2)).await;
    node.remove("c", &session("u", 1)).await;
    let stats = node.presence.stats(&channel("c")).await;
    assert!(
        matches!(
            stats,
            Err(BrokerError::Unreachable | BrokerError::Unanswered)
        ),
        "{stats:?}"
    );
    assert!(node.presence.list(&channel("c"), 9).await.is_err());
    assert!(node.presence.unwritten() > 0);
    server.restart();
    until(async || {
        let list = node.presence.list(&channel("c"), 9).await;
        list.is_ok_and(|list| list.is_some_and(|list| list == [session("v", 2)]))
    })
    .await;
    until(async || node.presence.unwritten() == 0).await;
}
