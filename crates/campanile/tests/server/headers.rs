//! What an application sees of the requests that bring its clients: server API, section 6.1.

use std::collections::BTreeMap;
use std::io::Write as _;

use actix_web::http::header::HeaderName;
use campanile::handlers::{Arrival, Credentials, Decision, Handlers, Interests, Verdict};
use campanile::payload;
use campanile_engine::limits::HEADERS_BYTES_MAX;
use serde_json::{Value, json};

use crate::support::client::{Client, Received, WEBSOCKET};
use crate::support::embedded::Embedded;
use crate::support::http::{Response, Upgrade, exchange, request};
use crate::support::stream::{HTTP_STREAM, SSE, Stream, UNI_HTTP_STREAM, UNI_SSE, said_in_query};

const UNI_WEBSOCKET: &str = "/connection/uni_websocket";
/// The connect request of every client.
const SAID: &str = r#"{"headers":{"X-Theme":"dark","x-real":"forged","x-other":"1"}}"#;

/// Tells every client what is known of it.
struct Mirror;

impl Handlers for Mirror {
    fn interests(&self) -> Interests {
        Interests::CONNECTING
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-real")]
    }

    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        tell(&arrival)
    }
}

/// The same, of those headers that nobody names.
struct Unnamed;

impl Handlers for Unnamed {
    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        tell(&arrival)
    }
}

fn tell(arrival: &Arrival<'_>) -> Decision<Credentials> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = arrival.headers.iter();
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name, text(value))).collect();
    let peer = arrival.handshake.and_then(|known| known.peer);
    let mut credentials = Credentials::of("42");
    credentials.data = Some(payload::json(&json!({"headers": headers, "peer": peer}))?);
    Ok(Verdict::Allowed(credentials))
}

/// With a service for calls, which nobody makes, but which could be told of emulated headers.
fn start() -> Embedded {
    let on = json!({"enabled": true});
    let changes = json!({
        "http_stream": on, "sse": on, "uni_websocket": on, "uni_http_stream": on, "uni_sse": on,
        "rpc": {
            "proxy": {
                "endpoint": "http://127.0.0.1:1/",
                "emulated_headers": ["X-Theme", "X-Real"],
            },
            "without_namespace": {"proxy_enabled": true},
        },
    });
    Embedded::start(changes, |server| server.handlers(Mirror))
}

fn command() -> String {
    format!(r#"{{"id":1,"connect":{SAID}}}"#)
}

/// What the application saw of a client whose request has these headers, over every transport.
fn seen(server: &Embedded, headers: &[(&str, &str)]) -> Vec<Value> {
    let opened = [
        ("POST", HTTP_STREAM.to_owned(), command()),
        ("GET", said_in_query(SSE, &command()), String::new()),
        ("POST", UNI_HTTP_STREAM.to_owned(), SAID.to_owned()),
        ("GET", said_in_query(UNI_SSE, SAID), String::new()),
    ];
    let bodies = opened.map(|(method, path, body)| {
        let mut stream = server.tcp();
        let request = request(method, &path, headers, &body);
        stream.write_all(&request).expect("the server reads");
        Stream::begun(stream).message()
    });
    let sockets = [WEBSOCKET.to_owned(), said_in_query(UNI_WEBSOCKET, SAID)];
    let sockets = sockets.map(|path| {
        let with = |upgrade: Upgrade, (name, value): &(&str, &str)| upgrade.header(name, value);
        let upgrade = headers.iter().fold(Upgrade::new(&path), with);
        let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
        if path == WEBSOCKET {
            client.send_text(&command());
        }
        let Received::Text(text) = client.receive() else {
            panic!("no answer over {path}")
        };
        serde_json::from_str(&text).expect("messages are JSON")
    });
    let told = |message: &Value| message["connect"]["data"].clone();
    bodies.iter().chain(&sockets).map(told).collect()
}

#[test]
fn the_application_sees_the_wanted_headers_over_every_transport() {
    let server = start();
    let headers = [
        ("X-Real", "1"),
        ("X-Unwanted", "1"),
        ("Sec-Fetch-Mode", "cors"),
    ];
    let expected = json!({"headers": {"x-real": "1", "x-theme": "dark"}, "peer": "127.0.0.1"});
    assert_eq!(seen(&server, &headers), vec![expected; 6]);
    server.stop();
}

#[test]
fn without_a_word_of_the_application_it_sees_who_its_users_say_they_are() {
    let server = Embedded::start(json!({}), |server| server.handlers(Unnamed));
    let upgrade = Upgrade::new(WEBSOCKET)
        .header("Authorization", "Bearer 1")
        .header("Cookie", "session=2")
        .header("X-Real", "3");
    let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
    let reply = client.command(&json!({"id": 1, "connect": {}}));
    let expected = json!({"authorization": "Bearer 1", "cookie": "session=2"});
    assert_eq!(reply["connect"]["data"]["headers"], expected);
    server.stop();
}

/// The browser adds its user's cookies for any page; what the page itself says is the page's own.
#[test]
fn the_headers_of_a_page_that_does_not_speak_for_its_user_are_not_seen() {
    let server = start();
    let request = request("GET", &said_in_query(UNI_SSE, "{}"), &[("X-Real", "1")], "");
    let mut stream = server.tcp();
    stream.write_all(&request).expect("the server reads");
    let told = Stream::begun(stream).message();
    let expected = json!({"headers": {}, "peer": "127.0.0.1"});
    assert_eq!(told["connect"]["data"], expected);
    server.stop();
}

#[test]
fn headers_that_are_too_long_are_refused() {
    let server = start();
    let long = "x".repeat(HEADERS_BYTES_MAX);
    let stream = request("POST", HTTP_STREAM, &[("X-Real", &long)], &command());
    let upgrade = Upgrade::new(WEBSOCKET).header("X-Real", &long).bytes();
    for request in [stream, upgrade] {
        let response = Response::parse(&exchange(server.tcp(), &request));
        assert_eq!(response.status, 431);
    }
    server.stop();
}
