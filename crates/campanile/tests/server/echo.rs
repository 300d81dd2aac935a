//! The echo endpoint: what probes and conformance suites talk to.

use campanile_protocol::ws::Opcode;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, ECHO, Received};
use crate::support::server::Server;

#[test]
fn messages_come_back_as_they_came() {
    let server = Server::start();
    let mut client = Client::connect(&server, ECHO);
    for text in ["", "hello", "ä€𝄞"] {
        client.send_text(text);
        assert_eq!(client.receive(), Received::Text(text.into()));
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    client.send(Opcode::Binary, &bytes);
    assert_eq!(client.receive(), Received::Binary(bytes));
    client.send(Opcode::Ping, b"p");
    assert_eq!(client.receive(), Received::Pong(b"p".into()));
    server.stop();
}

#[test]
fn a_close_comes_back_with_its_code() {
    let server = Server::start();
    let mut client = Client::connect(&server, ECHO);
    client.send(Opcode::Close, b"\x0F\xA0bye");
    assert_eq!(client.expect_close(4000), "bye");
    server.stop();
}

#[test]
fn a_broken_rule_ends_this_connection_alone_and_is_one_line_in_the_log() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut other = Client::connect(&server, ECHO);
    let mut client = Client::connect(&server, ECHO);
    client.send_text("before");
    client.send_raw(b"\xF1\x80");
    assert_eq!(client.receive(), Received::Text("before".into()));
    client.expect_close(1002);
    other.send_text("after");
    assert_eq!(other.receive(), Received::Text("after".into()));
    bystander.assert_untouched(&server);
    let log = server.log.clone();
    server.stop();
    assert_eq!(log.count("reserved bit"), 1, "{}", log.text());
}
