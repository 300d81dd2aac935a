//! Requests that are framed so that somebody else would see a second one in them (RFC 9112 section
//! 11.2): the handshake is refused, and nothing behind it is ever answered.

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, WEBSOCKET, masked};
use crate::support::http::{Upgrade, exchange_bytes};
use crate::support::server::Server;

const SECOND: &[u8] = b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Sends `request` with a second one behind it; expects one response and the end.
fn assert_one_response(server: &Server, request: &[u8], status: &str) {
    let answer = server.exchange(&[request, SECOND].concat());
    let what = String::from_utf8_lossy(request);
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}\nto {what}"
    );
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}\nto {what}");
}

#[test]
fn an_upgrade_with_a_body_is_refused_and_its_connection_dropped() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for path in [WEBSOCKET, "/nothing"] {
        let good = || Upgrade::new(path);
        let chunked = good().header("Transfer-Encoding", "chunked").bytes();
        // Here the second request is what the body is, and no chunk: not even a refusal is due.
        assert_eq!(server.exchange(&[&chunked, SECOND].concat()), "");
        let ended = [&chunked[..], b"0\r\n\r\n"].concat();
        assert_one_response(&server, &ended, "400");
        let with_body = good().header("Content-Length", "5").bytes();
        assert_one_response(&server, &with_body, "400");
        assert_one_response(&server, &[&with_body[..], b"hello"].concat(), "400");
        let both = good()
            .header("Transfer-Encoding", "chunked")
            .header("Content-Length", "5");
        assert_one_response(&server, &both.bytes(), "400");
        let unknown = good().header("Transfer-Encoding", "identity").bytes();
        assert_one_response(&server, &unknown, "400");
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_request_behind_a_refused_upgrade_is_never_answered() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let good = || Upgrade::new(WEBSOCKET);
    assert_one_response(&server, &good().without("Sec-WebSocket-Key").bytes(), "400");
    assert_one_response(
        &server,
        &good().header("Origin", "https://evil.org").bytes(),
        "403",
    );
    assert_one_response(
        &server,
        &good().header("Sec-WebSocket-Version", "8").bytes(),
        "426",
    );
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_request_behind_an_accepted_upgrade_is_taken_for_a_bad_frame() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let request = [&Upgrade::new(WEBSOCKET).bytes(), SECOND].concat();
    Client::upgrade(server.tcp(), &request).expect_close(1002);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_line_that_ends_without_a_return_does_not_begin_another_request() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let text = String::from_utf8(Upgrade::new(WEBSOCKET).bytes()).unwrap();
    let bare = text.replace("\r\n", "\n");
    // Either it is no request, or what follows it is no request: never are there two.
    let answer = exchange_bytes(server.tcp(), &[bare.as_bytes(), SECOND].concat());
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let server = Server::start();
    let connect = json!({"id": 1, "connect": {}}).to_string();
    let subscribe = json!({"id": 2, "subscribe": {"channel": "news"}}).to_string();
    let mut request = Upgrade::new(WEBSOCKET).bytes();
    request.extend(masked(Opcode::Text, connect.as_bytes()));
    request.extend(masked(Opcode::Text, subscribe.as_bytes()));
    let mut client = Client::upgrade(server.tcp(), &request);
    assert!(client.reply()["connect"].is_object());
    assert!(client.reply()["subscribe"].is_object());
    server.publish("news", &json!(1));
    client.expect_publication("news", &json!(1));
    server.stop();
}
