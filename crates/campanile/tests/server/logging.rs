//! What strangers send may be logged, but only as one line, without control characters, and never
//! with a secret in it.

use std::time::Instant;

use campanile::config::Secret;
use campanile::token::{NewToken, sign};
use serde_json::json;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::http::{Upgrade, request};
use crate::support::server::{Server, Setup};
use crate::support::{API_KEY, TOKEN_SECRET};

/// What terminals and log readers would act on.
fn assert_harmless(log: &str) {
    for line in log.lines() {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        // Each begins with a time, so that none was begun by somebody else.
        assert!(line.starts_with("20"), "{line:?}");
    }
    assert!(!log.contains("\nFORGED"), "{log}");
}

fn debugging() -> Server {
    Setup::new()
        .with(json!({"log": {"level": "debug"}, "client": {"allowed_origins": ["https://a.com"]}}))
        .start()
}

#[test]
fn what_strangers_send_stays_within_its_line() {
    let server = debugging();
    let bystander = Bystander::of(&server);
    let evil = "x\x1b[31m\x1b]0;t\x07\u{9b}31m\u{202e}";
    let upgrade = Upgrade::new(WEBSOCKET);
    for header in ["Origin", "User-Agent", "Sec-WebSocket-Key", "Host"] {
        server.exchange_whatever(&upgrade.clone().header(header, evil).bytes());
        let folded = format!("x\r\nFORGED: {evil}");
        server.exchange_whatever(&upgrade.clone().header(header, &folded).bytes());
    }
    for path in ["/%0d%0aFORGED", "/\x1b[31m", "/a?\x1b[31m=%1b"] {
        server.exchange_whatever(&request("GET", path, &[], ""));
    }
    let lines = format!("a\r\nFORGED\n{evil}");
    for command in [
        json!({"id": 1, "connect": {"token": lines}}),
        json!({"id": 1, "connect": {"token": "a.b.c", "name": lines, "version": lines}}),
    ] {
        let mut client = Client::connect(&server, WEBSOCKET);
        client.send_json(&command);
        client.expect_close(3500);
    }
    let mut client = Client::session(&server);
    client.send_json(&json!({"id": 3, "subscribe": {"channel": lines}}));
    client.send_json(&json!({"id": 4, "rpc": {"method": lines}}));
    client.send_text("\u{1b}[31m\r\nFORGED");
    let api = json!({"channel": lines, "data": lines});
    server.api("publish", &api);
    bystander.assert_untouched(&server);
    assert_harmless(&server.stop());
}

#[test]
fn secrets_are_not_logged_even_for_debugging() {
    let server = debugging();
    let token = |sub: &str, key: &str| {
        let token = NewToken {
            sub: sub.into(),
            ..NewToken::default()
        };
        sign(&token, &Secret::new(key)).unwrap()
    };
    let good = token("42", TOKEN_SECRET);
    let bad = token("42", "another-secret");
    let mut client = Client::connect(&server, WEBSOCKET);
    let reply = client.command(&json!({"id": 1, "connect": {"token": good}}));
    assert!(reply["connect"].is_object(), "{reply}");
    client.send_json(&json!({"id": 2, "refresh": {"token": bad}}));
    let mut refused = Client::connect(&server, WEBSOCKET);
    refused.send_json(&json!({"id": 1, "connect": {"token": bad}}));
    refused.expect_close(3500);
    server.publish("news", &json!("payload-of-a-user"));
    let wrong_key = [("X-API-Key", "wrong-key-71aa")];
    server.exchange(&request("POST", "/api/info", &wrong_key, "{}"));
    server.exchange(&request(
        "POST",
        "/api/info?api_key=wrong-key-71aa",
        &[],
        "{}",
    ));
    let log = server.stop();
    for secret in [
        TOKEN_SECRET,
        API_KEY,
        "wrong-key-71aa",
        "payload-of-a-user",
        good.rsplit('.').next().unwrap(),
        bad.rsplit('.').next().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
    assert!(log.contains("a token was refused"), "{log}");
}

#[test]
fn a_flood_of_bad_tokens_does_not_flood_the_log() {
    let server = Server::start();
    let before = Instant::now();
    for _ in 0..200 {
        let mut client = Client::connect(&server, WEBSOCKET);
        client.send_json(&json!({"id": 1, "connect": {"token": "a.b.c"}}));
        client.expect_close(3500);
    }
    let log = server.stop();
    let said = log.matches("a token was refused").count();
    // Ten at once, and ten a second.
    let most = 10 + before.elapsed().as_millis().div_ceil(100);
    assert!((10..=most).contains(&(said as u128)), "{said} lines");
}
