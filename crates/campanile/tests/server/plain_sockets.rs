//! Plain channel sockets: `docs/plain-sockets.md`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use campanile_protocol::ws::Opcode;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::bystander::Bystander;
use crate::support::client::{Client, Received, masked};
use crate::support::http::{Response, Upgrade};
use crate::support::server::{Server, Setup};
use crate::support::{PATIENCE, TOKEN_SECRET};

/// Anyone may publish anything in channels of `open:`, and it is kept. Nobody may publish where
/// there is no namespace.
fn setup() -> Setup {
    let open = json!({
        "name": "open",
        "allow_subscribe_for_client": true,
        "allow_subscribe_for_anonymous": true,
        "allow_publish_for_client": true,
        "allow_publish_for_anonymous": true,
        "allow_recovery": true,
        "history_size": 10,
        "history_ttl": "60s",
        "publication_data_format": "binary",
    });
    let own = json!({
        "name": "own",
        "allow_subscribe_for_client": true,
        "allow_subscribe_for_anonymous": true,
        "allow_user_limited_channels": true,
    });
    Setup::new().with(json!({"channel": {"namespaces": [open, own, {"name": "closed"}]}}))
}

fn path(rest: &str) -> String {
    format!("/connection/plain/{rest}")
}

fn socket(server: &Server, rest: &str) -> Client {
    Client::connect(server, &path(rest))
}

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("claims are JSON")
}

fn text(client: &mut Client, expected: &str) {
    assert_eq!(client.receive(), Received::Text(expected.into()));
}

/// Publishes numbers.
fn publish(server: &Server, channel: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        server.publish(channel, &json!(number));
    }
}

/// Returns when so many are subscribed. A socket is not told that it is.
fn wait_for_subscribers(server: &Server, channel: &str, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let channels = server.api("channels", &json!({"pattern": channel})).body;
        let channels: Value = serde_json::from_str(&channels).expect("it is JSON");
        if channels["result"]["channels"][channel]["num_clients"] == json!(count) {
            return;
        }
        assert!(Instant::now() < deadline, "{channels}");
    }
}

#[test]
fn what_one_says_all_others_hear() {
    let server = setup().start();
    let bystander = Bystander::of(&server);
    let (mut one, mut other) = (socket(&server, "open:a"), socket(&server, "open:a"));
    let mut elsewhere = socket(&server, "open:b");
    let mut sdk = Client::subscriber(&server, "open:a");
    wait_for_subscribers(&server, "open:a", 3);
    one.send_text("{ \"n\": [1] }");
    for client in [&mut one, &mut other] {
        text(client, "{ \"n\": [1] }");
    }
    sdk.expect_publication("open:a", &json!({"n": [1]}));
    // The push may come before the reply or behind it.
    let publish = json!({"id": 9, "publish": {"channel": "open:a", "data": 2}});
    let said = [sdk.command(&publish), sdk.reply()];
    assert!(
        said.iter().any(|it| it["push"]["pub"]["data"] == json!(2)),
        "{said:?}"
    );
    for client in [&mut one, &mut other] {
        text(client, "2");
    }
    // Several in one go, in order.
    let messages: Vec<u8> = (0..50)
        .flat_map(|number| masked(Opcode::Text, number.to_string().as_bytes()))
        .collect();
    other.send_raw(&messages);
    for number in 0..50 {
        text(&mut one, &number.to_string());
    }
    elsewhere.send_text("only here");
    text(&mut elsewhere, "only here");
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn what_is_sent_with_the_handshake_is_published_after_it() {
    let server = setup().start();
    let handshake = Upgrade::new(&path("open:a")).bytes();
    let messages = ["1", "2"].map(|text| masked(Opcode::Text, text.as_bytes()));
    let request = [handshake, messages.concat()].concat();
    let mut client = Client::upgrade(server.tcp(), &request);
    text(&mut client, "1");
    text(&mut client, "2");
    server.stop();
}

#[test]
fn bytes_that_are_no_text_are_binary_frames_and_so_is_text_if_that_is_wanted() {
    let server = setup().start();
    let mut one = socket(&server, "open:a");
    let mut binary = socket(&server, "open:a?format=binary");
    wait_for_subscribers(&server, "open:a", 2);
    binary.send(Opcode::Binary, b"\0\xff\xfe");
    binary.send_text("text");
    let received = [binary.receive(), binary.receive()];
    let expected = [&b"\0\xff\xfe"[..], b"text"];
    assert_eq!(
        received,
        expected.map(|bytes| Received::Binary(bytes.into()))
    );
    assert_eq!(one.receive(), Received::Binary(b"\0\xff\xfe".into()));
    text(&mut one, "text");
    server.stop();
}

#[test]
fn messages_are_compressed_where_that_is_agreed_on() {
    let server = setup()
        .with(json!({"websocket": {"compression": true}}))
        .start();
    let mut client = Client::offering(&server, &path("open:a"), "permessage-deflate");
    assert!(
        client.head.contains("permessage-deflate"),
        "{}",
        client.head
    );
    let long = "news ".repeat(1_000);
    client.send_text(&long);
    text(&mut client, &long);
    assert_eq!(server.metric("centrifugo_compressions"), 1);
    server.stop();
}

#[test]
fn since_brings_exactly_what_was_missed() {
    let server = setup().start();
    publish(&server, "open:a", 1..4);
    let mut client = socket(&server, "open:a?since=0");
    let mut seen = 0;
    let mut expect = |client: &mut Client, numbers: std::ops::Range<u32>| {
        for number in numbers {
            text(client, &number.to_string());
            seen += 1;
        }
        seen
    };
    assert_eq!(expect(&mut client, 1..4), 3);
    publish(&server, "open:a", 4..6);
    let mut seen = expect(&mut client, 4..6);
    drop(client);

    let history = server.api("history", &json!({"channel": "open:a", "limit": 0}));
    let history: Value = serde_json::from_str(&history.body).expect("it is JSON");
    assert_eq!(
        history["result"]["offset"],
        json!(5),
        "counting is knowing the offset"
    );
    let epoch = history["result"]["epoch"].as_str().expect("it has one");
    for before in ["", &format!("{epoch}:"), &format!("{epoch}%3A")] {
        publish(&server, "open:a", seen + 1..seen + 4);
        let mut client = socket(&server, &format!("open:a?since={before}{seen}"));
        expect(&mut client, seen + 1..seen + 4);
        publish(&server, "open:a", seen + 4..seen + 5);
        seen = expect(&mut client, seen + 4..seen + 5);
    }
    server.stop();
}

#[test]
fn since_what_cannot_be_brought_back_is_refused() {
    let server = setup().start();
    let bystander = Bystander::of(&server);
    publish(&server, "open:a", 0..15);
    for (rest, code, reason) in [
        ("open:a?since=4", 4512, "unrecoverable position"),
        ("open:a?since=0", 4512, "unrecoverable position"),
        ("open:a?since=16", 4512, "unrecoverable position"),
        ("open:a?since=other:15", 4512, "unrecoverable position"),
        // Nothing is kept there.
        ("news?since=0", 3508, "not available"),
    ] {
        assert_eq!(socket(&server, rest).expect_close(code), reason, "{rest}");
    }
    let mut client = socket(&server, "open:a?since=5");
    text(&mut client, "5");
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_socket_that_may_not_be_is_closed_with_the_code_that_says_why() {
    let server = setup().start();
    let bystander = Bystander::of(&server);
    let expired = token(&json!({"sub": "42", "exp": 1}));
    let foreign = token(&json!({"sub": "43", "channel": "closed:a"}));
    let long = "x".repeat(256);
    for (rest, code, reason) in [
        ("nowhere:a", 3501, "unknown channel"),
        ("closed:a", 3507, "permission denied"),
        ("$private", 3507, "permission denied"),
        (long.as_str(), 3501, "bad request"),
        ("caf%C3%A9", 3501, "bad request"),
        ("news?token=x", 3500, "invalid token"),
        (&format!("news?token={expired}"), 3005, "token expired"),
        ("news?subscription_token=x", 3507, "permission denied"),
        (
            &format!("news?subscription_token={expired}"),
            3005,
            "token expired",
        ),
        (
            &format!("closed:a?subscription_token={foreign}"),
            3500,
            "invalid token",
        ),
    ] {
        assert_eq!(socket(&server, rest).expect_close(code), reason, "{rest}");
    }
    let mut client = socket(&server, "news");
    client.send_text("1");
    assert_eq!(client.expect_close(3507), "permission denied");
    let mut client = socket(&server, "open:a");
    client.send_text(&"x".repeat(65_537));
    client.expect_close(1009);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn tokens_come_in_the_query_or_in_a_header() {
    let server = setup()
        .with(json!({"client": {"allow_anonymous_connect_without_token": false}}))
        .start();
    assert_eq!(socket(&server, "open:a").expect_close(3501), "bad request");
    let user = token(&json!({"sub": "42"}));
    let mut client = socket(&server, &format!("open:a?token={user}"));
    client.send_text("by query");
    text(&mut client, "by query");
    for rest in ["open:a", "open:a?token="] {
        let upgrade = Upgrade::new(&path(rest)).header("Authorization", &format!("bearer {user}"));
        let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
        client.send_text("by header");
        text(&mut client, "by header");
    }

    let subscription = token(&json!({"sub": "42", "channel": "closed:a"}));
    let rest = format!("closed:a?token={user}&subscription_token={subscription}");
    let mut client = socket(&server, &rest);
    wait_for_subscribers(&server, "closed:a", 1);
    server.publish("closed:a", &json!("by subscription"));
    text(&mut client, "\"by subscription\"");
    server.stop();
}

#[test]
fn the_channel_is_the_decoded_rest_of_the_path() {
    let server = setup()
        .with(json!({"client": {"allow_anonymous_connect_without_token": false}}))
        .start();
    let user = token(&json!({"sub": "42"}));
    for (spelled, channel) in [
        ("own:box%2342", "own:box#42"),
        ("open:a/b/c", "open:a/b/c"),
        ("open%3Aa%20b%3F+", "open:a b?+"),
    ] {
        let mut client = socket(&server, &format!("{spelled}?token={user}"));
        wait_for_subscribers(&server, channel, 1);
        server.publish(channel, &json!(1));
        text(&mut client, "1");
    }
    let rest = format!("own:box%2343?token={user}");
    assert_eq!(
        socket(&server, &rest).expect_close(3507),
        "permission denied"
    );
    server.stop();
}

#[test]
fn a_handshake_that_cannot_be_meant_is_refused() {
    let server = setup()
        .with(json!({"client": {"allowed_origins": ["https://a.com"]}}))
        .start();
    let bystander = Bystander::of(&server);
    let status = |upgrade: &Upgrade| Response::parse(&server.exchange(&upgrade.bytes())).status;
    for (rest, expected) in [
        ("open:a?since=", 400),
        ("open:a?since=x", 400),
        ("open:a?since=-1", 400),
        ("open:a?since=e:", 400),
        ("open:a?since=18446744073709551616", 400),
        ("open:a?since=1&since=2", 400),
        ("open:a?format=text", 400),
        ("open:%ff", 400),
        ("", 404),
    ] {
        assert_eq!(status(&Upgrade::new(&path(rest))), expected, "{rest}");
    }
    let good = || Upgrade::new(&path("open:a"));
    for (what, upgrade, expected) in [
        (
            "no bearer",
            good().header("Authorization", "Basic eA=="),
            400,
        ),
        (
            "another origin",
            good().header("Origin", "https://b.com"),
            403,
        ),
        (
            "version 8",
            good().header("Sec-WebSocket-Version", "8"),
            426,
        ),
        (
            "no upgrade",
            good().without("Upgrade").header("Connection", "close"),
            400,
        ),
        (
            "no prefix",
            Upgrade::new("/connection/plain").header("Connection", "Upgrade, close"),
            404,
        ),
    ] {
        assert_eq!(status(&upgrade), expected, "{what}");
    }
    let upgrade = good().header("Origin", "https://a.com");
    let upgrade = upgrade.header("Sec-WebSocket-Protocol", "centrifuge-json");
    let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
    let head = &client.head;
    assert!(!head.contains("Sec-WebSocket-Protocol"), "{head}");
    client.send_text("1");
    text(&mut client, "1");
    bystander.assert_untouched(&server);
    server.stop();

    let server = setup().with(json!({"plain": {"enabled": false}})).start();
    let upgrade = good().header("Connection", "Upgrade, close");
    let response = Response::parse(&server.exchange(&upgrade.bytes()));
    assert_eq!(response.status, 404);
    server.stop();
}

#[test]
fn a_socket_lives_as_long_as_it_answers_pings() {
    let server = setup()
        .with(json!({"client": {"ping_interval": "400ms", "pong_timeout": "200ms"}}))
        .start();
    let mut client = socket(&server, "open:a");
    // One that nobody asked for.
    client.send(Opcode::Pong, b"x");
    for _ in 0..3 {
        let Received::Ping(payload) = client.receive() else {
            panic!("no ping")
        };
        client.send(Opcode::Pong, &payload);
        client.send(Opcode::Pong, &payload);
    }
    client.send(Opcode::Ping, b"mine");
    assert_eq!(client.receive(), Received::Pong(b"mine".into()));
    assert!(matches!(client.receive(), Received::Ping(_)));
    assert_eq!(client.expect_close(3012), "no pong");
    server.stop();
}

#[test]
fn a_socket_ends_when_its_token_does() {
    let server = setup()
        .with(json!({"client": {"expired_close_delay": "0s"}}))
        .start();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let soon = token(&json!({"sub": "42", "exp": now + 3}));
    let mut client = socket(&server, &format!("open:a?token={soon}"));
    assert_eq!(client.expect_close(3005), "connection expired");
    let past = token(&json!({"sub": "42", "expire_at": 5}));
    let mut client = socket(&server, &format!("open:a?token={past}"));
    assert_eq!(client.expect_close(3005), "expired");
    server.stop();
}

#[test]
fn the_end_of_a_subscription_is_the_end_of_its_socket() {
    let server = setup()
        .with(json!({"client": {"expired_sub_close_delay": "0s"}}))
        .start();
    let user = token(&json!({"sub": "42"}));
    for (call, code, reason) in [
        ("unsubscribe", 3503, "server unsubscribe"),
        ("disconnect", 3503, "force disconnect"),
    ] {
        let mut client = socket(&server, &format!("open:a?token={user}"));
        wait_for_subscribers(&server, "open:a", 1);
        server.api(call, &json!({"user": "42", "channel": "open:a"}));
        assert_eq!(client.expect_close(code), reason);
        // To a channel that is none of its own it cannot be added.
        let mut client = socket(&server, &format!("open:a?token={user}"));
        wait_for_subscribers(&server, "open:a", 1);
        server.api("subscribe", &json!({"user": "42", "channel": "open:b"}));
        server.publish("open:b", &json!(1));
        server.publish("open:a", &json!(2));
        text(&mut client, "2");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let soon = token(&json!({"sub": "42", "channel": "closed:a", "exp": now + 3}));
    let rest = format!("closed:a?token={user}&subscription_token={soon}");
    assert_eq!(
        socket(&server, &rest).expect_close(3006),
        "subscription expired"
    );
    server.stop();
}
