//! What nodes that live see of each other.

use std::sync::Arc;

use super::server::{Server, calls, keys};
use super::*;

mod contract {
    use super::*;

    /// With the server that it needs.
    struct Alone {
        node: Node,
        _server: Server,
    }

    impl std::ops::Deref for Alone {
        type Target = RedisPresence;

        fn deref(&self) -> &RedisPresence {
            &self.node.presence
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    mod single {
        use super::*;

        async fn build() -> Alone {
            let server = Server::start();
            Alone {
                node: Node::start(&server).await,
                _server: server,
            }
        }

        campanile_engine::presence_contract!(build, run);
    }

    mod cluster {
        use super::*;

        async fn build() -> Alone {
            let thread = Background::start().unwrap();
            let server = Server::start_cluster(&thread.spawner()).await;
            Alone {
                node: Node::start(&server).await,
                _server: server,
            }
        }

        campanile_engine::presence_contract!(build, run);
    }
}

#[tokio::test]
async fn a_user_with_sessions_on_two_nodes_counts_once() {
    let server = Server::start();
    let (a, b) = (Node::start(&server).await, Node::start(&server).await);
    a.add("c", &session("u", 1)).await;
    b.add("c", &session("u", 2)).await;
    b.add("c", &session("v", 3)).await;
    for node in [&a, &b] {
        assert_eq!(node.stats("c").await, (3, 2));
        assert_eq!(node.list("c").await.len(), 3);
    }
    b.remove("c", &session("u", 2)).await;
    assert_eq!(a.stats("c").await, (2, 2));
    a.remove("c", &session("u", 1)).await;
    assert_eq!(a.stats("c").await, (1, 1));
}

#[tokio::test]
async fn a_renewal_that_brings_nothing_new_is_not_written() {
    let server = Server::start();
    let node = Node::start(&server).await;
    let info = session("u", 1);
    node.add("c", &info).await;
    let redis = &node.presence.shared.redis;
    // Also none of those that are written again without a reason is among them: that takes longer.
    let before = calls(redis, "hlen").await;
    for _ in 0..100 {
        node.add("c", &info).await;
    }
    assert!(calls(redis, "hlen").await - before < 10);
    let changed = ClientInfo {
        conn_info: Some((*b"1").into()),
        ..(*info).clone()
    };
    node.add("c", &Arc::new(changed)).await;
    let list = node.presence.list(&channel("c"), 1).await;
    assert_eq!(
        list.unwrap().unwrap()[0].conn_info.as_deref(),
        Some(&b"1"[..])
    );
}

#[tokio::test]
async fn who_has_left_leaves_nothing() {
    let server = Server::start();
    let node = Node::start(&server).await;
    let sessions: Vec<_> = (0..20).map(|number| session("u", number)).collect();
    for info in &sessions {
        node.add("c", info).await;
        node.add("d}", info).await;
    }
    assert!(!keys(&node.presence.shared.redis).await.is_empty());
    for info in &sessions {
        node.remove("c", info).await;
        node.remove("d}", info).await;
    }
    assert_eq!(keys(&node.presence.shared.redis).await, [""; 0]);
}
