//! What comes while a session joins.

use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::limits::{JOIN_BUFFER_BYTES_MAX, JOINS_MAX};
use campanile_engine::testkit::{Driver, Peer, Setup};

use super::{offsets, recoverable, subscriber};

const SUBSCRIBE: &str = r#"{"id":2,"subscribe":{"channel":"c"}}"#;

fn connected(driver: &mut Driver, shard: usize) -> Peer {
    let mut peer = driver.connect(shard, "42");
    driver.read(&mut peer);
    peer
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
        driver.manual = true;
        driver.send(&mut peer, SUBSCRIBE);
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

/// Publishes more into `c` than a joining session may keep.
fn overflow(driver: &mut Driver, watcher: &mut Peer) -> Vec<String> {
    let payload = format!("\"{}\"", "x".repeat(JOIN_BUFFER_BYTES_MAX / 4));
    let mut said = Vec::new();
    for _ in 0..5 {
        driver.publish("c", &payload);
        driver.deliver(0);
        said.extend(driver.read(watcher));
    }
    said
}

#[test]
fn a_join_that_cannot_keep_what_comes_is_told_so() {
    let mut driver = Driver::new(recoverable());
    let mut watcher = subscriber(&mut driver, 0);
    let mut peer = connected(&mut driver, 0);
    driver.manual = true;
    driver.send(&mut peer, SUBSCRIBE);
    overflow(&mut driver, &mut watcher);
    driver.manual = false;
    driver.settle();
    let said = driver.read(&mut peer);
    assert!(said[0].starts_with(r#"{"id":2,"subscribe""#), "{said:?}");
    assert!(
        said[1].contains(r#""unsubscribe":{"code":2500"#),
        "{said:?}"
    );
    driver.send(&mut peer, r#"{"id":3,"subscribe":{"channel":"c"}}"#);
    driver.publish("c", "1");
    assert_eq!(offsets(&driver.read(&mut peer)), [6]);
}

#[test]
fn nobody_is_announced_after_having_left() {
    let setup = recoverable();
    let options = ChannelOptions {
        join_leave: true,
        force_push_join_leave: true,
        ..setup.options.clone()
    };
    let mut driver = Driver::new(Setup { options, ..setup });
    let mut watcher = subscriber(&mut driver, 0);
    driver.send(&mut watcher, r#"{"id":3,"subscribe":{"channel":"d"}}"#);
    driver.read(&mut watcher);
    driver.manual = true;
    let mut peer = driver.connect(0, "43 c d");
    driver.begin(0);
    overflow(&mut driver, &mut watcher);
    driver.manual = false;
    driver.settle();
    assert_eq!(driver.read(&mut peer).pop().as_deref(), Some("close 3010"));
    let said = driver.read(&mut watcher);
    for channel in ["c", "d"] {
        let of_channel = format!(r#"{{"push":{{"channel":"{channel}","#);
        let changes = said
            .iter()
            .filter_map(|said| said.strip_prefix(&of_channel));
        let changes: Vec<_> = changes
            .map(|change| change.starts_with(r#""join""#))
            .collect();
        assert_eq!(changes, [true, false], "{channel}: a join, then a leave");
    }
}

#[test]
fn a_subscriber_of_the_server_hears_of_its_own_join_behind_the_reply() {
    let setup = Setup::default();
    let options = ChannelOptions {
        join_leave: true,
        force_push_join_leave: true,
        ..setup.options.clone()
    };
    let mut driver = Driver::new(Setup { options, ..setup });
    let mut peer = driver.connect(0, "42 c");
    let said = driver.read(&mut peer);
    assert!(said[0].starts_with(r#"{"id":1,"connect":"#), "{said:?}");
    assert!(
        said[1].starts_with(r#"{"push":{"channel":"c","join":{"info":{"user":"42","#),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);
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

#[test]
fn a_herd_joins_so_many_channels_at_a_time_and_all_of_them_in_the_end() {
    let mut driver = Driver::new(recoverable());
    let mut herd: Vec<_> = (0..JOINS_MAX + 400)
        .map(|_| connected(&mut driver, 0))
        .collect();
    driver.broker.hesitate(30);
    driver.manual = true;
    for (number, peer) in herd.iter_mut().enumerate() {
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{number}"}}}}"#);
        driver.send(peer, &subscribe);
        driver.begin(0);
    }
    driver.manual = false;
    driver.settle();
    assert_eq!(driver.broker.crowd(), JOINS_MAX);
    for peer in &mut herd {
        assert!(driver.read(peer)[0].contains(r#""subscribe""#));
    }
}

#[test]
fn a_herd_in_one_channel_reads_its_history_side_by_side() {
    let mut driver = Driver::new(recoverable());
    let mut old = subscriber(&mut driver, 0);
    driver.publish("c", "1");
    let epoch = {
        let said = driver.read(&mut old).join("");
        let start = said.find(r#""epoch":""#).expect("positioned") + 9;
        said[start..].split('"').next().expect("quoted").to_owned()
    };
    let mut herd: Vec<_> = (0..20).map(|_| connected(&mut driver, 0)).collect();
    driver.broker.hesitate(1000);
    driver.manual = true;
    let recover = format!(
        r#"{{"id":2,"subscribe":{{"channel":"c","recover":true,"epoch":"{epoch}","offset":0}}}}"#
    );
    for peer in &mut herd {
        driver.send(peer, &recover);
        driver.begin(0);
    }
    driver.manual = false;
    driver.settle();
    assert!(driver.broker.crowd() > 1);
    for peer in &mut herd {
        let said = driver.read(peer).join("");
        assert!(said.contains(r#""recovered":true"#), "{said}");
    }
}
