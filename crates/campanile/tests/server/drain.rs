//! `campanile drain`, and the time between the first sign of an end and the end.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::API_KEY;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::http::Upgrade;
use crate::support::server::{Server, Setup};

fn drain(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_campanile"))
        .args(["drain", "--url", &format!("http://{}", server.address)])
        .args(arguments)
        .env_clear()
        .env("CAMPANILE_HTTP_API_KEY", API_KEY)
        .current_dir(server.home.path())
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
