//! Presence that all nodes are asked for.

use campanile_engine::testkit::{Nodes, Setup};
use campanile_protocol::Refusal;

use super::{SECOND, nodes};

fn subscribe(nodes: &mut Nodes, at: usize, user: &str) {
    let driver = &mut nodes.drivers[at];
    let mut peer = driver.connect(0, user);
    driver.send(&mut peer, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
}

#[test]
fn who_is_in_a_channel_is_the_same_on_all_nodes() {
    let mut nodes = nodes(3);
    for (at, user) in [(0, "a"), (1, "a"), (1, "b"), (2, "c")] {
        subscribe(&mut nodes, at, user);
    }
    for at in 0..3 {
        let node = nodes.node(at);
        let stats = nodes.wait_for(node.presence_stats("c")).1.unwrap();
        assert_eq!((stats.clients, stats.users), (4, 3));
        let list = nodes.wait_for(node.presence("c")).1.unwrap();
        let mut users: Vec<_> = list.iter().map(|info| info.user.as_str()).collect();
        users.sort_unstable();
        assert_eq!(users, ["a", "a", "b", "c"]);
    }
}

#[test]
fn a_list_without_a_node_is_none() {
    let mut nodes = nodes(2);
    subscribe(&mut nodes, 1, "a");
    nodes.suspend(1);
    let node = nodes.node(0);
    assert_eq!(nodes.wait_for(node.presence("c")).1, Err(Refusal::INTERNAL));
    nodes.pass(SECOND * 6);
    let stats = nodes.wait_for(node.presence_stats("c")).1.unwrap();
    assert_eq!(
        stats.clients, 0,
        "those of a node that is given up are gone"
    );
}

#[test]
fn clients_are_refused_lists_that_are_too_long() {
    let mut setup = Setup::default();
    setup.settings.queue_bytes_max = 1024;
    let mut nodes = Nodes::new(2, &setup);
    for at in [0, 0, 1, 1] {
        subscribe(&mut nodes, at, "a");
    }
    let driver = &mut nodes.drivers[0];
    let mut asking = driver.connect(0, "a");
    driver.send(&mut asking, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    driver.send(&mut asking, r#"{"id":3,"presence":{"channel":"c"}}"#);
    nodes.settle();
    let said = nodes.drivers[0].read(&mut asking).join("\n");
    assert!(said.contains(r#"{"id":3,"error":{"code":106"#), "{said}");
}
