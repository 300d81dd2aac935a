//! What the next process knows of what this one was told.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::server::{Server, Setup};

const CHANNEL: &str = "kept:1";

/// A server with a namespace that keeps everything a test publishes.
fn setup() -> Setup {
    Setup::new().with(json!({"channel": {"namespaces": [{
        "name": "kept", "history_size": 1000, "history_ttl": "1h",
        "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
    }]}}))
}

/// The result of a call of the API, which has to succeed.
fn result(server: &Server, method: &str, body: &Value) -> Value {
    let response = server.api(method, body);
    let mut answer: Value = serde_json::from_str(&response.body).expect("JSON");
    assert!(answer["error"].is_null(), "{response:?}");
    answer["result"].take()
}

/// Everything that the channel's history has.
fn history(server: &Server) -> Value {
    result(server, "history", &json!({"channel": CHANNEL, "limit": -1}))
}

#[test]
fn a_server_that_keeps_its_streams_in_memory_says_that_they_are_gone_by_a_new_epoch() {
    let memory = json!({"engine": {"type": "memory"}});
    let server = setup().with(memory).start();
    server.publish(CHANNEL, &json!(1));
    let before = history(&server);
    assert_eq!(before["publications"][0]["data"], 1);
    let server = server.restart(Signal::TERM);
    let after = history(&server);
    assert_eq!(after["offset"], json!(0), "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    server.stop();
}
