//! `campanile drain`, and the time between the first sign of an end and the end.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::API_KEY;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::embedded::Embedded;
use crate::support::http::{self, Upgrade};
use crate::support::server::{Home, Server, Setup};

fn drain(server: &Server, arguments: &[&str]) -> Output {
    drain_at(server.address, &server.home, arguments)
}

fn drain_at(address: SocketAddr, home: &Home, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_campanile"))
        .args(["drain", "--url", &format!("http://{address}")])
        .args(arguments)
        .env_clear()
        .env("CAMPANILE_HTTP_API_KEY", API_KEY)
        .current_dir(home.path())
        .output()
        .expect("the program runs")
}

#[test]
fn a_drained_server_is_empty_and_stays() {
    let server = Setup::new()
        .with(json!({"shutdown": {"drain": "500ms"}}))
        .start();
    let mut clients: Vec<_> = (0..10).map(|_| Client::session(&server)).collect();
    let output = drain(&server, &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for client in &mut clients {
        assert_eq!(client.expect_close(3001), "shutdown");
    }
    assert_eq!(server.get("/ready").status, 503);
    let newcomer = server.exchange(&Upgrade::new(WEBSOCKET).bytes());
    assert!(newcomer.starts_with("HTTP/1.1 503"), "{newcomer}");
    assert_eq!(server.metric("centrifugo_client_connections_inflight "), 0);
    assert_eq!(drain(&server, &[]).status.code(), Some(0), "again");
    server.stop();
}

#[test]
fn a_drain_that_takes_too_long_is_a_failure_and_goes_on() {
    let server = Setup::new()
        .with(json!({"shutdown": {"drain": "5s"}}))
        .start();
    let _clients: Vec<_> = (0..10).map(|_| Client::session(&server)).collect();
    let output = drain(&server, &["--timeout", "300ms"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("connections are left after"), "{told}");
    assert_eq!(drain(&server, &["--timeout", "0s"]).status.code(), Some(0));
}

#[test]
fn a_drain_may_end_the_process() {
    let mut server = Server::start();
    let mut client = Client::session(&server);
    let output = drain(&server, &["--exit"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    client.expect_close(3001);
    assert_eq!(server.wait(), Some(0));
    // Nobody is there to be drained.
    assert_eq!(drain(&server, &[]).status.code(), Some(69));
}

#[test]
fn a_drain_that_ends_the_process_takes_its_time() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"drain": "1500ms"}}))
        .start();
    let mut clients: Vec<_> = (0..30).map(|_| Client::session(&server)).collect();
    let began = Instant::now();
    let output = drain(&server, &["--exit"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1200), "{took:?}");
    for client in &mut clients {
        assert_eq!(client.expect_close(3001), "shutdown");
    }
    assert_eq!(server.wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(4), "and no more");
    assert_eq!(server.log.count("told to stop once more"), 0);
}

#[test]
fn a_drain_ends_the_process_that_it_was_for_and_not_the_next() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = Setup::new().socket(Arc::new(socket)).start();
    let _client = Client::session(&server);
    let (address, home) = (server.address, Arc::clone(&server.home));
    let drained = thread::spawn(move || drain_at(address, &home, &["--exit"]));
    server.log.wait_for("stopping");
    let server = server.restart(Signal::TERM);
    let output = drained.join().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut client = Client::session(&server);
    client.subscribe("news");
    assert_eq!(server.get("/ready").status, 200);
    server.stop();
}

#[test]
fn who_asks_how_far_a_drain_has_come_orders_none() {
    let server = Server::start();
    let ask = |headers: &[(&str, &str)]| {
        server.exchange(&http::request("GET", "/api/drain", headers, ""))
    };
    let mut client = Client::session(&server);
    assert!(ask(&[]).starts_with("HTTP/1.1 401"));
    let told = ask(&[("X-API-Key", API_KEY)]);
    assert!(told.contains(r#""connections":1"#), "{told}");
    client.subscribe("news");
    assert_eq!(server.get("/ready").status, 200);
    server.stop();
}

/// Its place was given to it before the doors were shut.
#[test]
fn who_comes_when_the_last_has_left_is_sent_away_too() {
    let server = Embedded::start(json!({}), |server| server);
    server.wait_for(server.node().drain(Duration::ZERO));
    server.wait_for(server.node().report());
    // For the drain to find nobody.
    Client::upgrade(server.tcp(), &Upgrade::new(WEBSOCKET).bytes()).expect_close(3001);
    Client::upgrade(server.tcp(), &Upgrade::new(WEBSOCKET).bytes()).expect_close(3001);
}

#[test]
fn a_drain_takes_the_key_of_the_api() {
    let server = Server::start();
    let mut client = Client::session(&server);
    let output = drain(&server, &["--api-key", "another"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    client.subscribe("news");
    assert_eq!(server.get("/ready").status, 200);
    server.stop();
}

#[test]
fn load_balancers_have_time_to_see_that_it_is_not_ready() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"delay": "1s"}}))
        .start();
    let mut early = Client::session(&server);
    server.signal(Signal::TERM);
    server.log.wait_for("stopping");
    let began = Instant::now();
    assert_eq!(server.get("/ready").status, 503);
    let mut late = Client::session(&server);
    late.subscribe("news");
    for client in [&mut early, &mut late] {
        client.expect_close(3001);
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(700), "{took:?}");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_that_time() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"delay": "60s", "timeout": "60s"}}))
        .start();
    server.signal(Signal::TERM);
    server.log.wait_for("stopping");
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(1));
}
