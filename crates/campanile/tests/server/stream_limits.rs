//! What a session over a body may cost.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::bystander::Bystander;
use crate::support::client::Client;
use crate::support::http::{self, Response};
use crate::support::server::{Server, Setup};
use crate::support::stream::{
    HTTP_STREAM, SSE, Stream, UNI_HTTP_STREAM, UNI_SSE, emulate, said_in_query, transports,
};

/// KiB that a server may grow by for reasons of its own: allocator, first use of code.
const SLACK: u64 = 4 * 1024;

const WISH: &str = r#"{"subs":{"news":{}}}"#;

fn subscriber(server: &Server, path: &str) -> Stream {
    let (mut stream, told) = Stream::session(server, path);
    let subscribe = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
    assert_eq!(emulate(server, &told, subscribe), 204);
    assert!(stream.message()["subscribe"].is_object());
    stream
}

fn wait_until(is_so: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
    }
}

#[test]
fn a_stream_that_nobody_reads_is_closed_with_3008_and_others_get_everything() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"queue_max_size": 262_144}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut slow = [subscriber(&server, HTTP_STREAM), subscriber(&server, SSE)];
    let mut only_listens = Stream::post(&server, UNI_HTTP_STREAM, WISH);
    assert!(only_listens.message()["connect"].is_object());
    let mut reader = Client::subscriber(&server, "news");
    let before = server.resident();
    let filler = "x".repeat(50_000);
    let publication = |n: u64| json!({"n": n, "filler": &filler});
    // The kernel's buffers swallow megabytes before anything waits in the server.
    let mut published = 0;
    while server.metric("centrifugo_client_disconnects_slow") < 3 {
        assert!(published < 1000, "never closed");
        for _ in 0..10 {
            server.publish("news", &publication(published));
            reader.expect_publication("news", &publication(published));
            published += 1;
        }
    }
    server.assert_grown_at_most(SLACK, before);
    for stream in slow.iter_mut().chain([&mut only_listens]) {
        let mut seen = 0;
        let last = loop {
            let message = stream.message();
            let message = message.get("push").cloned().unwrap_or(message);
            if message.get("pub").is_none() {
                break message;
            }
            assert_eq!(message["pub"]["data"]["n"], seen);
            seen += 1;
        };
        let expected = json!({"disconnect": {"code": 3008, "reason": "slow"}});
        assert_eq!(last, expected, "after {seen} of {published}");
        stream.expect_end();
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_stream_that_is_closed_and_not_read_is_cut_off() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"queue_max_size": 65_536}}))
        .start();
    let _unread = subscriber(&server, HTTP_STREAM);
    let filler = json!("x".repeat(50_000));
    let mut published = 0;
    while server.metric("centrifugo_client_disconnects_slow") == 0 {
        assert!(published < 1000, "never closed");
        server.publish("news", &filler);
        published += 1;
    }
    let places = || server.metric("centrifugo_client_connections_inflight");
    assert_eq!(places(), 1, "its client has time to read why");
    wait_until(|| places() == 0, "its place is not given back");
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_whose_bytes_are_not_taken_ends_with_the_patience_for_a_pong() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {
            "ping_interval": "1s", "pong_timeout": "500ms", "queue_max_size": 67_108_864,
        }}))
        .start();
    let places = || server.metric("centrifugo_client_connections_inflight");
    let mut stuck = Stream::post(&server, UNI_HTTP_STREAM, WISH);
    assert!(stuck.message()["connect"].is_object());
    let mut idle = Stream::post(&server, UNI_HTTP_STREAM, "{}");
    assert!(idle.message()["connect"].is_object());
    // More than the kernel's buffers swallow, so that something waits.
    let filler = json!("x".repeat(50_000));
    for _ in 0..400 {
        server.publish("news", &filler);
    }
    wait_until(|| places() < 2, "its client counts as there");
    assert_eq!(server.metric("centrifugo_client_disconnects_slow"), 0);
    assert_eq!(
        idle.line().as_deref(),
        Some("{}"),
        "one that takes its pings"
    );
    assert_eq!(places(), 1);
    server.stop();
}

#[test]
fn what_a_client_sends_behind_its_request_costs_nothing() {
    use std::io::Write as _;
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"ping_interval": "1s", "pong_timeout": "900ms"}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut stream = server.tcp();
    let request = http::request("POST", HTTP_STREAM, &[], r#"{"id":1,"connect":{}}"#);
    stream.write_all(&request).unwrap();
    let mut talking = stream.try_clone().unwrap();
    let mut stream = Stream::begun(stream);
    let told = stream.message()["connect"].clone();
    let before = server.resident();
    let chatter = b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n".repeat(10_000);
    for _ in 0..20 {
        talking.write_all(&chatter).unwrap();
    }
    assert_eq!(emulate(&server, &told, r#"{"id":2,"rpc":{}}"#), 204);
    assert_eq!(stream.message()["id"], 2);
    server.assert_grown_at_most(1024, before);
    let ticks = server.cpu_ticks();
    assert_eq!(stream.line().as_deref(), Some("{}"), "the next ping");
    let spent = server.cpu_ticks() - ticks;
    assert!(spent < 10, "{spent} ticks of CPU for doing nothing");
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn streams_count_as_connections() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"connection_limit": 2}}))
        .start();
    let (first, _) = Stream::session(&server, HTTP_STREAM);
    let mut second = Stream::post(&server, UNI_HTTP_STREAM, WISH);
    assert!(second.message()["connect"].is_object());
    let connect = r#"{"id":1,"connect":{}}"#;
    for request in [
        http::request("POST", HTTP_STREAM, &[], connect),
        http::request("POST", UNI_HTTP_STREAM, &[], "{}"),
    ] {
        let response = Response::parse(&server.exchange(&request));
        assert_eq!(response.status, 503);
        assert!(response.header("Retry-After").is_some());
    }
    // An `EventSource` would never come back behind another status.
    for path in [said_in_query(SSE, connect), said_in_query(UNI_SSE, "{}")] {
        let mut refused = Stream::get(&server, &path);
        assert_eq!(refused.head.status, 200);
        let kind = refused.head.header("Content-Type");
        assert_eq!(kind, Some("text/event-stream; charset=utf-8"));
        refused.expect_disconnect(3013, "too many requests");
    }
    assert_eq!(server.metric("centrifugo_client_connections_inflight"), 2);
    assert_eq!(server.metric("centrifugo_node_num_clients"), 2);
    drop(first);
    let places = || server.metric("centrifugo_client_connections_inflight");
    wait_until(|| places() == 1, "its place is not given back");
    Stream::session(&server, SSE);
    server.stop();
}

#[test]
fn health_and_api_answer_when_no_more_streams_fit() {
    let server = Setup::new().with(transports()).descriptors(300).start();
    let bystander = Bystander::of(&server);
    let mut held = Vec::new();
    loop {
        assert!(held.len() < 300, "nobody is refused");
        let stream = Stream::post(&server, HTTP_STREAM, r#"{"id":1,"connect":{}}"#);
        if stream.head.status == 503 {
            break;
        }
        assert_eq!(stream.head.status, 200);
        held.push(stream);
    }
    // More than requests may have connections at a time: they are no requests any more.
    assert!(held.len() > 150, "only {} fit", held.len());
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.api("info", &json!({})).status, 200);
    let told = held[0].message()["connect"].clone();
    assert_eq!(emulate(&server, &told, r#"{"id":2,"rpc":{}}"#), 204);
    assert_eq!(held[0].message()["id"], 2);
    drop(held);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_session_that_never_connects_ends_with_3502() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"stale_close_delay": "1s"}}))
        .start();
    let mut silent = Client::connect(&server, "/connection/uni_websocket");
    let push = json!({"disconnect": {"code": 3502, "reason": "stale"}});
    assert_eq!(silent.reply(), push);
    silent.expect_close(3502);
    server.stop();
}

#[test]
fn streams_that_come_and_go_leave_nothing_behind() {
    let server = Setup::new().with(transports()).start();
    let bystander = Bystander::of(&server);
    let come_and_go = || {
        for n in 0..50 {
            let path = [HTTP_STREAM, SSE][n % 2];
            let (mut stream, told) = Stream::session(&server, path);
            let subscribe: Value = json!({"id": 2, "subscribe": {"channel": format!("c{n}")}});
            assert_eq!(emulate(&server, &told, &subscribe.to_string()), 204);
            assert_eq!(stream.message()["id"], 2);
        }
        let clients = || server.metric("centrifugo_node_num_clients");
        wait_until(|| clients() == 1, "clients are left");
    };
    come_and_go();
    let before = server.resident();
    come_and_go();
    server.assert_grown_at_most(1024, before);
    assert_eq!(server.metric("centrifugo_node_num_channels"), 1);
    assert_eq!(server.metric("centrifugo_client_connections_inflight"), 1);
    bystander.assert_untouched(&server);
    server.stop();
}
