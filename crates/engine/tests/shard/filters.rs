//! Subscribers that want a part of what is published.

use std::collections::BTreeMap;

use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::node::PublishRequest;
use campanile_engine::testkit::{Driver, Peer, Setup};

use super::{offsets, recoverable, subscriber};

fn filterable() -> Setup {
    let setup = recoverable();
    let options = ChannelOptions {
        allow_tags_filter: true,
        ..setup.options.clone()
    };
    Setup { options, ..setup }
}

const RED: &str = r#""tf":{"key":"team","cmp":"eq","val":"red"}"#;

fn subscribe(driver: &mut Driver, rest: &str) -> Peer {
    let mut peer = driver.connect(0, "42");
    driver.read(&mut peer);
    let command = format!(r#"{{"id":2,"subscribe":{{"channel":"c",{rest}}}}}"#);
    driver.send(&mut peer, &command);
    peer
}

/// A subscriber that has read its reply.
fn filtered(driver: &mut Driver, filter: &str) -> Peer {
    let mut peer = subscribe(driver, filter);
    let said = driver.read(&mut peer);
    assert!(said[0].starts_with(r#"{"id":2,"subscribe":{"#), "{said:?}");
    peer
}

fn publish(driver: &mut Driver, team: &str) {
    let tags = BTreeMap::from([("team".into(), team.into())]);
    let mut publication = PublishRequest::from(b"1".as_slice());
    publication.tags = Some(Box::new(tags));
    driver.publish_as("c", publication).expect("it is stored");
}

#[test]
fn a_subscriber_receives_what_passes_its_filter() {
    let mut driver = Driver::new(filterable());
    let mut red: Vec<_> = (0..20).map(|_| filtered(&mut driver, RED)).collect();
    let mut others = filtered(
        &mut driver,
        r#""tf":{"key":"team","cmp":"neq","val":"red"}"#,
    );
    let mut all = subscriber(&mut driver, 0);
    for team in ["red", "blue", "red"] {
        publish(&mut driver, team);
    }
    driver.publish("c", "1");
    publish(&mut driver, "red");
    for red in &mut red {
        assert_eq!(offsets(&driver.read(red)), [1, 3, 5]);
    }
    assert_eq!(offsets(&driver.read(&mut others)), [2, 4]);
    assert_eq!(offsets(&driver.read(&mut all)), [1, 2, 3, 4, 5]);
}

#[test]
fn publications_without_a_place_are_filtered_too() {
    let mut setup = filterable();
    setup.options.history_size = 0;
    setup.options.force_recovery = false;
    let mut driver = Driver::new(setup);
    let mut red = filtered(&mut driver, RED);
    for team in ["blue", "red", "blue"] {
        publish(&mut driver, team);
    }
    assert_eq!(driver.read(&mut red).len(), 1);
}

#[test]
fn what_is_hidden_is_no_gap_and_is_not_recovered() {
    let mut driver = Driver::new(filterable());
    let mut first = filtered(&mut driver, RED);
    for team in ["red", "blue", "red", "blue"] {
        publish(&mut driver, team);
    }
    assert_eq!(offsets(&driver.read(&mut first)), [1, 3]);
    let mut back = subscribe(&mut driver, &format!(r#"{RED},"recover":true,"offset":1"#));
    publish(&mut driver, "red");
    let said = driver.read(&mut back);
    assert!(said[0].contains(r#""recovered":true"#), "{said:?}");
    assert!(said[0].contains(r#""offset":1"#), "{said:?}");
    assert_eq!(offsets(&said), [3, 5]);
    assert_eq!(offsets(&driver.read(&mut first)), [5]);
}

#[test]
fn a_repair_brings_a_subscriber_what_it_wants() {
    let mut driver = Driver::new(filterable());
    let mut red = filtered(&mut driver, RED);
    publish(&mut driver, "red");
    driver.manual = true;
    for team in ["blue", "red", "blue", "red", "blue"] {
        publish(&mut driver, team);
    }
    driver.workers[0].pull();
    driver.workers[0].line.drain(1..4);
    driver.manual = false;
    driver.settle();
    publish(&mut driver, "red");
    assert_eq!(offsets(&driver.read(&mut red)), [1, 3, 5, 7]);
    assert_eq!(driver.workers[0].shard.totals().repairs, 1);
}

#[test]
fn what_comes_while_joining_is_filtered_and_moves_the_position() {
    let mut driver = Driver::new(filterable());
    driver.broker.hesitate(0);
    let mut watcher = subscriber(&mut driver, 0);
    driver.manual = true;
    let mut red = driver.connect(0, "42");
    driver.settle();
    driver.read(&mut red);
    driver.send(
        &mut red,
        &format!(r#"{{"id":2,"subscribe":{{"channel":"c",{RED}}}}}"#),
    );
    for team in ["blue", "red", "blue"] {
        publish(&mut driver, team);
        driver.deliver(0);
    }
    driver.manual = false;
    driver.settle();
    publish(&mut driver, "red");
    let said = driver.read(&mut red);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains(r#""offset":3"#), "the top was read last");
    assert_eq!(offsets(&said), [4]);
    assert_eq!(offsets(&driver.read(&mut watcher)), [1, 2, 3, 4]);
}

#[test]
fn history_and_joins_are_not_filtered() {
    let mut setup = filterable();
    setup.options.join_leave = true;
    setup.options.force_push_join_leave = true;
    let mut driver = Driver::new(setup);
    let mut red = subscribe(&mut driver, RED);
    publish(&mut driver, "blue");
    driver.send(&mut red, r#"{"id":3,"history":{"channel":"c","limit":9}}"#);
    let said = driver.read(&mut red);
    assert!(said[1].contains(r#""join":{"info":"#), "{said:?}");
    let history: serde_json::Value = serde_json::from_str(&said[2]).expect("JSON");
    assert_eq!(history["history"]["publications"][0]["offset"], 1);
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn who_subscribes_again_may_want_something_else() {
    let mut driver = Driver::new(filterable());
    let mut peer = filtered(&mut driver, RED);
    driver.send(&mut peer, r#"{"id":3,"unsubscribe":{"channel":"c"}}"#);
    driver.send(
        &mut peer,
        r#"{"id":4,"subscribe":{"channel":"c","tf":{"key":"team","cmp":"eq","val":"blue"}}}"#,
    );
    driver.read(&mut peer);
    publish(&mut driver, "red");
    publish(&mut driver, "blue");
    assert_eq!(offsets(&driver.read(&mut peer)), [2]);
}
