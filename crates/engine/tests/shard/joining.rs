//! What comes while a session joins.

use campanile_engine::limits::JOIN_BUFFER_BYTES_MAX;
use campanile_engine::testkit::{Driver, Peer, Setup};

use super::{offsets, recoverable, subscriber};

const SUBSCRIBE: &str = r#"{"id":2,"subscribe":{"channel":"c"}}"#;

fn connected(driver: &mut Driver, shard: usize) -> Peer {
    let mut peer = driver.connect(shard, "42");
    driver.read(&mut peer);
    peer
}

/// Has the broker do what `peer` asks, while the answer stays on its way.
fn begin_join(driver: &mut Driver, peer: &mut Peer) {
    driver.manual = true;
    driver.send(peer, SUBSCRIBE);
    driver.broker.hesitate(0);
}

#[test]
fn what_comes_while_joining_follows_the_reply_once_and_in_order() {
    for hesitation in 0..20 {
        let mut driver = Driver::new(Setup {
            seed: hesitation,
            ..recoverable()
        });
        let mut old = subscriber(&mut driver, 0);
        driver.publish("c", "1");
        let mut peer = connected(&mut driver, 0);
        driver.broker.hesitate(10);
        begin_join(&mut driver, &mut peer);
        driver.begin(0);
        for _ in 0..12 {
            driver.publish("c", "1");
            driver.deliver(0);
            driver.poll(0, 0);
        }
        driver.manual = false;
        driver.settle();
        driver.publish("c", "1");
        let said = driver.read(&mut peer);
        assert!(said[0].starts_with(r#"{"id":2,"subscribe""#), "{said:?}");
        let value: serde_json::Value = serde_json::from_str(&said[0]).expect("JSON");
        let top = value["subscribe"]["offset"].as_u64().unwrap_or(0);
        assert_eq!(
            offsets(&said),
            (top + 1..=14).collect::<Vec<_>>(),
            "from {top}"
        );
        assert_eq!(
            offsets(&driver.read(&mut old)),
            (1..=14).collect::<Vec<_>>()
        );
    }
}

#[test]
fn whoever_is_answered_later_but_stands_before_others_misses_nothing() {
    let mut driver = Driver::new(recoverable());
    let mut first = connected(&mut driver, 0);
    let mut second = connected(&mut driver, 0);
    driver.manual = true;
    driver.broker.hesitate(30);
    driver.send(&mut first, SUBSCRIBE);
    driver.begin(0);
    // Until the broker has done it; its second hesitation holds the answer back.
    let mut published = 0;
    for _ in 0..30 {
        published += 1;
        driver.publish("c", "1");
        driver.poll(0, 0);
    }
    driver.broker.hesitate(0);
    driver.send(&mut second, SUBSCRIBE);
    driver.manual = false;
    driver.settle();
    for _ in 0..3 {
        published += 1;
        driver.publish("c", "1");
    }
    for peer in [&mut first, &mut second] {
        let said = driver.read(peer);
        let value: serde_json::Value = serde_json::from_str(&said[0]).expect("JSON");
        let top = value["subscribe"]["offset"].as_u64().unwrap_or(0);
        assert_eq!(
            offsets(&said),
            (top + 1..=published).collect::<Vec<_>>(),
            "{said:?}"
        );
    }
}

#[test]
fn a_join_that_cannot_keep_what_comes_is_told_so() {
    let mut driver = Driver::new(recoverable());
    let mut old = subscriber(&mut driver, 0);
    let mut peer = connected(&mut driver, 0);
    driver.broker.hesitate(1000);
    begin_join(&mut driver, &mut peer);
    driver.begin(0);
    // Has subscribed in the broker, at offset 0, once nothing but the answer is missing.
    let payload = format!("\"{}\"", "x".repeat(JOIN_BUFFER_BYTES_MAX / 4));
    for _ in 0..2000 {
        driver.poll(0, 0);
        if driver.workers[0].running_count() == 0 {
            break;
        }
    }
    let said = driver.read(&mut peer);
    assert!(
        said[0].contains("subscribe"),
        "the stub hesitates for long, not for ever"
    );

    let mut late = connected_by_hand(&mut driver);
    driver.broker.hesitate(0);
    driver.send(&mut late, SUBSCRIBE);
    for _ in 0..5 {
        driver.publish("c", &payload);
        driver.deliver(0);
        driver.read(&mut old);
        driver.read(&mut peer);
    }
    driver.manual = false;
    driver.settle();
    let said = driver.read(&mut late);
    // It stands behind everything, since the broker was asked last: nothing is lost.
    assert!(said[0].contains(r#""offset":5"#), "{said:?}");
    assert!(
        said[1].contains(r#""unsubscribe":{"code":2500"#),
        "but it could not know: {said:?}"
    );
}

fn connected_by_hand(driver: &mut Driver) -> Peer {
    driver.manual = false;
    let peer = connected(driver, 0);
    driver.manual = true;
    peer
}

#[test]
fn commands_behind_a_join_wait_for_it() {
    let mut driver = Driver::new(Setup::default());
    let mut peer = connected(&mut driver, 0);
    driver.manual = true;
    let publish = r#"{"id":3,"publish":{"channel":"c","data":1}}"#;
    driver.send(&mut peer, &format!("{SUBSCRIBE}\n{publish}"));
    assert!(peer.is_held_up());
    driver.begin(0);
    driver.manual = false;
    driver.resume(&mut peer);
    let said = driver.read(&mut peer);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with(r#"{"id":2,"#));
    assert!(!peer.is_held_up());
}

#[test]
fn a_session_that_ends_while_it_joins_leaves_nothing_behind() {
    for seed in 0..50 {
        let mut driver = Driver::new(Setup {
            seed,
            ..recoverable()
        });
        let mut peer = connected(&mut driver, 0);
        driver.broker.hesitate(6);
        driver.manual = true;
        driver.send(&mut peer, SUBSCRIBE);
        for _ in 0..seed % 7 {
            driver.begin(0);
            driver.poll(0, 0);
        }
        driver.release(&peer);
        assert_eq!(
            driver.workers[0].shard.next_dirty(),
            None,
            "its key is good for nothing"
        );
        driver.manual = false;
        driver.settle();
        let shard = &driver.workers[0].shard;
        assert_eq!(shard.connection_count(), 0);
        assert_eq!(shard.stats(), Default::default());
        assert!(driver.presence.is_empty(), "seed {seed}");
        driver.publish("c", "1");
        assert_eq!(driver.workers[0].shard.totals().deliveries, 0);
    }
}

#[test]
fn who_unsubscribes_and_subscribes_again_is_subscribed_and_present() {
    for seed in 0..50 {
        let mut driver = Driver::new(Setup {
            seed,
            ..recoverable()
        });
        let mut peer = subscriber(&mut driver, 0);
        driver.broker.hesitate(6);
        driver.manual = true;
        driver.send(&mut peer, r#"{"id":3,"unsubscribe":{"channel":"c"}}"#);
        driver.send(&mut peer, r#"{"id":4,"subscribe":{"channel":"c"}}"#);
        driver.begin(0);
        driver.begin(0);
        driver.begin(0);
        for _ in 0..20 {
            for running in (0..driver.workers[0].running_count()).rev() {
                driver.poll(0, running);
            }
        }
        driver.manual = false;
        driver.settle();
        driver.publish("c", "1");
        let said = driver.read(&mut peer);
        assert_eq!(offsets(&said), [1], "seed {seed}: {said:?}");
        assert!(!driver.presence.is_empty(), "seed {seed}");
    }
}
