//! A disk that has no room while the server runs: who is told, what goes on, and that it passes.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::restart::{history, result, setup};
use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::server::Server;

const CHANNEL: &str = "kept:1";

/// The code of the error that a publish ends with; 0 for success.
fn outcome(server: &Server, data: &Value) -> i64 {
    let response = server.api("publish", &json!({"channel": CHANNEL, "data": data}));
    let answer: Value = serde_json::from_str(&response.body).expect("JSON");
    answer["error"]["code"].as_i64().unwrap_or(0)
}

/// Waits until `check` holds. What is waited for announces itself in nothing but what is asked.
fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let began = Instant::now();
    while !check() {
        assert!(began.elapsed() < PATIENCE, "{what} never happens");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Holds that the server says that it is full, and does all that needs no room.
fn assert_full(server: &Server) {
    let ready = server.get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("is full"), "{}", ready.body);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.metric("centrifugo_store_full "), 1);
    assert!(server.metric("centrifugo_store_refused_full ") >= 1);
    let mut subscriber = Client::subscriber(server, "unkept");
    server.publish("unkept", &json!("live"));
    subscriber.expect_publication("unkept", &json!("live"));
    assert_eq!(history(server, CHANNEL)["publications"][0]["data"], "first");
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_until_there_is_room() {
    let server = setup().start();
    server.publish(CHANNEL, &json!("first"));
    server.limit_files(Some(1));
    assert_eq!(outcome(&server, &json!("refused")), 100);
    assert_full(&server);
    server.log.wait_for("the disk is full");
    for _ in 0..50 {
        assert_eq!(outcome(&server, &json!("refused")), 100);
    }
    assert_eq!(server.log.count("the disk is full"), 1);
    assert!(server.log.count("the broker refused") < 20);
    server.limit_files(None);
    // Found out without anybody publishing: whoever looks at /ready may send nothing.
    eventually("readiness", || server.get("/ready").status == 200);
    assert_eq!(server.metric("centrifugo_store_full "), 0);
    server.log.wait_for("there is room for publications again");
    server.publish(CHANNEL, &json!("second"));
    let before = history(&server, CHANNEL);
    let offsets = [&before["publications"][0], &before["publications"][1]];
    assert_eq!(offsets.map(|one| one["offset"].clone()), [1, 2]);
    let server = server.restart(Signal::KILL);
    assert_eq!(history(&server, CHANNEL), before);
    server.stop();
}

#[test]
fn a_store_at_its_size_limit_refuses_until_something_is_removed() {
    let limit = json!({"engine": {"disk": {"size_limit": 16 * 1024 * 1024}}});
    let server = setup().with(limit).start();
    server.publish(CHANNEL, &json!("first"));
    let large = json!("x".repeat(1024 * 1024));
    let code = (0..20)
        .map(|_| outcome(&server, &large))
        .find(|code| *code != 0);
    assert_eq!(code, Some(100), "it is refused at some point");
    assert_full(&server);
    server.log.wait_for("engine.disk.size_limit");
    assert!(server.metric("centrifugo_store_log_bytes ") <= 17 * 1024 * 1024);
    result(&server, "history_remove", &json!({"channel": CHANNEL}));
    eventually("room", || server.get("/ready").status == 200);
    assert!(server.metric("centrifugo_store_compacted_segments ") > 0);
    assert_eq!(outcome(&server, &large), 0);
    server.stop();
}
