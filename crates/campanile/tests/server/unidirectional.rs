//! Clients that can only say who they are, and listen.

use std::time::{Duration, Instant};

use campanile_protocol::ws::Opcode;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::TOKEN_SECRET;
use crate::support::bystander::Bystander;
use crate::support::client::{Client, Received};
use crate::support::http::{self, Response, Upgrade};
use crate::support::server::{Server, Setup};
use crate::support::stream::{
    HTTP_STREAM, Stream, UNI_HTTP_STREAM, UNI_SSE, emulate, said_in_query, transports,
};

const UNI_WEBSOCKET: &str = "/connection/uni_websocket";
const BODIES: [&str; 2] = [UNI_HTTP_STREAM, UNI_SSE];
const WISH: &str = r#"{"subs":{"news":{}}}"#;

fn start() -> Server {
    Setup::new().with(transports()).start()
}

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("a good key")
}

fn assert_connected(push: &Value) {
    let connect = &push["connect"];
    assert!(
        connect["client"].is_string() && connect["session"].is_string(),
        "{push}"
    );
    assert_eq!((&connect["ping"], connect.get("pong")), (&json!(25), None));
    assert!(
        connect["subs"]["news"].is_object() && connect.get("node").is_none(),
        "{push}"
    );
}

#[test]
fn bodies_bring_bare_pushes() {
    let server = start();
    let bystander = Bystander::of(&server);
    let node = Stream::session(&server, HTTP_STREAM).1["node"].clone();
    let opened = [
        Stream::post(&server, UNI_HTTP_STREAM, WISH),
        Stream::post(&server, UNI_SSE, WISH),
        Stream::get(&server, &said_in_query(UNI_SSE, WISH)),
    ];
    for mut stream in opened {
        let push = stream.message();
        assert_connected(&push);
        // What it is told as its session is good for nothing.
        let told = json!({"session": push["connect"]["session"], "node": node});
        assert_eq!(emulate(&server, &told, "nonsense"), 204);
        server.publish("news", &json!([1]));
        let push = stream.message();
        assert_eq!(push, json!({"channel": "news", "pub": {"data": [1]}}));
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_page_may_say_nothing_about_itself() {
    let server = start();
    for path in [UNI_SSE, "/connection/uni_sse?cf_connect="] {
        let mut stream = Stream::get(&server, path);
        assert!(stream.message()["connect"]["client"].is_string(), "{path}");
    }
    server.stop();
}

#[test]
fn bodies_that_are_no_connect_requests_are_refused() {
    let server = start();
    for path in BODIES {
        for body in ["", "{", "[]", r#"{"token":1}"#] {
            let request = http::request("POST", path, &[], body);
            let response = Response::parse(&server.exchange(&request));
            assert_eq!(response.status, 400, "{path} {body}");
        }
    }
    assert_eq!(server.get(&said_in_query(UNI_SSE, "{")).status, 400);
    assert_eq!(server.get(UNI_HTTP_STREAM).status, 405);
    server.stop();
}

#[test]
fn what_cannot_be_answered_ends_the_session() {
    let server = start();
    let bystander = Bystander::of(&server);
    let expired = token(&json!({"sub": "u", "exp": 1_000_000_000}));
    let unknown = token(&json!({"sub": "u", "channels": ["no:c"]}));
    for (token, code, reason) in [
        (expired.as_str(), 3005, "connection expired"),
        (unknown.as_str(), 3004, "internal server error"),
        ("nonsense", 3500, "invalid token"),
    ] {
        let said = json!({"token": token}).to_string();
        for path in BODIES {
            let mut stream = Stream::post(&server, path, &said);
            assert_eq!(stream.head.status, 200);
            stream.expect_disconnect(code, reason);
        }
        let mut client = Client::connect(&server, &said_in_query(UNI_WEBSOCKET, &said));
        let push = json!({"disconnect": {"code": code, "reason": reason}});
        assert_eq!(client.receive(), Received::Text(push.to_string()));
        assert_eq!(client.expect_close(code), reason);
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_web_socket_says_who_it_is_in_its_url_or_its_first_frame() {
    let server = start();
    let bystander = Bystander::of(&server);
    let by_url = Client::connect(&server, &said_in_query(UNI_WEBSOCKET, WISH));
    let mut by_frame = Client::connect(&server, UNI_WEBSOCKET);
    by_frame.send_text(WISH);
    for mut client in [by_url, by_frame] {
        assert_connected(&client.reply());
        // Whatever else it says is of no interest.
        client.send_text("nonsense");
        client.send_text(r#"{"id":2,"subscribe":{"channel":"other"}}"#);
        client.send(Opcode::Pong, b"");
        server.publish("news", &json!([1]));
        server.publish("news", &json!([2]));
        for n in [1, 2] {
            let push = json!({"channel": "news", "pub": {"data": [n]}});
            assert_eq!(client.receive(), Received::Text(push.to_string()));
        }
    }
    let mut nobody = Client::connect(&server, UNI_WEBSOCKET);
    nobody.send_text("nonsense");
    assert!(matches!(nobody.receive(), Received::Text(_)));
    nobody.expect_close(3501);
    let upgrade = Upgrade::new(&said_in_query(UNI_WEBSOCKET, "{")).bytes();
    assert_eq!(Response::parse(&server.exchange(&upgrade)).status, 400);
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_web_socket_that_answers_no_ping_is_closed() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"ping_interval": "1s", "pong_timeout": "500ms"}}))
        .start();
    let answering = || {
        let mut alive = Client::connect(&server, &said_in_query(UNI_WEBSOCKET, "{}"));
        let mut body = Stream::post(&server, UNI_HTTP_STREAM, "{}");
        assert!(matches!(alive.receive(), Received::Text(_)));
        assert!(body.message()["connect"].is_object());
        for _ in 0..3 {
            assert_eq!(alive.receive(), Received::Ping(Vec::new()));
            alive.send(Opcode::Pong, &[]);
            assert_eq!(alive.receive(), Received::Text("{}".into()));
            // One that cannot answer is not asked to.
            assert_eq!(body.line().as_deref(), Some("{}"));
        }
    };
    let silence = || {
        let mut silent = Client::connect(&server, &said_in_query(UNI_WEBSOCKET, "{}"));
        assert!(matches!(silent.receive(), Received::Text(_)));
        assert_eq!(silent.receive(), Received::Ping(Vec::new()));
        assert_eq!(silent.receive(), Received::Text("{}".into()));
        let push = r#"{"disconnect":{"code":3012,"reason":"no pong"}}"#;
        assert_eq!(silent.receive(), Received::Text(push.into()));
        assert_eq!(silent.expect_close(3012), "no pong");
    };
    std::thread::scope(|scope| {
        scope.spawn(answering);
        scope.spawn(silence);
    });
    server.stop();
}

#[test]
fn an_event_source_that_comes_back_recovers_by_its_wish() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"channel": {"without_namespace": {
            "history_size": 10, "history_ttl": "60s", "force_recovery": true,
        }}}))
        .start();
    let mut first = Stream::get(&server, &said_in_query(UNI_SSE, WISH));
    let epoch = first.message()["connect"]["subs"]["news"]["epoch"].clone();
    let publish = |n: u64| {
        let publication = json!({"channel": "news", "data": n});
        assert_eq!(server.api("publish", &publication).status, 200);
    };
    for n in 1..=2 {
        publish(n);
        assert_eq!(first.message()["pub"]["offset"], n);
    }
    drop(first);
    publish(3);
    let since = json!({"recover": true, "offset": 2, "epoch": epoch});
    let said = json!({"subs": {"news": since}}).to_string();
    let mut second = Stream::get(&server, &said_in_query(UNI_SSE, &said));
    let told = second.message()["connect"]["subs"]["news"].clone();
    assert_eq!(told["recovered"], true, "{told}");
    assert_eq!(told["publications"][0]["data"], 3, "{told}");
    publish(4);
    assert_eq!(second.message()["pub"]["offset"], 4);
    server.stop();
}

#[test]
fn a_session_that_cannot_refresh_ends_behind_its_token() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"expired_close_delay": "0s"}}))
        .start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let exp = now.unwrap().as_secs() + 2;
    let token = token(&json!({"sub": "u", "exp": exp}));
    let said = json!({"token": token}).to_string();
    let began = Instant::now();
    let mut stream = Stream::post(&server, UNI_HTTP_STREAM, &said);
    assert_eq!(stream.message()["connect"]["expires"], true);
    stream.expect_disconnect(3005, "connection expired");
    assert!(began.elapsed() < Duration::from_secs(4));
    server.stop();
}
