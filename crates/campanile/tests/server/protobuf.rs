//! Clients that speak Protobuf (client protocol, sections 1.1 and 2.4), byte by byte.

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, Received, WEBSOCKET};
use crate::support::http::Upgrade;
use crate::support::server::{Server, Setup};

/// A field that holds a text, bytes or a message of fewer than 128 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(length < 128, "short");
    [&[number << 3 | 2, length], content].concat()
}

/// A command with this id and this one request, behind its length.
fn command(id: u8, number: u8, request: &[u8]) -> Vec<u8> {
    let message = [&[8, id], &field(number, request)[..]].concat();
    [&[u8::try_from(message.len()).expect("short")], &message[..]].concat()
}

fn subscribe(id: u8, channel: &str) -> Vec<u8> {
    command(id, 5, &field(1, channel.as_bytes()))
}

/// A session that speaks Protobuf.
fn session(server: &Server) -> Client {
    let upgrade = Upgrade::new(WEBSOCKET).header("Sec-WebSocket-Protocol", "centrifuge-protobuf");
    let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
    log_in(&mut client);
    client
}

fn log_in(client: &mut Client) {
    client.send(Opcode::Binary, &command(1, 4, b""));
    let reply = message(client);
    // Its id, and a connect result that begins with the 36 bytes of a client id.
    assert_eq!(reply[..3], *b"\x08\x01\x2a", "{reply:?}");
    assert_eq!(reply[4..6], *b"\x0a\x24", "{reply:?}");
}

/// The next message, without its length; it is alone in its frame and short.
fn message(client: &mut Client) -> Vec<u8> {
    match client.receive() {
        Received::Binary(frame) => {
            assert_eq!(frame.len(), usize::from(frame[0]) + 1, "{frame:?}");
            frame[1..].to_vec()
        }
        other => panic!("no message but {other:?}"),
    }
}

fn asked(client: &mut Client, command: &[u8]) -> Vec<u8> {
    client.send(Opcode::Binary, command);
    message(client)
}

/// Anyone may publish anything, and it is kept.
fn server() -> Server {
    let rules = json!({
        "allow_publish_for_client": true,
        "allow_publish_for_anonymous": true,
        "allow_history_for_client": true,
        "allow_history_for_anonymous": true,
        "publication_data_format": "binary",
        "history_size": 10,
        "history_ttl": "60s",
    });
    Setup::new()
        .with(json!({"channel": {"without_namespace": rules}}))
        .start()
}

#[test]
fn the_encoding_follows_the_subprotocol_or_the_query() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for path in [
        "/connection/websocket?format=protobuf",
        "/connection/websocket?x=1&cf_protocol=protobuf&cf_protocol_version=v2",
    ] {
        log_in(&mut Client::connect(&server, path));
    }
    for offer in [
        "centrifuge-protobuf",
        "x, centrifuge-protobuf,centrifuge-json",
    ] {
        let upgrade = Upgrade::new(WEBSOCKET).header("Sec-WebSocket-Protocol", offer);
        let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
        assert!(
            client
                .head
                .contains("\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\n"),
            "{}",
            client.head
        );
        log_in(&mut client);
    }
    for path in [
        "/connection/websocket?format=json",
        "/connection/websocket?xformat=protobuf",
    ] {
        let offer = Upgrade::new(path).header(
            "Sec-WebSocket-Protocol",
            "centrifuge-json, centrifuge-protobuf",
        );
        Client::upgrade(server.tcp(), &offer.bytes()).log_in();
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn binary_payloads_reach_subscribers_and_history_as_they_are() {
    let server = server();
    let (mut reader, mut writer) = (session(&server), session(&server));
    let subscribed = asked(&mut reader, &subscribe(2, "news"));
    assert_eq!(subscribed, b"\x08\x02\x32\0");

    let data = b"\0\xff\n{";
    let request = [field(1, b"news"), field(2, data)].concat();
    assert_eq!(
        asked(&mut writer, &command(9, 7, &request)),
        b"\x08\x09\x42\0"
    );
    let push = message(&mut reader);
    let content = field(4, data);
    assert!(push.starts_with(b"\x22"), "a push without an id: {push:?}");
    for part in [&field(2, b"news")[..], &content, b"\x30\x01\x72"] {
        assert!(contains(&push, part), "{push:?}");
    }

    // A limit of ten; the answer is a list of one, the epoch and the offset.
    let history = asked(&mut reader, &command(3, 10, b"\x0a\x04news\x38\x0a"));
    assert!(history.starts_with(b"\x08\x03\x5a"), "{history:?}");
    assert!(
        contains(&history, &content) && history.ends_with(b"\x18\x01"),
        "{history:?}"
    );
    server.stop();
}

#[test]
fn several_commands_of_a_frame_are_answered_in_order() {
    let server = server();
    let mut client = session(&server);
    let commands = [
        subscribe(2, "a"),
        subscribe(3, "nowhere:b"),
        command(4, 6, &field(1, b"a")),
    ];
    client.send(Opcode::Binary, &commands.concat());
    assert_eq!(message(&mut client), b"\x08\x02\x32\0");
    assert_eq!(
        message(&mut client),
        b"\x08\x03\x12\x13\x08\x66\x12\x0funknown channel"
    );
    assert_eq!(message(&mut client), b"\x08\x04\x3a\0");
    server.stop();
}

#[test]
fn a_ping_is_one_byte_and_so_is_its_pong() {
    let server = Setup::new()
        .with(json!({"client": {"ping_interval": "400ms", "pong_timeout": "200ms"}}))
        .start();
    let mut client = session(&server);
    for _ in 0..3 {
        assert_eq!(client.receive(), Received::Binary(vec![0]));
        client.send(Opcode::Binary, &[0]);
    }
    assert_eq!(client.receive(), Received::Binary(vec![0]));
    assert_eq!(client.expect_close(3012), "no pong");
    server.stop();
}

#[test]
fn bytes_that_are_no_commands_are_closed_with_3501() {
    let server = server();
    let bystander = Bystander::of(&server);
    for frame in [
        &b""[..],
        b"\x05\x08",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x02\x08\x07",
        b"\0",
        b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
    ] {
        let mut client = session(&server);
        client.send(Opcode::Binary, frame);
        assert_eq!(client.expect_close(3501), "bad request", "{frame:?}");
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_payload_that_is_not_json_reaches_all_but_clients_of_json() {
    let server = server();
    let bystander = Bystander::of(&server);
    let mut protobuf = session(&server);
    asked(&mut protobuf, &subscribe(2, "news"));
    let mut json = Client::subscriber(&server, "news");
    let response = server.api("publish", &json!({"channel": "news", "b64data": "AP8="}));
    assert_eq!(response.status, 200, "{response:?}");
    assert!(contains(&message(&mut protobuf), &field(4, b"\0\xff")));
    assert_eq!(json.expect_close(3506), "inappropriate protocol");
    server.publish("news", &json!(1));
    assert!(contains(&message(&mut protobuf), &field(4, b"1")));
    bystander.assert_untouched(&server);
    let log = server.stop();
    assert!(
        log.contains("no JSON, for clients that speak nothing else"),
        "{log}"
    );
    assert!(
        log.contains("a publication") && log.contains("news"),
        "{log}"
    );
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
