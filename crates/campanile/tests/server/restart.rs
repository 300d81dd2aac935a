//! What the next process knows of what this one was told.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::server::{Server, Setup};

const CHANNEL: &str = "kept:1";

/// A server with a namespace that keeps everything a test publishes.
pub(crate) fn setup() -> Setup {
    Setup::new().with(json!({"channel": {"namespaces": [{
        "name": "kept", "history_size": 1000, "history_ttl": "1h",
        "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
    }]}}))
}

/// The result of a call of the API, which has to succeed.
pub(crate) fn result(server: &Server, method: &str, body: &Value) -> Value {
    let response = server.api(method, body);
    let mut answer: Value = serde_json::from_str(&response.body).expect("JSON");
    assert!(answer["error"].is_null(), "{response:?}");
    answer["result"].take()
}

/// Everything that the channel's history has.
pub(crate) fn history(server: &Server, channel: &str) -> Value {
    result(server, "history", &json!({"channel": channel, "limit": -1}))
}

#[test]
fn a_stop_and_a_kill_leave_everything_as_it_was() {
    for durability in ["relaxed", "sync"] {
        let disk = json!({"engine": {"disk": {"durability": durability}}});
        let mut server = setup().with(disk).start();
        let publish = |server: &Server, n: u64| {
            let key = format!("key {n}");
            let body = json!({"channel": CHANNEL, "data": {"n": n}, "idempotency_key": key});
            result(server, "publish", &body)
        };
        let first = publish(&server, 1);
        for (count, signal) in [(1, Signal::TERM), (2, Signal::KILL), (3, Signal::KILL)] {
            let before = history(&server, CHANNEL);
            server = server.restart(signal);
            assert_eq!(history(&server, CHANNEL), before, "{durability} {signal:?}");
            assert_eq!(publish(&server, 1), first, "a repeat is known");
            let next = publish(&server, count + 1);
            assert_eq!(next["offset"], count + 1);
            assert_eq!(next["epoch"], first["epoch"]);
        }
        server.stop();
    }
}

#[test]
fn the_next_start_says_how_the_last_run_ended() {
    const UNCLEAN: &str = "the last run did not end in good order; nothing that it acknowledged";
    let server = setup().start();
    let [new] = [server.log.count(UNCLEAN)];
    server.publish(CHANNEL, &json!(1));
    server.publish(CHANNEL, &json!(2));
    let server = server.restart(Signal::TERM);
    assert_eq!((new, server.log.count(UNCLEAN)), (0, 0));
    assert_eq!(server.metric("centrifugo_store_start_unclean "), 0);
    let (_, opened) = server.log.wait_for("data directory opened");
    for found in ["channels=1 ", "publications=2 ", "segments=1 "] {
        assert!(opened.contains(found), "{opened}");
    }
    let server = server.restart(Signal::KILL);
    assert_eq!(server.log.count(UNCLEAN), 1);
    assert_eq!(server.metric("centrifugo_store_start_unclean "), 1);
    // Nobody was told anything that is not there: the machine went on.
    assert_eq!(server.metric("centrifugo_store_start_lossy "), 0);
    let text = server.stop();
    assert!(text.contains("data directory closed"), "{text}");
}

#[test]
fn a_server_that_keeps_its_streams_in_memory_says_that_they_are_gone_by_a_new_epoch() {
    let memory = json!({"engine": {"type": "memory"}});
    let server = setup().with(memory).start();
    server.publish(CHANNEL, &json!(1));
    let before = history(&server, CHANNEL);
    assert_eq!(before["publications"][0]["data"], 1);
    let server = server.restart(Signal::TERM);
    let after = history(&server, CHANNEL);
    assert_eq!(after["offset"], json!(0), "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    assert!(!server.home.path().join("campanile-data").exists());
    server.stop();
}
