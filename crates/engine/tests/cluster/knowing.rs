//! Who knows whom.

use std::time::Duration;

use campanile_engine::cluster::{NodeId, Standing};
use campanile_engine::limits::{LEASE, PEERS_MAX};
use campanile_engine::testkit::{Nodes, Setup};

use super::{SECOND, nodes};

fn knows(nodes: &Nodes, from: usize, to: usize) -> bool {
    nodes.cluster(from).knows(nodes.id(to))
}

fn silent(nodes: &Nodes, from: usize) -> Vec<String> {
    let peers = nodes.cluster(from).peers().into_iter();
    let silent = peers.filter(|peer| peer.is_silent);
    silent.map(|peer| peer.info.id).collect()
}

#[test]
fn nodes_tell_each_other_what_is_in_them() {
    let mut nodes = nodes(3);
    nodes.drivers[1].connect(0, "42");
    nodes.pass(SECOND * 3);
    let asked = nodes.node(0);
    let (_, known) = nodes.wait_for(asked.nodes());
    assert_eq!(known.len(), 3);
    assert_eq!(known[0].info.id, nodes.id(0).to_string(), "itself first");
    let other = nodes.id(1).to_string();
    let other = known.iter().find(|node| node.info.id == other).unwrap();
    assert_eq!(other.info.stats.clients, 1);
    assert_eq!(other.info.name, "test");
    assert!(other.age <= SECOND && !other.is_silent);
}

#[test]
fn a_node_that_comes_later_knows_all_others_at_once() {
    let mut nodes = nodes(2);
    let late = nodes.add(&Setup::default(), 0);
    nodes.pass(Duration::from_millis(300));
    assert!(knows(&nodes, late, 0) && knows(&nodes, late, 1));
    assert!(knows(&nodes, 0, late) && knows(&nodes, 1, late));
    assert_eq!(nodes.cluster(late).standing(), Standing::Gathering);
}

#[test]
fn a_dead_node_is_silent_and_then_given_up_within_the_lease() {
    let mut nodes = nodes(3);
    nodes.kill(2);
    nodes.pass(SECOND * 3);
    assert_eq!(silent(&nodes, 0), [nodes.id(2).to_string()]);
    nodes.pass(LEASE - SECOND * 2);
    assert!(!knows(&nodes, 0, 2) && !knows(&nodes, 1, 2));
    assert!(knows(&nodes, 0, 1));
}

#[test]
fn a_node_that_says_goodbye_is_gone_at_once_and_stays_so() {
    let mut nodes = nodes(2);
    let leaving = nodes.node(1);
    nodes.wait_for(leaving.part());
    nodes.settle();
    assert!(!knows(&nodes, 0, 1));
    nodes.pass(SECOND * 3);
    assert!(!knows(&nodes, 0, 1), "it says no more hello");
}

#[test]
fn two_beats_may_be_lost() {
    for seed in 0..30 {
        let setup = Setup {
            seed,
            ..Setup::default()
        };
        let mut nodes = Nodes::new(2, &setup);
        nodes.bus.part(nodes.id(0), nodes.id(1), true);
        nodes.pass(SECOND * 2);
        nodes.bus.part(nodes.id(0), nodes.id(1), false);
        nodes.pass(SECOND * 2);
        assert!(knows(&nodes, 1, 0) && silent(&nodes, 1).is_empty());
    }
}

#[test]
fn a_node_that_stood_still_is_another_incarnation_and_known_again() {
    let mut nodes = nodes(2);
    let before = nodes.cluster(1).incarnation();
    nodes.suspend(1);
    nodes.pass(SECOND * 30);
    assert!(!knows(&nodes, 0, 1));
    nodes.resume(1);
    assert_eq!(nodes.cluster(1).incarnation(), before + 1);
    nodes.pass(SECOND * 2);
    assert!(knows(&nodes, 0, 1) && knows(&nodes, 1, 0));
    assert_eq!(nodes.cluster(1).standing(), Standing::Settled);
    nodes.pass(SECOND * 10);
    assert_eq!(nodes.cluster(1).incarnation(), before + 1, "once");
}

#[test]
fn a_short_stop_changes_nothing() {
    let mut nodes = nodes(2);
    let before = nodes.cluster(1).incarnation();
    nodes.suspend(1);
    nodes.pass(SECOND * 3);
    nodes.resume(1);
    nodes.pass(SECOND);
    assert_eq!(nodes.cluster(1).incarnation(), before);
    assert!(knows(&nodes, 0, 1));
}

#[test]
fn a_node_without_a_line_forgets_nobody_and_says_that_they_are_silent() {
    let mut nodes = nodes(2);
    nodes.bus.cut(nodes.id(0), true);
    nodes.pass(SECOND * 20);
    assert_eq!(nodes.cluster(0).standing(), Standing::CutOff);
    assert_eq!(silent(&nodes, 0), [nodes.id(1).to_string()]);
    assert!(!knows(&nodes, 1, 0), "who has a line can tell");
    nodes.bus.cut(nodes.id(0), false);
    nodes.pass(SECOND * 3);
    assert_eq!(nodes.cluster(0).standing(), Standing::Settled);
    assert!(silent(&nodes, 0).is_empty() && knows(&nodes, 1, 0));
    assert!(nodes.cluster(0).incarnation() > 1, "it was given up");
}

#[test]
fn garbage_is_passed_over_and_counted() {
    let mut nodes = nodes(2);
    let before = nodes.cluster(0).counts();
    for message in [&b""[..], b"\x01", b"{}", &[1, 1, 7], &[0xff; 4096]] {
        nodes.bus.shout(message);
    }
    nodes.bus.shout(&[&[2, 1][..], &[0; 100]].concat());
    let counts = nodes.cluster(0).counts();
    assert_eq!(counts.skipped, before.skipped + 6);
    assert_eq!(counts.received, before.received);
    nodes.pass(SECOND);
    assert_eq!(nodes.cluster(0).counts().peers, 1);
}

#[test]
fn no_more_nodes_are_known_than_may_be() {
    let mut nodes = nodes(1);
    nodes.bus.delay(Duration::ZERO);
    for number in 0..=PEERS_MAX {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
        let id = NodeId::from_random(random);
        // Version, kind, sender, incarnation, uptime, name, version, no counts.
        let hello = [&[1, 1][..], &id.to_bytes(), &[1, 0, 0, 0, 0]].concat();
        nodes.bus.shout(&hello);
    }
    let counts = nodes.cluster(0).counts();
    assert_eq!((counts.peers, counts.dropped), (PEERS_MAX, 1));
    nodes.pass(LEASE + SECOND);
    assert_eq!(nodes.cluster(0).counts().peers, 0);
}
