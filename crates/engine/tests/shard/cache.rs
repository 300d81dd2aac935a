//! Channels that are a cache of their latest publication: section 8.5 of the client protocol.

use std::collections::BTreeMap;

use campanile_engine::channel::options::{ChannelOptions, RecoveryMode};
use campanile_engine::node::PublishRequest;
use campanile_engine::testkit::{Driver, Setup};

use super::{offsets, recoverable};

fn cache() -> Setup {
    let setup = recoverable();
    let options = ChannelOptions {
        force_recovery_mode: RecoveryMode::Cache,
        allow_tags_filter: true,
        ..setup.options.clone()
    };
    Setup { options, ..setup }
}

/// What a client is answered that subscribes to `c` so, and what follows.
fn subscribe(driver: &mut Driver, rest: &str) -> Vec<String> {
    let mut peer = driver.connect(0, "42");
    driver.read(&mut peer);
    let command = format!(r#"{{"id":2,"subscribe":{{"channel":"c"{rest}}}}}"#);
    driver.send(&mut peer, &command);
    driver.publish("c", "9");
    driver.read(&mut peer)
}

#[test]
fn only_the_latest_is_recovered() {
    let mut driver = Driver::new(cache());
    for _ in 0..5 {
        driver.publish("c", "1");
    }
    let said = subscribe(&mut driver, r#","recover":true"#);
    assert!(said[0].contains(r#""recovered":true"#), "{said:?}");
    assert!(!said[0].contains(r#""offset":0"#), "{said:?}");
    assert_eq!(offsets(&said), [5, 6]);
    let said = subscribe(&mut driver, r#","recover":true,"offset":2"#);
    assert!(said[0].contains(r#""was_recovering":true"#), "{said:?}");
    assert_eq!(offsets(&said), [6, 7]);
    let said = subscribe(&mut driver, "");
    assert!(!said[0].contains("recover\":true"), "{said:?}");
    assert_eq!(offsets(&said), [8], "who does not ask gets what comes");
}

#[test]
fn an_empty_cache_recovers_nobody() {
    let mut driver = Driver::new(cache());
    let said = subscribe(&mut driver, r#","recover":true"#);
    assert!(said[0].contains(r#""was_recovering":true"#), "{said:?}");
    assert!(!said[0].contains(r#""recovered""#), "{said:?}");
    assert_eq!(offsets(&said), [1]);
}

#[test]
fn a_channel_may_recover_by_itself() {
    let mut setup = cache();
    setup.options.auto_cache_recover = true;
    let mut driver = Driver::new(setup);
    driver.publish("c", "1");
    driver.publish("c", "1");
    let said = subscribe(&mut driver, "");
    assert!(said[0].contains(r#""recovered":true"#), "{said:?}");
    assert_eq!(offsets(&said), [2, 3]);
    let mut peer = driver.connect(0, "43 c");
    let said = driver.read(&mut peer);
    let reply: serde_json::Value = serde_json::from_str(&said[0]).expect("JSON");
    let sub = &reply["connect"]["subs"]["c"];
    assert_eq!(sub["publications"][0]["offset"], 3, "{said:?}");
    assert_eq!(
        (&sub["recovered"], &sub["was_recovering"]),
        (&true.into(), &true.into())
    );
}

#[test]
fn the_newest_that_passes_the_filter_is_recovered() {
    let mut driver = Driver::new(cache());
    for team in ["red", "red", "blue"] {
        let mut publication = PublishRequest::from(b"1".as_slice());
        publication.tags = Some(Box::new(BTreeMap::from([("team".into(), team.into())])));
        driver.publish_as("c", publication);
    }
    let filter =
        |team| format!(r#","recover":true,"tf":{{"key":"team","cmp":"eq","val":"{team}"}}"#);
    let said = subscribe(&mut driver, &filter("red"));
    assert_eq!(offsets(&said), [2]);
    let said = subscribe(&mut driver, &filter("green"));
    assert_eq!(offsets(&said), [0; 0]);
}

#[test]
fn of_what_comes_while_joining_only_the_newest_follows() {
    let mut driver = Driver::new(cache());
    driver.publish("c", "1");
    let mut peer = driver.connect(0, "42");
    driver.read(&mut peer);
    driver.broker.hesitate(10);
    let mut has_merged = false;
    for id in 2..40 {
        driver.manual = true;
        driver.send(
            &mut peer,
            &format!(r#"{{"id":{id},"subscribe":{{"channel":"c","recover":true}}}}"#),
        );
        driver.begin(0);
        let mut top = 0;
        for _ in 0..30 {
            top = driver.publish("c", "1").expect("it is stored");
            driver.deliver(0);
            driver.poll(0, 0);
        }
        driver.manual = false;
        driver.settle();
        let said = driver.read(&mut peer);
        let all = offsets(&said);
        assert!(said[0].contains(r#""recovered":true"#), "{said:?}");
        assert_eq!(all.last(), Some(&top), "nothing behind it is lost");
        assert!(all.is_sorted());
        // The one of the reply, and the newest of those that came meanwhile.
        has_merged |= all.len() > 2 && all[1] > all[0] + 1;
        let leave = format!(r#"{{"id":{},"unsubscribe":{{"channel":"c"}}}}"#, 100 + id);
        driver.send(&mut peer, &leave);
        driver.read(&mut peer);
    }
    assert!(has_merged);
}
