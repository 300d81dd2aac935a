//! More than a client may cost: memory stays flat, and others are served.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use campanile_protocol::ws::Opcode;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::bystander::Bystander;
use crate::support::client::{Client, ECHO, Received, WEBSOCKET, bare, masked};
use crate::support::server::{Server, Setup};

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;

/// KiB that a server may grow by for reasons of its own: allocator, first use of code.
const SLACK: u64 = 4 * 1024;

/// Writes `bytes` over and over until the server takes no more: it stopped reading, it hung up, or
/// it swallowed `most`. Gives how many it took.
fn pour(stream: &mut TcpStream, bytes: &[u8], most: usize) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("a socket");
    let mut taken = 0;
    while taken < most {
        match stream.write(bytes) {
            Ok(length) => taken += length,
            Err(error) => {
                let is_expected = matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                );
                assert!(is_expected, "{error}");
                break;
            }
        }
    }
    taken
}

#[test]
fn a_frame_of_8_gib_is_refused_by_its_header() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let before = server.resident();
    for path in [WEBSOCKET, ECHO] {
        let mut client = Client::connect(&server, path);
        let length = (8_u64 << 30).to_be_bytes();
        client.send_raw(&[&[FIN | 2, MASK | 127], &length[..], &[0; 4]].concat());
        client.expect_close(1009);
    }
    server.assert_grown_at_most(SLACK, before);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_million_fragments_are_cut_off_early() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let before = server.resident();
    for fragment in [bare(0, MASK | 1, b"x"), bare(0, MASK, b"")] {
        let mut client = Client::connect(&server, ECHO);
        client.send_raw(&bare(1, MASK | 1, b"x"));
        client.send_raw(&fragment.repeat(1_000_000));
        client.expect_close(1009);
    }
    server.assert_grown_at_most(SLACK, before);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn pings_of_a_client_that_never_reads_do_not_pile_up() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut client = Client::session(&server);
    let before = server.resident();
    let pings = masked(Opcode::Ping, &[b'p'; 125]).repeat(500);
    let taken = pour(&mut client.stream, &pings, 64 << 20);
    assert!(taken > 1 << 20, "only {taken} bytes were read");
    server.assert_grown_at_most(SLACK, before);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn an_echo_that_nobody_reads_is_bounded() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut client = Client::connect(&server, ECHO);
    let before = server.resident();
    let message = masked(Opcode::Binary, &[0; 60_000]);
    pour(&mut client.stream, &message, 64 << 20);
    server.assert_grown_at_most(SLACK, before);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn commands_of_a_client_that_never_reads_end_with_3008() {
    let server = Setup::new()
        .with(json!({"client": {"queue_max_size": 65_536}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut client = Client::session(&server);
    let before = server.resident();
    let command = json!({"id": 5, "rpc": {"method": "x"}}).to_string();
    let commands = masked(Opcode::Text, command.as_bytes()).repeat(1000);
    // The kernel's buffers swallow megabytes of answers before any waits in the server.
    let mut taken = 0;
    while server.metric("centrifugo_client_disconnects_slow") == 0 {
        assert!(taken < 64 << 20, "{taken} bytes of commands were taken");
        taken += pour(&mut client.stream, &commands, 1 << 20);
    }
    server.assert_grown_at_most(SLACK, before);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_burst_larger_than_the_queue_reaches_a_client_that_reads() {
    let server = Server::start();
    let mut client = Client::subscriber(&server, "news");
    // Twice the queue of a client, all at once: it waits in the inbox meanwhile.
    let publication = |number: u32| {
        let data = json!({"number": number, "text": "x".repeat(20_000)});
        json!({"publish": {"channel": "news", "data": data}})
    };
    let commands: Vec<_> = (0..100).map(publication).collect();
    let batch = json!({"commands": commands, "parallel": true});
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(server.api("batch", &batch).status, 200));
        for number in 0..100 {
            let data = json!({"number": number, "text": "x".repeat(20_000)});
            client.expect_publication("news", &data);
        }
    });
    assert_eq!(server.metric("centrifugo_client_disconnects_slow"), 0);
    server.stop();
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_with_3008_and_others_get_everything() {
    let server = Setup::new()
        .with(json!({"client": {"queue_max_size": 262_144}}))
        .start();
    let bystander = Bystander::of(&server);
    let mut slow = Client::subscriber(&server, "news");
    let mut reader = Client::subscriber(&server, "news");
    let before = server.resident();
    let filler = "x".repeat(50_000);
    let publication = |n: u64| json!({"n": n, "filler": &filler});
    // The kernel's buffers swallow megabytes before anything waits in the server.
    let mut published = 0;
    while server.metric("centrifugo_client_disconnects_slow") == 0 {
        assert!(published < 1000, "never closed");
        for _ in 0..10 {
            server.publish("news", &publication(published));
            reader.expect_publication("news", &publication(published));
            published += 1;
        }
    }
    server.assert_grown_at_most(SLACK, before);
    let mut seen = 0;
    let close = loop {
        match slow.receive() {
            Received::Text(text) => {
                for push in text.lines() {
                    let push: Value = serde_json::from_str(push).unwrap();
                    assert_eq!(push["push"]["pub"]["data"]["n"], seen);
                    seen += 1;
                }
            }
            close => break close,
        }
    };
    let expected = Received::Close(Some((3008, "slow".into())));
    assert_eq!(close, expected, "after {seen} of {published}");
    slow.expect_end();
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_message_byte_by_byte_is_a_message() {
    let server = Server::start();
    let mut client = Client::session(&server);
    let command = br#"{"id":2,"subscribe":{"channel":"news"}}"#;
    for byte in masked(Opcode::Text, command) {
        client.send_raw(&[byte]);
    }
    assert!(client.reply()["subscribe"].is_object());
    server.stop();
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let come_and_go = || {
        for n in 0..100 {
            let mut client = Client::subscriber(&server, &format!("channel{n}"));
            // Half of them say goodbye.
            if n % 2 == 0 {
                client.send(Opcode::Close, &[]);
                client.receive();
                client.expect_end();
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while server.metric("centrifugo_node_num_clients") > 1 {
            assert!(Instant::now() < deadline, "clients are left");
        }
    };
    come_and_go();
    let before = server.resident();
    come_and_go();
    server.assert_grown_at_most(1024, before);
    assert_eq!(server.metric("centrifugo_node_num_channels"), 1);
    assert_eq!(server.metric("centrifugo_client_connections_inflight"), 1);
    bystander.assert_untouched(&server);
    server.stop();
}
