//! Users who may have one connection only, on all nodes together: section 6.5 of the client
//! protocol.

use campanile_engine::settings::Settings;
use campanile_engine::testkit::{Nodes, Peer, Random, Setup};

use super::SECOND;

fn sole(seed: u64) -> Setup {
    let settings = Settings {
        has_one_connection: true,
        personal_channel_namespace: Some(String::new()),
        ..Settings::default()
    };
    Setup {
        settings,
        seed,
        ..Setup::default()
    }
}

/// Whether it is still there; it was live in any case.
fn stays(nodes: &mut Nodes, (at, peer): &mut (usize, Peer)) -> bool {
    let said = nodes.drivers[*at].read(peer);
    assert!(said[0].starts_with(r#"{"id":1,"connect":"#), "{said:?}");
    // Nobody answers pings here.
    let end = said[1..].iter().find(|said| *said != "{}");
    match end.map(String::as_str) {
        None => true,
        end => {
            assert_eq!(end, Some("close 3504"));
            false
        }
    }
}

#[test]
fn a_new_connection_ends_the_one_on_another_node_whatever_the_clocks_say() {
    let mut nodes = Nodes::new(1, &sole(0));
    // An hour behind: its claims are later than those that it has heard of all the same.
    nodes.add(&sole(0), -3_600_000);
    nodes.pass(SECOND * 2);
    let mut first = (0, nodes.drivers[0].connect(0, "42"));
    let mut other = (0, nodes.drivers[0].connect(0, "43"));
    nodes.settle();
    let mut second = (1, nodes.drivers[1].connect(0, "42"));
    nodes.settle();
    assert!(!stays(&mut nodes, &mut first));
    assert!(stays(&mut nodes, &mut second) && stays(&mut nodes, &mut other));
}

#[test]
fn of_connections_that_come_to_several_nodes_at_the_same_time_exactly_one_stays() {
    for seed in 0..200 {
        let random = Random::new(seed);
        let mut nodes = Nodes::new(1, &sole(seed));
        for _ in 0..2 {
            let ahead = i64::try_from(random.below(4000)).unwrap() - 2000;
            nodes.add(&sole(seed), ahead);
        }
        nodes.pass(SECOND * 2);
        nodes.bus.delay(SECOND);
        let mut peers = Vec::new();
        for _ in 0..5 {
            let at = random.below(3);
            peers.push((at, nodes.drivers[at].connect(0, "42")));
            for _ in 0..random.below(4) {
                nodes.step();
            }
        }
        nodes.pass(SECOND * 8);
        let stay = peers.iter_mut().map(|peer| stays(&mut nodes, peer));
        assert_eq!(stay.filter(|stays| *stays).count(), 1, "seed {seed}");
    }
}

#[test]
fn a_connection_to_a_node_that_was_away_ends_for_one_that_came_meanwhile() {
    let mut nodes = Nodes::new(2, &sole(0));
    let mut first = (0, nodes.drivers[0].connect(0, "42"));
    nodes.suspend(0);
    nodes.pass(SECOND * 10);
    let mut second = (1, nodes.drivers[1].connect(0, "42"));
    nodes.settle();
    // Gone with the node's line, not only waiting for it.
    nodes.bus.cut(nodes.id(0), true);
    nodes.bus.cut(nodes.id(0), false);
    nodes.resume(0);
    nodes.pass(SECOND * 3);
    assert!(!stays(&mut nodes, &mut first) && stays(&mut nodes, &mut second));
}

#[test]
fn never_do_all_end_and_after_a_partition_one_stays() {
    for seed in 0..60 {
        let mut nodes = Nodes::new(3, &sole(seed));
        let random = Random::new(seed);
        let (a, b) = (nodes.id(0), nodes.id(1));
        nodes.bus.part(a, b, true);
        nodes.bus.part(b, a, random.one_in(2));
        nodes.bus.lose_one_in(random.below(6));
        let mut peers = Vec::new();
        for _ in 0..4 {
            let at = random.below(3);
            peers.push((at, nodes.drivers[at].connect(0, "42")));
            nodes.pass(SECOND / 10 * u32::try_from(random.below(20)).unwrap());
        }
        nodes.bus.part(a, b, false);
        nodes.bus.part(b, a, false);
        nodes.bus.lose_one_in(0);
        nodes.pass(SECOND * 15);
        let stay = peers.iter_mut().map(|peer| stays(&mut nodes, peer));
        assert_eq!(stay.filter(|stays| *stays).count(), 1, "seed {seed}");
    }
}
