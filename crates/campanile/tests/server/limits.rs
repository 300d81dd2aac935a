//! How many connections, and how long they may do nothing.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::bystander::Bystander;
use crate::support::client::{Client, ECHO, WEBSOCKET};
use crate::support::http::{Response, Upgrade};
use crate::support::server::{Server, Setup};

fn attempt(server: &Server, path: &str) -> Response {
    Response::parse(&server.exchange(&Upgrade::new(path).bytes()))
}

fn assert_full(server: &Server) {
    for path in [WEBSOCKET, ECHO] {
        let response = attempt(server, path);
        assert_eq!(response.status, 503, "{path}");
        assert!(response.header("Retry-After").is_some());
    }
}

#[test]
fn connections_beyond_the_limit_are_refused_until_one_leaves() {
    let server = Setup::new()
        .with(json!({"client": {"connection_limit": 3}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut second = Client::session(&server);
    let _third = Client::connect(&server, ECHO);
    assert_full(&server);
    assert_eq!(server.metric("centrifugo_node_client_connection_limit"), 2);
    second.send(Opcode::Close, &[]);
    second.receive();
    second.expect_end();
    drop(second);
    let deadline = Instant::now() + PATIENCE;
    while server.metric("centrifugo_client_connections_inflight") > 2 {
        assert!(Instant::now() < deadline, "its place is not given back");
    }
    Client::session(&server);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn connections_beyond_the_rate_are_refused() {
    let server = Setup::new()
        .with(json!({"client": {"connection_rate_limit": 2}}))
        .start();
    let bystander = Bystander::of(&server);
    let began = Instant::now();
    let mut accepted = 1;
    let mut refused = 0;
    for _ in 0..20 {
        let mut stream = server.tcp();
        stream.write_all(&Upgrade::new(WEBSOCKET).bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        match &status {
            b"HTTP/1.1 101" => accepted += 1,
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    let most = 2 + 2 * (began.elapsed().as_secs() + 1);
    assert!(
        accepted <= most && refused >= 20 - most,
        "{accepted} accepted, {refused} refused"
    );
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn without_descriptors_connections_are_refused_while_health_and_api_answer() {
    let server = Setup::new().descriptors(300).start();
    let bystander = Bystander::of(&server);
    let mut held = Vec::new();
    // The first to be refused tells how many there is room for.
    loop {
        assert!(held.len() < 300, "nobody is refused");
        let mut stream = server.tcp();
        stream.write_all(&Upgrade::new(WEBSOCKET).bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        if &status == b"HTTP/1.1 503" {
            break;
        }
        assert_eq!(&status, b"HTTP/1.1 101");
        held.push(stream);
    }
    assert!(held.len() >= 30, "only {} fit", held.len());
    assert_full(&server);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.api("info", &json!({})).status, 200);
    bystander.assert_untouched(&server);
    drop(held);
    server.stop();
}

#[test]
fn connections_that_use_up_every_descriptor_do_not_make_the_server_spin_or_stop() {
    let server = Setup::new().descriptors(300).start();
    let bystander = Bystander::of(&server);
    // Silent ones, which no upgrade has counted yet; more than fit.
    let silent: Vec<_> = (0..320).map(|_| server.tcp()).collect();
    let ticks = server.cpu_ticks();
    // Those that were accepted are cut for their silence, and the rest are served.
    let mut first = &silent[0];
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).unwrap();
    let spent = server.cpu_ticks() - ticks;
    assert!(spent < 200, "{spent} ticks of CPU for doing nothing");
    drop(silent);
    bystander.assert_untouched(&server);
    assert_eq!(server.get("/health").status, 200);
    server.stop();
}

#[test]
fn a_connection_that_never_logs_in_is_closed_with_3502() {
    let server = Setup::new()
        .with(json!({"client": {"stale_close_delay": "1s"}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut client = Client::connect(&server, WEBSOCKET);
    let began = Instant::now();
    assert_eq!(client.expect_close(3502), "stale");
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(800) && took < Duration::from_secs(3),
        "{took:?}"
    );
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_request_that_comes_too_slowly_is_cut_after_5_seconds() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let began = Instant::now();
    let mut silent = server.tcp();
    let mut halfway = server.tcp();
    let request = Upgrade::new(WEBSOCKET).bytes();
    halfway.write_all(&request[..request.len() - 2]).unwrap();
    for stream in [&mut silent, &mut halfway] {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(4) && took < Duration::from_secs(8),
        "{took:?}"
    );
    bystander.assert_untouched(&server);
    server.stop();
}
