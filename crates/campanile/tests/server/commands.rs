//! What clients may not say (client protocol, sections 2, 4 and 12), and callers of the API.

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::API_KEY;
use crate::support::bystander::Bystander;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::http::{Response, request};
use crate::support::server::{Server, Setup};

#[test]
fn a_client_that_breaks_the_protocol_is_closed_with_3501() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for (what, text) in [
        ("bad JSON", "{"),
        ("no object", "[]"),
        ("no JSON", "hello"),
        ("a wrong type", r#"{"id":"1","rpc":{}}"#),
        (
            "a wrong type inside",
            r#"{"id":2,"subscribe":{"channel":1}}"#,
        ),
        ("a negative id", r#"{"id":-2,"subscribe":{"channel":"a"}}"#),
        ("nothing", ""),
        ("a second connect", r#"{"id":2,"connect":{}}"#),
        ("a ping command", r#"{"id":2,"ping":{}}"#),
        ("an unknown command", r#"{"id":2,"dance":{}}"#),
        ("a pong to no ping", "{}"),
        ("no channel", r#"{"id":2,"subscribe":{}}"#),
    ] {
        let mut client = Client::session(&server);
        client.send_text(text);
        assert_eq!(client.expect_close(3501), "bad request", "{what}");
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_command_before_connect_is_closed_with_3501() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for text in [
        r#"{"id":1,"subscribe":{"channel":"news"}}"#,
        r#"{"id":1,"publish":{"channel":"bystanders","data":{}}}"#,
        "{}",
        r#"{"send":{"data":1}}"#,
    ] {
        let mut client = Client::connect(&server, WEBSOCKET);
        client.send_text(text);
        assert_eq!(client.expect_close(3501), "bad request", "{text}");
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn commands_before_a_bad_one_are_answered() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let mut client = Client::session(&server);
    client.send_text("{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n{\"id\":");
    assert_eq!(client.reply()["id"], 2);
    client.expect_close(3501);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn commands_may_come_in_frames_of_either_kind() {
    let server = Server::start();
    let mut client = Client::session(&server);
    client.send(
        Opcode::Binary,
        br#"{"id":2,"subscribe":{"channel":"news"}}"#,
    );
    assert!(client.reply()["subscribe"].is_object());
    server.stop();
}

#[test]
fn what_may_not_be_done_is_refused_and_the_session_goes_on() {
    let server = Setup::new()
        .with(json!({
            "client": {"channel_limit": 2},
            "channel": {"namespaces": [{"name": "closed"}]},
        }))
        .start();
    let bystander = Bystander::of(&server);
    let mut client = Client::session(&server);
    let subscribe = |channel: &str| json!({"id": 7, "subscribe": {"channel": channel}});
    client.expect_error(&subscribe("nowhere:a"), 102, "unknown channel");
    client.expect_error(&subscribe("closed:a"), 103, "permission denied");
    let publish = json!({"id": 8, "publish": {"channel": "news", "data": {}}});
    client.expect_error(&publish, 103, "permission denied");
    client.expect_error(&subscribe(&"x".repeat(256)), 107, "bad request");
    client.expect_error(
        &json!({"id": 9, "rpc": {"method": "x"}}),
        108,
        "not available",
    );
    client.subscribe("news");
    client.expect_error(&subscribe("news"), 105, "already subscribed");
    client.subscribe("more");
    client.expect_error(&subscribe("most"), 106, "limit exceeded");
    let unsubscribe = json!({"id": 10, "unsubscribe": {"channel": "more"}});
    assert_eq!(
        client.command(&unsubscribe),
        json!({"id": 10, "unsubscribe": {}})
    );
    client.subscribe("most");
    server.publish("news", &json!("still here"));
    client.expect_publication("news", &json!("still here"));
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn the_api_asks_for_its_key_and_tells_nothing_without_it() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let body = r#"{"channel":"bystanders","data":1}"#;
    let key = API_KEY;
    let headers = |name, value| [(name, value)];
    for (what, headers) in [
        ("none", vec![]),
        ("wrong", headers("X-API-Key", "x").into()),
        ("empty", headers("X-API-Key", "").into()),
        ("a part", headers("X-API-Key", &key[..5]).into()),
        ("wrong scheme", headers("Authorization", "Bearer x").into()),
        (
            "wrong in scheme",
            headers("Authorization", "apikey x").into(),
        ),
        (
            "a wrong header is not outdone by a right one",
            vec![
                ("X-API-Key", "x"),
                ("Authorization", "apikey key-for-tests-4f2d"),
            ],
        ),
    ] {
        let request = request("POST", "/api/publish", &headers, body);
        let response = Response::parse(&server.exchange(&request));
        assert_eq!(
            (response.status, response.body.as_str()),
            (401, ""),
            "{what}"
        );
    }
    // A bystander that had got one of these would not expect the next.
    bystander.assert_untouched(&server);
    server.stop();
}
