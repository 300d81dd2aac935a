//! Questions, and their bounds.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::BrokerError;
use campanile_engine::cluster::{Standing, Unasked};
use campanile_engine::limits::SURVEYS_MAX;
use campanile_engine::shard::Target;
use campanile_engine::testkit::{Nodes, Setup};
use campanile_protocol::Refusal;
use futures_util::FutureExt as _;

use super::{SECOND, nodes};

#[test]
fn a_question_that_nobody_understands_is_refused_at_once() {
    let mut nodes = nodes(3);
    let asker = Arc::clone(nodes.cluster(0));
    let (waited, survey) = nodes.wait_for(asker.ask(b"\xffwhat?"));
    let survey = survey.unwrap();
    assert_eq!((waited, survey.answers.len()), (Duration::ZERO, 0));
    assert_eq!(survey.silent.len(), 2);
}

#[test]
fn questions_that_wait_for_answers_are_bounded() {
    let mut nodes = nodes(2);
    nodes.suspend(1);
    let asker = Arc::clone(nodes.cluster(0));
    let mut open: Vec<_> = (0..SURVEYS_MAX)
        .map(|_| Box::pin(asker.ask(b"\xff")))
        .collect();
    for ask in &mut open {
        assert!(ask.as_mut().now_or_never().is_none());
    }
    let busy = Err(Unasked::Bus(BrokerError::Busy));
    assert_eq!(asker.ask(b"\xff").now_or_never(), Some(busy));
    drop(open);
    nodes.pass(SECOND / 10);
    let again = asker.ask(b"\xff").now_or_never();
    assert_eq!(again, None, "those that nobody waits for are forgotten");
}

/// A flood of what is to be done here does not stand in the way of hellos, and is bounded.
#[test]
fn a_flood_of_questions_is_dropped_beyond_the_bound_and_peers_stay_known() {
    let mut nodes = nodes(2);
    nodes.suspend(1);
    let node = nodes.node(0);
    let payload = vec![b'1'; 900 * 1024];
    for _ in 0..20 {
        let sent = node.send(Target::Everybody, payload.as_slice());
        assert!(sent.now_or_never().is_none());
        nodes.bus.deliver();
    }
    nodes.bus.hold(nodes.id(1), false);
    nodes.bus.deliver();
    let counts = nodes.cluster(1).counts();
    assert!(counts.dropped >= 1, "{counts:?}");
    assert!(nodes.cluster(1).knows(nodes.id(0)));
}

#[test]
fn on_a_bus_that_loses_and_repeats_no_success_is_told_that_was_none() {
    for seed in 0..60 {
        let setup = Setup {
            seed,
            ..Setup::default()
        };
        let mut nodes = Nodes::new(3, &setup);
        let mut peers: Vec<_> = (0..3)
            .map(|at| nodes.drivers[at].connect(0, "42"))
            .collect();
        nodes.bus.delay(SECOND / 2);
        nodes.bus.lose_one_in(4);
        nodes.bus.repeat_one_in(3);
        let node = nodes.node(0);
        let (_, sent) = nodes.wait_for(node.send(Target::user("42"), *b"7"));
        if sent == Ok(3) {
            for (driver, peer) in nodes.drivers.iter_mut().zip(&mut peers) {
                let said = driver.read(peer);
                assert!(
                    said.iter().any(|line| line.contains("message")),
                    "{seed}: {said:?}"
                );
            }
        } else {
            // Who was given up, because its hellos were lost, is not counted on.
            let is_known = nodes.cluster(0).peers().len() == 2;
            assert!(sent.is_err() || !is_known, "{seed}: {sent:?}");
        }
    }
}

/// Nobody sweeps any more then.
#[test]
fn a_node_that_has_ended_waits_for_nobody() {
    let mut nodes = nodes(2);
    nodes.suspend(1);
    let node = nodes.node(0);
    let mut waiting = Box::pin(node.send(Target::user("42"), *b"1"));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    node.cluster().expect("there are others").end();
    let refused = Some(Err(Refusal::INTERNAL));
    nodes.drivers[0].settle();
    assert_eq!(waiting.now_or_never(), refused);
    let (waited, sent) = nodes.wait_for(node.send(Target::user("42"), *b"1"));
    assert_eq!((waited, Some(sent)), (Duration::ZERO, refused));
    nodes.bus.deliver();
    assert_eq!(nodes.cluster(0).standing(), Standing::CutOff);
    // One that ends before it knows who is there.
    let late = nodes.add(&Setup::default(), 0);
    let asker = Arc::clone(nodes.cluster(late));
    let mut asking = Box::pin(asker.ask(b"\xff"));
    assert_eq!(asking.as_mut().now_or_never(), None);
    asker.end();
    let unreachable = Err(Unasked::Bus(BrokerError::Unreachable));
    assert_eq!(asking.now_or_never(), Some(unreachable));
}
