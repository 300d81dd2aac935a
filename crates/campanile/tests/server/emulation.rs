//! Commands that come in requests of their own.

use std::io::{Read as _, Write as _};
use std::thread;

use serde_json::{Value, json};

use crate::support::bystander::Bystander;
use crate::support::http::{self, Response};
use crate::support::server::{Server, Setup};
use crate::support::stream::{HTTP_STREAM, SSE, Stream, emulate, emulation, transports};

fn start(workers: usize) -> Server {
    Setup::new()
        .with(transports())
        .with(json!({"http_server": {"workers": workers}}))
        .start()
}

fn post(server: &Server, body: &str) -> u16 {
    let request = http::request("POST", "/emulation", &[], body);
    Response::parse(&server.exchange(&request)).status
}

fn rpc(id: u32) -> String {
    json!({"id": id, "rpc": {"method": "none"}}).to_string()
}

#[test]
fn commands_find_their_session_whichever_worker_they_come_to() {
    let server = start(3);
    let mut sessions: Vec<_> = (0..9)
        .map(|n| Stream::session(&server, [HTTP_STREAM, SSE][n % 2]))
        .collect();
    let shards = sessions.iter().map(|(_, told)| {
        let session = told["session"].as_str().unwrap();
        session[34..].to_owned()
    });
    let shards: std::collections::BTreeSet<_> = shards.collect();
    assert_eq!(shards.len(), 3, "they are not spread: {shards:?}");
    for round in 2..6 {
        for (_, told) in &sessions {
            assert_eq!(emulate(&server, told, &rpc(round)), 204);
        }
        for (stream, _) in &mut sessions {
            let reply = stream.message();
            assert_eq!(
                (&reply["id"], &reply["error"]["code"]),
                (&json!(round), &json!(108))
            );
        }
    }
    drop(sessions);
    server.stop();
}

#[test]
fn commands_of_separate_requests_are_carried_out_in_their_order() {
    let server = start(2);
    let (mut stream, told) = Stream::session(&server, HTTP_STREAM);
    let subscribe = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
    let others = "{\"id\":3,\"rpc\":{\"method\":\"none\"}}\n{\"id\":4,\"unsubscribe\":{\"channel\":\"news\"}}\n";
    assert_eq!(emulate(&server, &told, subscribe), 204);
    assert_eq!(emulate(&server, &told, others), 204);
    assert_eq!(emulate(&server, &told, &rpc(5)), 204);
    for id in 2..=5 {
        assert_eq!(stream.message()["id"], id);
    }
    drop(stream);
    server.stop();
}

#[test]
fn a_session_that_is_not_here_is_not_told_apart_but_another_node_is() {
    let server = start(2);
    let bystander = Bystander::of(&server);
    let (mut stream, told) = Stream::session(&server, HTTP_STREAM);
    let with = |field: &str, value: &str| {
        let mut told = told.clone();
        told[field] = value.into();
        told
    };
    for session in [
        "",
        "nonsense",
        "00000000-0000-4000-8000-000000000000",
        "00000000-0000-4000-8000-0000000000ff",
        // Everybody who is present with it can see the client's id.
        told["client"].as_str().unwrap(),
    ] {
        assert_eq!(emulate(&server, &with("session", session), &rpc(2)), 204);
    }
    for node in ["", "x", told["session"].as_str().unwrap()] {
        assert_eq!(
            emulate(&server, &with("node", node), &rpc(2)),
            404,
            "{node}"
        );
    }
    assert_eq!(emulate(&server, &told, &rpc(9)), 204);
    assert_eq!(stream.message()["id"], 9, "nothing of the others arrived");
    drop(stream);
    // A session that has ended is one that is not here.
    assert_eq!(emulate(&server, &told, &rpc(2)), 204);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn bodies_that_are_no_emulation_requests_are_refused() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"emulation": {"max_request_body_size": 300}}))
        .start();
    let bystander = Bystander::of(&server);
    for body in ["{", "[]", "{\"data\":{}}", "\u{1}"] {
        assert_eq!(post(&server, body), 400, "{body}");
    }
    let (mut stream, told) = Stream::session(&server, HTTP_STREAM);
    let body = emulation(&told, &rpc(2));
    let fits = format!("{body}{}", " ".repeat(300 - body.len()));
    assert_eq!(post(&server, &fits), 204);
    assert_eq!(stream.message()["id"], 2);
    assert_eq!(post(&server, &(fits + " ")), 413);
    bystander.assert_untouched(&server);
    drop(stream);
    server.stop();
}

#[test]
fn a_frame_that_breaks_the_protocol_ends_the_session_in_its_body() {
    let server = start(1);
    for frame in ["", "{", "nonsense", r#"{"id":7,"connect":{}}"#, "{}"] {
        let (mut stream, told) = Stream::session(&server, HTTP_STREAM);
        assert_eq!(emulate(&server, &told, frame), 204, "{frame}");
        stream.expect_disconnect(3501, "bad request");
    }
    server.stop();
}

#[test]
fn a_flood_for_one_session_leaves_others_alone() {
    const FRAME: usize = 1000;
    let server = start(1);
    let bystander = Bystander::of(&server);
    let (stream, told) = Stream::session(&server, HTTP_STREAM);
    // It has to be read: as replies that nobody reads they would end the session.
    let reader = thread::spawn(move || {
        let mut stream = stream;
        std::iter::from_fn(|| stream.line()).count()
    });
    let frame = vec![rpc(5); FRAME].join("\n");
    let body = emulation(&told, &frame);
    let request = format!(
        "POST /emulation HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let before = server.resident();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut posts = server.tcp();
                for _ in 0..25 {
                    posts.write_all(request.as_bytes()).unwrap();
                    let mut answer = [0; 12];
                    posts.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"HTTP/1.1 204");
                    let mut rest = Vec::new();
                    while !rest.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        posts.read_exact(&mut byte).unwrap();
                        rest.push(byte[0]);
                    }
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(server.get("/health").status, 200);
        }
    });
    let (mut other, told) = Stream::session(&server, SSE);
    assert_eq!(emulate(&server, &told, &rpc(2)), 204);
    assert_eq!(other.message()["id"], 2);
    drop(other);
    server.assert_grown_at_most(16 * 1024, before);
    bystander.assert_untouched(&server);
    server.stop();
    let replies = reader.join().unwrap();
    assert!(replies >= 100 * FRAME, "{replies}");
}

#[test]
fn protobuf_is_spoken_both_ways() {
    let server = start(2);
    let octets = [("Content-Type", "application/octet-stream")];
    let connect = "\u{4}\u{8}\u{1}\"\0";
    let request = http::request("POST", HTTP_STREAM, &octets, connect);
    let mut stream = Stream::open(&server, &request);
    assert_eq!(
        stream.head.header("Content-Type"),
        Some("application/octet-stream")
    );
    let mut next = || {
        let mut length = Vec::new();
        while length.last().is_none_or(|byte| byte & 0x80 != 0) {
            length.extend(stream.bytes(1));
        }
        fields(&stream.bytes(varint(&mut &length[..])))
    };
    let reply = next();
    let told = fields(field(&reply, 5));
    let text = |number| String::from_utf8(field(&told, number).to_vec()).unwrap();
    let (session, node) = (text(9), text(10));
    // An RPC of id 7 with a method "x".
    let frame = b"\x07\x08\x07\x6a\x03\x12\x01x";
    let mut body = Vec::new();
    for (number, bytes) in [(1, node.as_bytes()), (2, session.as_bytes()), (3, frame)] {
        body.extend([number << 3 | 2, u8::try_from(bytes.len()).unwrap()]);
        body.extend_from_slice(bytes);
    }
    let body = String::from_utf8(body).unwrap();
    let request = http::request("POST", "/emulation", &octets, &body);
    assert_eq!(Response::parse(&server.exchange(&request)).status, 204);
    let reply = next();
    assert_eq!(reply[0], (1, vec![7]));
    assert_eq!(fields(field(&reply, 2))[0], (1, vec![108]));
    server.stop();
}

fn varint(bytes: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a Protobuf message: numbers, and small integers or bytes.
fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut fields = Vec::new();
    while let Some(tag) = message.first().copied() {
        message = &message[1..];
        let number = varint(&mut message);
        let value = if tag & 7 == 0 {
            vec![u8::try_from(number).expect("a small one")]
        } else {
            let (bytes, rest) = message.split_at(number);
            message = rest;
            bytes.to_vec()
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn field(fields: &[(u8, Vec<u8>)], number: u8) -> &[u8] {
    let mut found = fields.iter().filter(|(is, _)| *is == number);
    &found
        .next()
        .unwrap_or_else(|| panic!("no {number} in {fields:?}"))
        .1
}

#[test]
fn a_client_that_is_told_by_its_secret_is_told_nothing_else() {
    let server = start(1);
    let (_stream, told) = Stream::session(&server, HTTP_STREAM);
    let presence: Value = serde_json::from_str(&server.api("info", &json!({})).body).unwrap();
    assert!(
        !presence
            .to_string()
            .contains(told["session"].as_str().unwrap())
    );
    assert!(!server.stop().contains(told["session"].as_str().unwrap()));
}
