//! SIGHUP, and its like in a library: what changes without a restart, for whom, and what does not.

use std::fs;

use campanile::Config;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Client, WEBSOCKET};
use crate::support::embedded::{self, Embedded};
use crate::support::http::{self, Response};
use crate::support::keys::Signer;
use crate::support::server::{Server, Setup};

fn connect(server: &Server, token: &str) -> Client {
    let mut client = Client::connect(server, WEBSOCKET);
    client.send_json(&json!({"id": 1, "connect": {"token": token}}));
    client
}

fn status_with_key(server: &Server, key: &str) -> u16 {
    let request = http::request("POST", "/api/info", &[("X-API-Key", key)], "{}");
    Response::parse(&server.exchange(&request)).status
}

fn namespaces(names: &[&str]) -> Value {
    let namespace = |name: &&str| {
        json!({
            "name": name,
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        })
    };
    let all: Vec<Value> = names.iter().map(namespace).collect();
    json!({"channel": {"namespaces": all}})
}

#[test]
fn keys_of_tokens_and_of_the_api_are_replaced_and_sessions_go_on() {
    let [old, new] = [(); 2].map(|()| Signer::new());
    let keys = |signer: &Signer, api: &str| {
        json!({
            "client": {"token": {"ecdsa_public_key": signer.public_pem()}},
            "http_api": {"key": api},
        })
    };
    let mut server = Setup::new().with(keys(&old, "first-key-8c1")).start();
    let by_old = old.token("", &json!({"sub": "42"}));
    let mut early = connect(&server, &by_old);
    assert!(early.reply()["connect"]["client"].is_string());
    early.subscribe("news");
    server.reload(keys(&new, "second-key-5d7"));
    connect(&server, &by_old).expect_close(3500);
    let by_new = new.token("", &json!({"sub": "42"}));
    assert!(connect(&server, &by_new).reply()["connect"]["client"].is_string());
    assert_eq!(status_with_key(&server, "first-key-8c1"), 401);
    assert_eq!(status_with_key(&server, "second-key-5d7"), 200);
    let body = json!({"channel": "news", "data": 1}).to_string();
    let headers = [("X-API-Key", "second-key-5d7")];
    server.exchange(&http::request("POST", "/api/publish", &headers, &body));
    early.expect_publication("news", &json!(1));
    let text = server.log.text();
    assert!(text.contains("http_api.key: changed"), "{text}");
    assert!(
        !text.contains("second-key") && !text.contains("first-key"),
        "{text}"
    );
    server.stop();
}

#[test]
fn namespaces_come_and_go_while_clients_are_there() {
    let mut server = Setup::new().with(namespaces(&["old", "both"])).start();
    let mut client = Client::subscriber(&server, "old:1");
    server.reload(namespaces(&["both", "new"]));
    client.subscribe("new:1");
    client.expect_error(
        &json!({"id": 3, "subscribe": {"channel": "old:2"}}),
        102,
        "unknown channel",
    );
    let refused = server.api("publish", &json!({"channel": "old:1", "data": 1}));
    assert!(refused.body.contains("102"), "{refused:?}");
    server.publish("new:1", &json!(1));
    client.expect_publication("new:1", &json!(1));
    // What it had is its own until it leaves, and comes back with the namespace.
    server.reload(namespaces(&["old", "new"]));
    server.publish("old:1", &json!(2));
    client.expect_publication("old:1", &json!(2));
    assert_eq!(server.log.count("channel.namespaces.new: added"), 1);
    server.stop();
}

#[test]
fn limits_and_origins_are_for_those_who_come() {
    let mut server = Server::start();
    let mut early = Client::subscriber(&server, "one");
    server.reload(json!({"client": {
        "channel_limit": 1, "connection_limit": 2, "allowed_origins": ["https://a.example"],
    }}));
    // At its next use.
    early.expect_error(
        &json!({"id": 3, "subscribe": {"channel": "two"}}),
        106,
        "limit exceeded",
    );
    let handshake = |origin: &str| {
        let request = format!(
            "GET {WEBSOCKET} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Origin: {origin}\r\n\r\n"
        );
        use std::io::{Read as _, Write as _};
        let mut stream = server.tcp();
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("the server answers");
        (stream, String::from_utf8_lossy(&head[9..]).into_owned())
    };
    assert_eq!(handshake("https://b.example").1, "403");
    let (_second, status) = handshake("https://a.example");
    assert_eq!(status, "101");
    assert_eq!(handshake("https://a.example").1, "503");
    server.stop();
}

#[test]
fn a_configuration_that_is_no_good_changes_nothing_and_is_told_by_its_place() {
    let server = Server::start();
    let path = server.home.path().join("config.json");
    fs::write(&path, "{\n  \"client\": {\"channel_limit\": \"many\"}\n}").expect("writable");
    server.signal(Signal::HUP);
    server.log.wait_for("nothing has changed");
    let text = server.log.text();
    assert!(text.contains("config.json:2:"), "{text}");
    assert_eq!(server.get("/ready").status, 200);
    Client::session(&server).subscribe("news");
    server.stop();
}

#[test]
fn what_takes_a_restart_is_listed_each_time() {
    let mut server = Server::start();
    let restart = json!({"websocket": {"message_size_limit": 1000}});
    server.reload(restart);
    server.reload(json!({"client": {"channel_limit": 5}}));
    let pending = "setting takes a restart change=websocket.message_size_limit: 65536 → 1000";
    assert_eq!(server.log.count(pending), 2, "{}", server.log.text());
    assert_eq!(
        server
            .log
            .count("setting changed change=client.channel_limit: 128 → 5"),
        1
    );
    server.stop();
}

#[test]
fn the_level_of_the_log_changes_too() {
    let mut server = Server::start();
    server.reload(json!({"log": {"level": "error"}}));
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    assert_eq!(server.log.count("stopping"), 0, "{}", server.log.text());
}

#[test]
fn an_application_reloads_by_itself() {
    let embedded = Embedded::start(json!({}), |server| server);
    let mut client = embedded.client(WEBSOCKET);
    client.log_in();
    let new: Config = embedded::config(json!({
        "client": {"channel_limit": 1},
        "websocket": {"message_size_limit": 1000},
    }));
    let told = embedded
        .wait_for(embedded.server.reload(&new))
        .expect("it is good");
    let keys = |changes: &[campanile::Change]| -> Vec<String> {
        changes.iter().map(|change| change.key.clone()).collect()
    };
    assert_eq!(keys(&told.changes), ["client.channel_limit"]);
    assert_eq!(keys(&told.pending), ["websocket.message_size_limit"]);
    client.subscribe("one");
    client.expect_error(
        &json!({"id": 3, "subscribe": {"channel": "two"}}),
        106,
        "limit exceeded",
    );
    embedded.stop();
}
