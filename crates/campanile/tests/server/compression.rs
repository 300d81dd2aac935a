//! permessage-deflate (RFC 7692): what is agreed to, who shares what, and what a compressed message
//! may cost.

use std::io::Read as _;

use campanile_protocol::ws::Opcode;
use campanile_protocol::ws::deflate::{Deflater, Window};
use serde_json::{Value, json};

use crate::support::bystander::Bystander;
use crate::support::client::{Client, ECHO, Received, WEBSOCKET, masked};
use crate::support::http::{Response, Upgrade};
use crate::support::server::{Server, Setup};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const SMALL_OFFER: &str = "permessage-deflate; server_max_window_bits=10";
const FULL: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const SMALL: &str = "permessage-deflate; server_no_context_takeover; \
                     client_no_context_takeover; server_max_window_bits=9";
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// KiB that a server may grow by for reasons of its own: allocator, first use of code.
const SLACK: u64 = 4 * 1024;

fn compressing() -> Setup {
    Setup::new().with(json!({"websocket": {"compression": true}}))
}

/// A frame of a client whose first byte is given.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = masked(Opcode::Binary, payload);
    bytes[0] = first;
    bytes
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut deflater = Deflater::new(9, 0);
    let payload = deflater.deflate(Window::Full, message);
    payload.expect("it repeats itself").to_vec()
}

fn subscriber(server: &Server, offer: &str, channel: &str) -> Client {
    let mut client = Client::offering(server, WEBSOCKET, offer);
    client.log_in();
    client.subscribe(channel);
    client
}

/// 2,000 characters that deflate can do something about.
fn long() -> Value {
    json!({"text": "ding dong ".repeat(200)})
}

/// The first byte of the next frame, which is lost to the client.
fn first_byte(client: &mut Client) -> u8 {
    let mut byte = [0];
    client.stream.read_exact(&mut byte).expect("a frame comes");
    byte[0]
}

#[test]
fn an_offer_is_answered_where_compression_is_on() {
    let (on, off) = (compressing().start(), Server::start());
    for path in [WEBSOCKET, ECHO] {
        for (offer, answer) in [
            (OFFER, Some(FULL)),
            (SMALL_OFFER, Some(SMALL)),
            ("permessage-deflate; server_max_window_bits=8", None),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                Some(FULL),
            ),
            ("permessage-deflate; mystery", None),
            ("permessage-bzip2", None),
        ] {
            for (server, answer) in [(&on, answer), (&off, None)] {
                let client = Client::offering(server, path, offer);
                let mut lines = client.head.lines();
                let said = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
                assert_eq!(said, answer, "{path} {offer}");
            }
        }
    }
    on.stop();
    off.stop();
}

#[test]
fn a_list_of_extensions_that_is_none_is_refused_with_400() {
    let server = compressing().start();
    let upgrade = Upgrade::new(ECHO).header("Sec-WebSocket-Extensions", "permessage-deflate; =1");
    let response = Response::parse(&server.exchange(&upgrade.bytes()));
    assert_eq!(response.status, 400);
    server.stop();
}

#[test]
fn a_publication_is_compressed_once_for_all_who_share_a_window() {
    let server = compressing().start();
    let full = (0..100).map(|_| subscriber(&server, OFFER, "news"));
    let small = (0..3).map(|_| subscriber(&server, SMALL_OFFER, "news"));
    let mut clients: Vec<_> = full.chain(small).collect();
    clients.push(Client::subscriber(&server, "news"));
    let before = server.metric("centrifugo_compressions");
    server.publish("news", &long());
    for client in &mut clients {
        client.expect_publication("news", &long());
    }
    assert_eq!(server.metric("centrifugo_compressions") - before, 2);
    server.stop();
}

#[test]
fn only_who_agreed_gets_compressed_frames() {
    let server = compressing().start();
    let mut agreed = subscriber(&server, OFFER, "news");
    let mut plain = Client::subscriber(&server, "news");
    server.publish("news", &long());
    assert_eq!(first_byte(&mut agreed), FIN | RSV1 | 1);
    assert_eq!(first_byte(&mut plain), FIN | 1);
    server.stop();
}

#[test]
fn what_is_short_or_does_not_shrink_stays_plain() {
    let server = compressing().start();
    let mut client = Client::offering(&server, ECHO, OFFER);
    client.send(Opcode::Binary, &[b'x'; 511]);
    assert_eq!(first_byte(&mut client), FIN | 2);
    let mut client = Client::offering(&server, ECHO, OFFER);
    client.send(Opcode::Binary, &[b'x'; 512]);
    assert_eq!(first_byte(&mut client), FIN | RSV1 | 2);
    // Deflated once, it has nothing left to give.
    let words = (0..3_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string());
    let noise = deflated(words.collect::<String>().as_bytes());
    let mut client = Client::offering(&server, ECHO, OFFER);
    client.send(Opcode::Binary, &noise);
    assert_eq!(first_byte(&mut client), FIN | 2);
    server.stop();
}

#[test]
fn the_least_size_is_configured() {
    let settings = json!({"compression_min_size": 20, "compression_level": 9});
    let server = compressing().with(json!({"websocket": settings})).start();
    let mut client = Client::offering(&server, ECHO, OFFER);
    client.send(Opcode::Text, &[b'x'; 20]);
    assert_eq!(first_byte(&mut client), FIN | RSV1 | 1);
    server.stop();
}

#[test]
fn a_level_that_is_none_is_refused_at_the_start() {
    let settings = json!({"compression_level": 10});
    let output = compressing()
        .with(json!({"websocket": settings}))
        .run_to_end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("websocket.compression_level"), "{said}");
    assert!(!output.status.success());
}

#[test]
fn compressed_commands_are_understood_in_any_fragments() {
    let server = compressing().start();
    let mut client = Client::offering(&server, WEBSOCKET, OFFER);
    client.log_in();
    let command = json!({"id": 2, "subscribe": {"channel": "news"}, "x": "x".repeat(900)});
    let payload = deflated(command.to_string().as_bytes());
    client.send_raw(&frame(RSV1 | 1, &payload[..5]));
    client.send(Opcode::Ping, b"between");
    assert_eq!(client.receive(), Received::Pong(b"between".into()));
    client.send_raw(&frame(0, b""));
    client.send_raw(&frame(FIN, &payload[5..]));
    assert!(client.reply()["subscribe"].is_object());
    server.publish("news", &long());
    client.expect_publication("news", &long());
    server.stop();
}

#[test]
fn an_echo_comes_back_compressed_or_not_but_the_same() {
    let server = compressing().start();
    for offer in [OFFER, SMALL_OFFER] {
        let mut client = Client::offering(&server, ECHO, offer);
        let text = "to and fro ".repeat(500);
        client.send_raw(&frame(FIN | RSV1 | 1, &deflated(text.as_bytes())));
        assert_eq!(client.receive(), Received::Text(text.clone()));
        client.send_text(&text);
        assert_eq!(client.receive(), Received::Text(text));
        client.send_text("short");
        assert_eq!(client.receive(), Received::Text("short".into()));
        client.send(Opcode::Close, b"\x03\xE8");
        client.expect_close(1000);
    }
    server.stop();
}

#[test]
fn compressed_nonsense_is_answered_with_its_close_code() {
    let server = compressing().start();
    let bystander = Bystander::of(&server);
    let payload = deflated(&[0xFF; 100]);
    let continued = [frame(RSV1 | 1, b"\0"), frame(FIN | RSV1, b"")].concat();
    for (what, offer, bytes, code) in [
        ("no agreement", "", frame(FIN | RSV1 | 1, b"\0"), 1002),
        ("RSV1 in a ping", OFFER, frame(FIN | RSV1 | 9, b""), 1002),
        ("RSV1 in a continuation", OFFER, continued, 1002),
        ("RSV2", OFFER, frame(FIN | 0x20 | 1, b""), 1002),
        ("no deflate", OFFER, frame(FIN | RSV1 | 2, b"\x06"), 1007),
        ("no UTF-8", OFFER, frame(FIN | RSV1 | 1, &payload), 1007),
    ] {
        for path in [WEBSOCKET, ECHO] {
            let mut client = Client::offering(&server, path, offer);
            client.send_raw(&bytes);
            let reason = client.expect_close(code);
            assert!(!reason.is_empty(), "{what}");
        }
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_bomb_ends_its_own_connection_and_costs_no_memory() {
    let server = compressing().start();
    let bystander = Bystander::of(&server);
    let bomb = deflated(&vec![0; 60 << 20]);
    assert!(bomb.len() < 65_536, "it comes through the door");
    let mut other = Client::offering(&server, ECHO, OFFER);
    let before = server.resident();
    for path in [WEBSOCKET, ECHO] {
        let mut client = Client::offering(&server, path, OFFER);
        client.send_raw(&frame(FIN | RSV1 | 2, &bomb));
        client.expect_close(1009);
    }
    server.assert_grown_at_most(SLACK, before);
    other.send_raw(&frame(FIN | RSV1 | 2, &deflated(&[0; 65_536])));
    assert_eq!(other.receive(), Received::Binary(vec![0; 65_536]));
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn what_is_too_much_for_one_turn_is_taken_in_the_next_ones() {
    let server = compressing().start();
    let mut client = Client::offering(&server, WEBSOCKET, OFFER);
    client.log_in();
    let mut echo = Client::offering(&server, ECHO, OFFER);
    let mut frames = Vec::new();
    let commands: Vec<_> = (2..42)
        .map(|id| json!({"id": id, "rpc": {"data": "x".repeat(65_000)}}).to_string())
        .collect();
    for command in &commands {
        frames.extend(frame(FIN | RSV1 | 1, &deflated(command.as_bytes())));
    }
    // All of it fits into one read, and nothing comes behind it.
    assert!(frames.len() < 16_384, "{}", frames.len());
    client.send_raw(&frames);
    for id in 2..42 {
        assert_eq!(client.reply()["id"], id);
    }
    echo.send_raw(&frames[..frames.len() / 4]);
    for command in &commands[..9] {
        assert_eq!(echo.receive(), Received::Text(command.clone()));
    }
    server.stop();
}

#[test]
fn what_a_message_may_become_is_configured() {
    let settings = json!({"decompressed_message_size_limit": 100_000});
    let server = compressing().with(json!({"websocket": settings})).start();
    let mut client = Client::offering(&server, ECHO, OFFER);
    client.send_raw(&frame(FIN | RSV1 | 2, &deflated(&[0; 100_000])));
    assert_eq!(client.receive(), Received::Binary(vec![0; 100_000]));
    client.send_raw(&frame(FIN | RSV1 | 2, &deflated(&[0; 100_001])));
    client.expect_close(1009);
    server.stop();
}

#[test]
fn an_idle_connection_costs_the_same_with_compression() {
    const COUNT: usize = 400;
    let server = compressing().start();
    let message = "x".repeat(2_000);
    let payload = deflated(message.as_bytes());
    let used = |offer: &str| {
        let mut client = Client::offering(&server, ECHO, offer);
        match offer {
            "" => client.send_text(&message),
            _ => client.send_raw(&frame(FIN | RSV1 | 1, &payload)),
        }
        assert_eq!(client.receive(), Received::Text(message.clone()));
        client
    };
    // The worker's own, which come with the first message.
    let _first = [used(OFFER), used("")];
    let before = server.resident();
    let _compressed: Vec<_> = (0..COUNT).map(|_| used(OFFER)).collect();
    // A window alone would be 32 KiB for each.
    server.assert_grown_at_most(COUNT as u64, before);
    server.stop();
}
