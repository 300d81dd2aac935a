//! The end: announced, clean, and quick when it is asked for twice.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Client, ECHO, WEBSOCKET};
use crate::support::server::{Server, Setup};

#[test]
fn sigterm_turns_readiness_off_and_closes_clients_with_3001() {
    // The drain takes long enough to look at the server meanwhile.
    let mut server = Setup::new()
        .with(json!({"shutdown": {"drain": "2s"}}))
        .start();
    let mut clients: Vec<_> = (0..40).map(|_| Client::session(&server)).collect();
    assert_eq!(server.get("/ready").status, 200);
    server.signal(Signal::TERM);
    server.log.wait_for("stopping");
    let ready = server.get("/ready");
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (503, r#"{"ready":false,"reason":"the server is stopping"}"#)
    );
    assert_eq!(server.get("/health").status, 200);
    let began = Instant::now();
    for client in &mut clients {
        assert_eq!(client.expect_close(3001), "shutdown");
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500), "not spread: {took:?}");
    assert_eq!(server.wait(), Some(0), "{}", server.log.text());
}

#[test]
fn sigint_is_as_good_and_without_a_drain_all_end_at_once() {
    let mut server = Server::start();
    let mut session = Client::session(&server);
    let mut unknown = Client::connect(&server, WEBSOCKET);
    let began = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(session.expect_close(3001), "shutdown");
    assert_eq!(unknown.expect_close(3001), "shutdown");
    assert_eq!(server.wait(), Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"drain": "60s", "timeout": "60s"}}))
        .start();
    let _clients: Vec<_> = (0..10).map(|_| Client::session(&server)).collect();
    server.signal(Signal::TERM);
    server.log.wait_for("stopping");
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(server.log.count("told to stop once more"), 1);
}

#[test]
fn an_idle_connection_of_http_does_not_hold_the_end_up() {
    use std::io::{Read as _, Write as _};
    let server = Server::start();
    let mut kept = server.tcp();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    let mut status = [0; 12];
    kept.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let _silent = server.tcp();
    let _echo = Client::connect(&server, ECHO);
    let began = Instant::now();
    server.stop();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn clients_that_do_not_answer_are_left_when_the_time_is_up() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"drain": "10s", "timeout": "1s"}}))
        .start();
    let _clients: Vec<_> = (0..10).map(|_| Client::session(&server)).collect();
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
