//! Payloads told as differences: section 10 of the protocol.

use std::io::IoSlice;

use campanile_engine::authority::Grant;
use campanile_engine::channel::options::{ChannelOptions, DeltaType};
use campanile_engine::node::PublishRequest;
use campanile_engine::session::Order;
use campanile_engine::shard::Target;
use campanile_engine::testkit::{Driver, PayloadReader, Peer, Random, Setup, channel};
use serde_json::Value;

use super::recoverable;

/// A subscriber that takes deltas, and what it has made of them.
struct Reader {
    peer: Peer,
    payloads: PayloadReader,
    /// Offsets, whether they came as deltas, and what they mean.
    heard: Vec<(u64, bool, String)>,
}

impl Reader {
    fn subscribe(driver: &mut Driver, from: Option<u64>) -> Self {
        let mut peer = driver.connect(0, "42");
        driver.read(&mut peer);
        let recover = from.map_or(String::new(), |from| {
            format!(r#","recover":true,"offset":{from}"#)
        });
        let command =
            format!(r#"{{"id":2,"subscribe":{{"channel":"c","delta":"fossil"{recover}}}}}"#);
        driver.send(&mut peer, &command);
        Self::of(peer)
    }

    fn of(peer: Peer) -> Self {
        Self {
            peer,
            payloads: PayloadReader::default(),
            heard: Vec::new(),
        }
    }

    /// What has come since: offsets, with a minus where they came as deltas.
    fn hear(&mut self, driver: &mut Driver) -> Vec<i64> {
        let before = self.heard.len();
        for message in driver.read(&mut self.peer) {
            let Ok(message) = serde_json::from_str::<Value>(&message) else {
                continue;
            };
            let of_connect = &message["connect"]["subs"]["c"]["publications"];
            let of_reply = &message["subscribe"]["publications"];
            let recovered = [of_connect, of_reply].into_iter().flat_map(Value::as_array);
            let pushed = message["push"].get("pub");
            for publication in recovered.flatten().chain(pushed) {
                self.take(publication);
            }
        }
        let signed = |(offset, is_delta, _): &(u64, bool, String)| {
            let offset = i64::try_from(*offset).expect("small");
            if *is_delta { -offset } else { offset }
        };
        self.heard[before..].iter().map(signed).collect()
    }

    fn take(&mut self, publication: &Value) {
        let is_delta = publication["delta"] == true;
        let data = publication["data"].as_str().expect("always a string");
        let text = self.payloads.read(data, is_delta).to_owned();
        let offset = publication["offset"].as_u64().unwrap_or(0);
        self.heard.push((offset, is_delta, text));
    }

    fn last(&self) -> &str {
        self.heard.last().map_or("", |(_, _, text)| text)
    }
}

fn with_deltas(setup: Setup) -> Setup {
    Setup {
        options: ChannelOptions {
            allowed_delta_types: vec![DeltaType::Fossil],
            delta_publish: true,
            ..setup.options.clone()
        },
        ..setup
    }
}

fn driver() -> Driver {
    Driver::new(with_deltas(Setup::default()))
}

fn document(number: usize) -> String {
    let lines: Vec<_> = (0..number).map(|n| format!(r#""line {n} 🙂""#)).collect();
    let faces = ["🙂", "🙃", "é"][number % 3];
    format!(
        r#"{{"mood":"{faces}","lines":[{}],"number":{number}}}"#,
        lines.join(",")
    )
}

fn publish(driver: &mut Driver, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        driver.publish("c", &document(number));
    }
}

#[test]
fn a_whole_payload_comes_first_and_differences_follow() {
    let mut driver = driver();
    let mut reader = Reader::subscribe(&mut driver, None);
    let mut plain = super::subscriber(&mut driver, 0);
    for number in 1..=20 {
        driver.publish("c", &document(number));
        let heard = reader.hear(&mut driver);
        let offset = i64::try_from(number).expect("small");
        assert!(
            heard == [offset] || (heard == [-offset] && number > 1),
            "{heard:?}"
        );
        assert_eq!(reader.last(), document(number));
        let said = driver.read(&mut plain).remove(0);
        assert!(
            said.contains(&format!(r#""data":{}"#, document(number))),
            "{said}"
        );
        assert!(!said.contains("delta"), "{said}");
    }
    let deltas = reader.heard.iter().filter(|(_, is_delta, _)| *is_delta);
    assert!(
        deltas.count() >= 17,
        "once there is much to share: {:?}",
        reader.heard
    );
}

#[test]
fn a_publisher_has_to_ask_for_deltas() {
    let mut setup = with_deltas(Setup::default());
    setup.options.delta_publish = false;
    let mut driver = Driver::new(setup);
    let mut reader = Reader::subscribe(&mut driver, None);
    for (number, wants_delta) in [(10, true), (11, false), (12, true), (13, true), (14, false)] {
        let mut publication = PublishRequest::from(document(number).as_bytes());
        publication.wants_delta = wants_delta;
        driver.publish_as("c", publication);
    }
    assert_eq!(reader.hear(&mut driver), [1, 2, -3, -4, 5]);
    assert_eq!(reader.last(), document(14));
}

#[test]
fn what_stays_out_of_history_is_neither_a_difference_nor_the_source_of_one() {
    let mut driver = driver();
    let mut reader = Reader::subscribe(&mut driver, None);
    publish(&mut driver, 10..=11);
    let mut aside = PublishRequest::from(document(12).as_bytes());
    aside.skips_history = true;
    driver.publish_as("c", aside);
    publish(&mut driver, 13..=14);
    assert_eq!(reader.hear(&mut driver), [1, -2, 0, 3, -4]);
}

#[test]
fn a_history_that_was_removed_or_expired_is_no_source() {
    let mut driver = driver();
    let mut reader = Reader::subscribe(&mut driver, None);
    publish(&mut driver, 10..=11);
    let node = std::sync::Arc::clone(&driver.node);
    let removed = futures_util::FutureExt::now_or_never(node.remove_history("c"));
    assert_eq!(removed, Some(Ok(())));
    publish(&mut driver, 12..=13);
    driver.clock.advance(std::time::Duration::from_secs(600));
    publish(&mut driver, 14..=15);
    assert_eq!(reader.hear(&mut driver), [1, -2, 3, -4, 5, -6]);
}

#[test]
fn who_recovers_something_gets_differences_at_once() {
    let mut driver = Driver::new(with_deltas(recoverable()));
    publish(&mut driver, 10..=13);
    let mut reader = Reader::subscribe(&mut driver, Some(1));
    assert_eq!(reader.hear(&mut driver), [2, -3, -4]);
    publish(&mut driver, 14..=14);
    assert_eq!(reader.hear(&mut driver), [-5]);
    assert_eq!(reader.last(), document(14));
}

#[test]
fn who_recovers_nothing_or_not_at_all_is_told_of_a_whole_one_first() {
    let mut driver = Driver::new(with_deltas(recoverable()));
    publish(&mut driver, 10..=13);
    for from in [Some(4), Some(9), None] {
        let mut reader = Reader::subscribe(&mut driver, from);
        assert_eq!(reader.hear(&mut driver), [0; 0]);
        publish(&mut driver, 14..=15);
        let heard = reader.hear(&mut driver);
        assert!(heard[0] > 0 && heard[1] < 0, "{from:?}: {heard:?}");
    }
}

#[test]
fn what_came_while_joining_counts_as_told() {
    let mut backlogs = 0;
    for seed in 0..20 {
        let mut driver = Driver::new(with_deltas(Setup {
            seed,
            ..recoverable()
        }));
        // Somebody for whom deliveries come to this shard already.
        let _watcher = Reader::subscribe(&mut driver, None);
        let mut peer = driver.connect(0, "42");
        driver.read(&mut peer);
        driver.broker.hesitate(10);
        driver.manual = true;
        let subscribe = r#"{"id":2,"subscribe":{"channel":"c","delta":"fossil"}}"#;
        driver.send(&mut peer, subscribe);
        driver.begin(0);
        let mut reader = Reader::of(peer);
        for number in 10..=21 {
            driver.publish("c", &document(number));
            driver.deliver(0);
            driver.poll(0, 0);
            backlogs += usize::from(reader.hear(&mut driver).len() > 1);
        }
        driver.manual = false;
        driver.settle();
        publish(&mut driver, 22..=22);
        reader.hear(&mut driver);
        let are_deltas: Vec<_> = reader
            .heard
            .iter()
            .map(|(_, is_delta, _)| *is_delta)
            .collect();
        let (first, others) = are_deltas.split_first().expect("at least the last one");
        assert!(
            !first && others.iter().all(|is_delta| *is_delta),
            "{are_deltas:?}"
        );
        assert_eq!(reader.last(), document(22));
    }
    assert!(backlogs > 5, "something is kept for who joins: {backlogs}");
}

#[test]
fn who_takes_deltas_in_the_same_state_shares_their_bytes() {
    let mut driver = driver();
    let mut readers: Vec<_> = (0..3)
        .map(|_| Reader::subscribe(&mut driver, None))
        .collect();
    publish(&mut driver, 10..=10);
    for reader in &mut readers {
        reader.hear(&mut driver);
    }
    let mut fresh = Reader::subscribe(&mut driver, None);
    fresh.hear(&mut driver);
    readers.push(fresh);
    publish(&mut driver, 11..=11);
    let addresses: Vec<_> = readers
        .iter()
        .map(|reader| {
            let mut slices = [IoSlice::new(&[])];
            let outbox = driver.workers[0].shard.outbox(reader.peer.key);
            outbox.expect("it is connected").slices(&mut slices);
            slices[0].as_ptr()
        })
        .collect();
    assert!(addresses[0] == addresses[1] && addresses[1] == addresses[2]);
    assert_ne!(
        addresses[2], addresses[3],
        "who is new is told of a whole one"
    );
}

#[test]
fn a_payload_that_is_no_json_ends_sessions_in_whatever_form() {
    let mut driver = driver();
    let mut reader = Reader::subscribe(&mut driver, None);
    let mut plain = super::subscriber(&mut driver, 0);
    let text = "no json, but a text of which very much stays as it was";
    driver.publish("c", text);
    assert_eq!(driver.read(&mut plain), ["close 3506"]);
    assert_eq!(driver.read(&mut reader.peer)[1], "close 3506");
    let mut reader = Reader::subscribe(&mut driver, None);
    publish(&mut driver, 10..=10);
    driver.publish("c", &document(10).replace('}', ""));
    assert_eq!(
        driver.read(&mut reader.peer).pop().as_deref(),
        Some("close 3506")
    );
}

#[test]
fn histories_are_never_told_as_differences() {
    let mut driver = driver();
    let mut reader = Reader::subscribe(&mut driver, None);
    publish(&mut driver, 10..=12);
    reader.hear(&mut driver);
    driver.send(
        &mut reader.peer,
        r#"{"id":3,"history":{"channel":"c","limit":10}}"#,
    );
    let said = driver.read(&mut reader.peer).remove(0);
    assert!(
        said.contains(&format!(r#""data":{}"#, document(12))),
        "{said}"
    );
    assert!(!said.contains(r#""delta""#), "{said}");
}

#[test]
fn server_side_subscriptions_take_deltas_when_the_client_asked_at_connect() {
    let mut driver = Driver::new(with_deltas(recoverable()));
    publish(&mut driver, 10..=12);
    let subs = r#"{"c":{"delta":"fossil","recover":true,"offset":1}}"#;
    let mut peer = driver.open(0);
    driver.send(
        &mut peer,
        &format!(r#"{{"id":1,"connect":{{"token":"42 c","subs":{subs}}}}}"#),
    );
    let mut reader = Reader::of(peer);
    publish(&mut driver, 13..=13);
    assert_eq!(reader.hear(&mut driver), [2, -3, -4]);
}

#[test]
fn subscriptions_that_the_application_adds_take_no_deltas() {
    let mut driver = Driver::new(with_deltas(recoverable()));
    publish(&mut driver, 10..=11);
    let mut peer = driver.connect(0, "42");
    driver.read(&mut peer);
    let order = Order::Subscribe {
        channel: channel("c"),
        grant: Grant::default(),
        recover: Some(campanile_protocol::Position {
            epoch: campanile_protocol::Epoch::EMPTY,
            offset: 0,
        }),
    };
    let now = driver.now();
    driver.workers[0]
        .shard
        .order(now, &Target::Everybody, &order);
    driver.settle();
    publish(&mut driver, 12..=12);
    let said = driver.read(&mut peer);
    assert_eq!(super::offsets(&said), [1, 2, 3]);
    assert!(said.iter().all(|said| !said.contains("delta")), "{said:?}");
}

/// Deliveries are lost and repeated, and histories too short or out of reach to repair that, while
/// clients without positions come and go.
fn storm(seed: u64) -> usize {
    let random = Random::new(seed);
    let mut setup = with_deltas(Setup::default());
    setup.options.history_size = [1, 2, 1000][random.below(3)];
    let mut driver = Driver::new(setup);
    driver.broker.hesitate(random.below(4));
    let mut readers: Vec<Reader> = Vec::new();
    driver.manual = true;
    for _ in 0..120 {
        match random.below(17) {
            0..=5 => {
                let mut publication =
                    PublishRequest::from(document(5 + random.below(8)).as_bytes());
                publication.skips_history = random.one_in(5);
                driver.publish_as("c", publication);
            }
            6..=9 => driver.deliver(0),
            10..=12 => {
                driver.begin(0);
                let running = driver.workers[0].running_count();
                driver.poll(0, random.below(running.max(1)));
            }
            13 => {
                driver.workers[0].pull();
                let lost = driver.workers[0].line.pop_front();
                let line = &mut driver.workers[0].line;
                line.extend(lost.filter(|_| random.one_in(2)));
            }
            14 if readers.len() < 4 => {
                driver.broker.set_unreachable(false);
                driver.manual = false;
                readers.push(Reader::subscribe(&mut driver, None));
                driver.manual = true;
            }
            15 => driver.broker.set_unreachable(random.one_in(2)),
            _ if random.one_in(4) && !readers.is_empty() => {
                let gone = readers.swap_remove(random.below(readers.len()));
                driver.release(&gone.peer);
            }
            _ => {}
        }
        for reader in &mut readers {
            reader.hear(&mut driver);
        }
    }
    let heard = readers.iter().flat_map(|reader| &reader.heard);
    heard.filter(|(_, is_delta, _)| *is_delta).count()
}

#[test]
fn nobody_is_told_a_difference_from_what_it_missed() {
    let deltas: usize = (0..500).map(storm).sum();
    assert!(deltas > 1000, "storms reach deltas: {deltas}");
}
