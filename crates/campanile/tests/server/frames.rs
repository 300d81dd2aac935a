//! Frames that RFC 6455 forbids, and the frames that answer others.

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, Received, WEBSOCKET, bare, masked};
use crate::support::server::Server;

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;

#[test]
fn a_frame_that_breaks_the_rules_is_answered_with_its_close_code() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let unmasked = b"\x81\x02{}".to_vec();
    let mut cases = vec![
        ("unmasked", unmasked, 1002),
        ("unmasked close", b"\x88\x00".to_vec(), 1002),
        (
            "control frame of 126 bytes",
            bare(FIN | 9, MASK | 126, &[0; 130]),
            1002,
        ),
        ("fragmented ping", bare(9, MASK, &[]), 1002),
        ("fragmented close", bare(8, MASK, &[]), 1002),
        ("continuation of nothing", bare(FIN, MASK, &[]), 1002),
        ("length not minimal", bare(FIN | 1, MASK | 126, &[]), 1002),
        ("invalid UTF-8", masked(Opcode::Text, b"\xC3\x28"), 1007),
        (
            "half a character",
            masked(Opcode::Text, "ä".as_bytes().split_at(1).0),
            1007,
        ),
        ("a surrogate", masked(Opcode::Text, b"\xED\xA0\x80"), 1007),
        ("close of one byte", masked(Opcode::Close, &[3]), 1002),
        (
            "close with bad UTF-8",
            masked(Opcode::Close, b"\x03\xE8\xFF"),
            1007,
        ),
    ];
    for bit in [0x10, 0x20, 0x40] {
        cases.push(("reserved bit", bare(FIN | bit | 1, MASK, &[]), 1002));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(("reserved opcode", bare(FIN | opcode, MASK, &[]), 1002));
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 65535] {
        cases.push((
            "close code",
            masked(Opcode::Close, &code.to_be_bytes()),
            1002,
        ));
    }
    for (what, frame, code) in cases {
        let mut client = Client::session(&server);
        client.send_raw(&frame);
        let Received::Close(Some((is, reason))) = client.receive() else {
            panic!("{what}: no close frame");
        };
        assert_eq!(is, code, "{what}: {reason}");
        client.expect_end();
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn text_is_judged_over_its_fragments_as_soon_as_it_is_wrong() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut client = Client::session(&server);
    // A message without an end.
    client.send_raw(&bare(1, MASK | 1, b"\xFF"));
    client.expect_close(1007);
    // A character across two fragments is a character.
    let mut client = Client::session(&server);
    let command = json!({"id": 2, "subscribe": {"channel": "ok"}, "x": "ä"}).to_string();
    let (first, rest) = command.as_bytes().split_at(command.find('ä').unwrap() + 1);
    for (opcode, part) in [(1, first), (FIN, rest)] {
        let length = u8::try_from(part.len()).unwrap();
        client.send_raw(&bare(opcode, MASK | length, part));
    }
    assert_eq!(client.reply()["id"], 2);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn valid_messages_before_a_bad_frame_are_answered() {
    let server = Server::start();
    let mut client = Client::session(&server);
    let mut bytes = masked(Opcode::Text, br#"{"id":2,"subscribe":{"channel":"news"}}"#);
    bytes.extend(b"\x81\x00");
    client.send_raw(&bytes);
    assert!(client.reply()["subscribe"].is_object());
    client.expect_close(1002);
    server.stop();
}

#[test]
fn a_message_beyond_the_limit_is_closed_with_1009() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut whole = Client::session(&server);
    whole.send_text(&"x".repeat(65_537));
    whole.expect_close(1009);
    let mut in_parts = Client::session(&server);
    let length = 40_000_u16.to_be_bytes();
    for opcode in [2, 0] {
        in_parts.send_raw(&[&[opcode, MASK | 126], &length[..], &[0; 4], &[0; 40_000]].concat());
    }
    in_parts.expect_close(1009);
    // At the limit it is a message, though no command.
    let mut full = Client::session(&server);
    full.send_text(&"x".repeat(65_536));
    full.expect_close(3501);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_close_is_answered_with_its_own_code_and_then_the_connection_ends() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for (code, reason) in [(1000_u16, "bye"), (1001, ""), (3000, "x"), (4999, "ü")] {
        let mut client = Client::session(&server);
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        client.send(Opcode::Close, &payload);
        assert_eq!(client.expect_close(code), reason);
    }
    let mut client = Client::connect(&server, WEBSOCKET);
    client.send(Opcode::Close, &[]);
    assert_eq!(client.receive(), Received::Close(None));
    client.expect_end();
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_ping_is_answered_with_its_payload_also_inside_a_message() {
    let server = Server::start();
    let mut client = Client::session(&server);
    client.send(Opcode::Ping, b"are you there");
    assert_eq!(client.receive(), Received::Pong(b"are you there".into()));
    client.send_raw(&bare(1, MASK | 1, b"{"));
    client.send(Opcode::Ping, b"");
    assert_eq!(client.receive(), Received::Pong(Vec::new()));
    // A pong that nobody asked for is nothing (RFC 6455 section 5.5.3).
    client.send(Opcode::Pong, b"x");
    let rest = br#""id":2,"subscribe":{"channel":"news"}}"#;
    client.send_raw(&bare(FIN, MASK | u8::try_from(rest.len()).unwrap(), rest));
    assert!(client.reply()["subscribe"].is_object());
    server.stop();
}

#[test]
fn pings_that_come_together_are_all_answered_in_order() {
    let server = Server::start();
    let mut client = Client::session(&server);
    let pings = (0..10).map(|n| masked(Opcode::Ping, &[n]));
    client.send_raw(&pings.collect::<Vec<_>>().concat());
    for n in 0..10 {
        assert_eq!(client.receive(), Received::Pong(vec![n]));
    }
    server.stop();
}
