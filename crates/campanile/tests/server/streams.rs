//! Sessions over the body of a response: `http_stream` and `sse`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::bystander::Bystander;
use crate::support::client::Client;
use crate::support::http::{self, Response};
use crate::support::server::{Server, Setup};
use crate::support::stream::{
    HTTP_STREAM, SSE, Stream, UNI_HTTP_STREAM, UNI_SSE, emulate, emulation, said_in_query,
    transports,
};
use crate::support::{API_KEY, PATIENCE};

const BOTH: [&str; 2] = [HTTP_STREAM, SSE];

fn start() -> Server {
    Setup::new().with(transports()).start()
}

fn respond(server: &Server, method: &str, path: &str, body: &str) -> Response {
    Response::parse(&server.exchange(&http::request(method, path, &[], body)))
}

#[test]
fn replies_are_lines_of_a_body_that_no_proxy_may_keep() {
    let server = start();
    let bystander = Bystander::of(&server);
    let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n";
    let mut stream = Stream::post(&server, HTTP_STREAM, commands);
    let head = &stream.head;
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-Accel-Buffering", "no"),
        (
            "Cache-Control",
            "private, no-cache, no-store, must-revalidate, max-age=0",
        ),
        ("Pragma", "no-cache"),
        ("Expire", "0"),
    ] {
        assert_eq!(head.header(name), Some(value));
    }
    assert!(head.header("Date").is_some());
    assert_eq!(stream.message()["id"], 1);
    assert!(stream.message()["subscribe"].is_object());
    server.publish("news", &json!({"n": 1}));
    let push = stream.message();
    assert_eq!(push["push"]["pub"]["data"], json!({"n": 1}), "{push}");
    bystander.assert_untouched(&server);
    drop(stream);
    server.stop();
}

#[test]
fn replies_are_events_behind_an_empty_line() {
    let server = start();
    for request in [
        http::request(
            "GET",
            &said_in_query(SSE, r#"{"id":1,"connect":{}}"#),
            &[],
            "",
        ),
        http::request("POST", SSE, &[], r#"{"id":1,"connect":{}}"#),
    ] {
        let mut stream = Stream::open(&server, &request);
        assert_eq!(
            stream.head.header("Content-Type"),
            Some("text/event-stream; charset=utf-8")
        );
        let begin = b"\r\ndata: {\"id\":1,\"connect\":{";
        assert_eq!(stream.bytes(begin.len()), begin);
        let rest = stream.line().unwrap();
        assert!(rest.ends_with('}'));
        assert_eq!(stream.bytes(1), b"\n", "an event ends with an empty line");
    }
    server.stop();
}

#[test]
fn a_request_that_breaks_the_protocol_is_answered_in_the_body() {
    let server = start();
    let bystander = Bystander::of(&server);
    for said in [
        "{",
        r#"{"id":1,"subscribe":{"channel":"news"}}"#,
        "{}",
        "[]",
    ] {
        let mut stream = Stream::post(&server, HTTP_STREAM, said);
        assert_eq!(stream.head.status, 200, "{said}");
        stream.expect_disconnect(3501, "bad request");
        let mut stream = Stream::get(&server, &said_in_query(SSE, said));
        stream.expect_disconnect(3501, "bad request");
    }
    Stream::post(&server, HTTP_STREAM, "").expect_disconnect(3501, "bad request");
    let mut stream = Stream::post(&server, HTTP_STREAM, r#"{"id":1,"connect":{"token":"no"}}"#);
    stream.expect_disconnect(3500, "invalid token");
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn requests_that_cannot_begin_a_session_are_refused_by_status() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"http_stream": {"max_request_body_size": 100}}))
        .start();
    let bystander = Bystander::of(&server);
    for (method, path, status) in [
        ("GET", HTTP_STREAM, 405),
        ("HEAD", HTTP_STREAM, 405),
        ("PUT", SSE, 405),
        ("OPTIONS", SSE, 405),
        ("GET", SSE, 400),
        ("GET", "/connection/sse?cf_connect=", 400),
        ("GET", "/connection/sse/", 404),
        ("GET", "/emulation", 405),
    ] {
        assert_eq!(
            respond(&server, method, path, "").status,
            status,
            "{method} {path}"
        );
    }
    let fits = format!("{{\"id\":1,\"connect\":{{}}}}{}", " ".repeat(79));
    assert_eq!(fits.len(), 100);
    let mut stream = Stream::post(&server, HTTP_STREAM, &fits);
    assert!(stream.message()["connect"].is_object());
    let large = respond(&server, "POST", HTTP_STREAM, &(fits + " "));
    assert_eq!(large.status, 413);
    // One that does not say how large it is.
    let chunked = format!(
        "POST {HTTP_STREAM} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         100\r\n{}\r\n0\r\n\r\n",
        " ".repeat(256)
    );
    let answer = server.exchange(chunked.as_bytes());
    assert_eq!(Response::parse(&answer).status, 413);
    bystander.assert_untouched(&server);
    drop(stream);
    server.stop();
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let server = start();
    let mut slow = server.tcp();
    let request =
        format!("POST {HTTP_STREAM} HTTP/1.1\r\nHost: test\r\nContent-Length: 50\r\n\r\n{{");
    let began = Instant::now();
    slow.write_all(request.as_bytes()).unwrap();
    assert_eq!(Stream::begun(slow).head.status, 408);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
    server.stop();
}

#[test]
fn what_was_asked_before_is_answered_before() {
    let server = start();
    let mut stream = server.tcp();
    let commands = r#"{"id":1,"connect":{}}"#;
    let pipelined = format!(
        "GET /health HTTP/1.1\r\nHost: test\r\n\r\nPOST {HTTP_STREAM} HTTP/1.1\r\nHost: test\r\n\
         Content-Length: {}\r\n\r\n{commands}GET /health HTTP/1.1\r\nHost: test\r\n\r\n",
        commands.len()
    );
    stream.write_all(pipelined.as_bytes()).unwrap();
    let mut health = Stream::begun(stream);
    assert_eq!(health.head.status, 200);
    assert_eq!(health.bytes(2), b"{}");
    assert_eq!(health.line().unwrap(), "HTTP/1.1 200 OK");
    while health.line().unwrap() != "Connection: close" {}
    // What is behind it is not answered, since the body goes on to the end.
    assert_eq!(health.message()["id"], 1);
    drop(health);
    server.stop();
}

#[test]
fn what_is_pipelined_behind_a_stream_is_not_carried_out() {
    let server = start();
    let mut subscriber = Client::subscriber(&server, "news");
    let publication = json!({"channel": "news", "data": "smuggled"}).to_string();
    let publish = format!(
        "POST /api/publish HTTP/1.1\r\nHost: test\r\nX-API-Key: {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{publication}",
        publication.len()
    );
    for (path, said) in [
        (HTTP_STREAM, r#"{"id":1,"connect":{}}"#),
        (SSE, r#"{"id":1,"connect":{}}"#),
        (UNI_HTTP_STREAM, "{}"),
        (UNI_SSE, "{}"),
    ] {
        let pipelined = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{said}{}",
            said.len(),
            publish.repeat(50)
        );
        let mut stream = Stream::open(&server, pipelined.as_bytes());
        assert_eq!(stream.head.status, 200, "{path}");
        assert!(stream.message()["connect"].is_object(), "{path}");
    }
    server.publish("news", &json!("asked for"));
    subscriber.expect_publication("news", &json!("asked for"));
    server.stop();
}

#[test]
fn a_client_of_http_1_0_is_served() {
    let server = start();
    let commands = r#"{"id":1,"connect":{}}"#;
    let request = format!(
        "POST {HTTP_STREAM} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{commands}",
        commands.len()
    );
    let mut stream = Stream::open(&server, request.as_bytes());
    assert!(stream.message()["connect"].is_object());
    server.stop();
}

#[test]
fn a_page_of_another_origin_can_read_nothing() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"allowed_origins": ["https://good.example"]}}))
        .start();
    let open = |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        let commands = r#"{"id":1,"connect":{}}"#;
        Stream::open(
            &server,
            &http::request("POST", HTTP_STREAM, &headers, commands),
        )
    };
    let names = [
        ("Access-Control-Allow-Origin", "https://good.example"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Headers", "content-type"),
    ];
    for (name, value) in names {
        assert_eq!(open("https://good.example").head.header(name), Some(value));
        let foreign = open("https://evil.example");
        assert_eq!(
            (foreign.head.status, foreign.head.header(name)),
            (403, None)
        );
        assert_eq!(foreign.head.header("Vary"), Some("Origin"));
    }
    for path in [HTTP_STREAM, "/emulation", "/connection/uni_http_stream"] {
        for (origin, allowed) in [
            ("https://good.example", Some("https://good.example")),
            ("https://evil.example", None),
        ] {
            let request = http::request("OPTIONS", path, &[("Origin", origin)], "");
            let response = Response::parse(&server.exchange(&request));
            assert_eq!(response.status, 204, "{path}");
            let header = |name| response.header(name);
            assert_eq!(header("Access-Control-Allow-Origin"), allowed);
            assert_eq!(header("Access-Control-Max-Age"), Some("300"));
            assert_eq!(
                header("Access-Control-Allow-Methods"),
                Some("POST, OPTIONS")
            );
        }
    }
    server.stop();
}

#[test]
fn a_page_of_another_origin_can_do_nothing_blindly() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {"allowed_origins": ["https://good.example"]}}))
        .start();
    let (mut stream, told) = Stream::session(&server, HTTP_STREAM);
    let evil = [("Origin", "https://evil.example")];
    let several = [("Origin", "https://good.example"), evil[0]];
    let commands = emulation(&told, r#"{"id":2,"rpc":{}}"#);
    for headers in [&evil[..], &several] {
        for (method, path, body) in [
            ("POST", HTTP_STREAM, "{"),
            ("POST", SSE, "{"),
            ("GET", "/connection/sse?cf_connect=x", ""),
            ("POST", UNI_HTTP_STREAM, "{}"),
            ("GET", UNI_SSE, ""),
            ("POST", "/emulation", &commands),
        ] {
            let request = http::request(method, path, headers, body);
            let response = Response::parse(&server.exchange(&request));
            assert_eq!(response.status, 403, "{method} {path}");
        }
    }
    assert_eq!(emulate(&server, &told, r#"{"id":3,"rpc":{}}"#), 204);
    assert_eq!(
        stream.message()["id"],
        3,
        "the page's commands did not arrive"
    );
    server.stop();
}

#[test]
fn a_proxys_word_for_the_user_counts_only_where_a_page_may_ask() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"client": {
            "allow_anonymous_connect_without_token": false,
            "user_id_http_header": "X-User",
            "allowed_origins": ["https://good.example"],
        }}))
        .start();
    let open = |headers: &[(&str, &str)]| {
        let headers = [&[("X-User", "42")], headers].concat();
        let path = said_in_query(SSE, r#"{"id":1,"connect":{}}"#);
        Stream::open(&server, &http::request("GET", &path, &headers, ""))
    };
    for welcome in [
        &[("Accept", "text/event-stream")][..],
        &[("Origin", "https://good.example")],
        &[
            ("Origin", "https://good.example"),
            ("Sec-Fetch-Mode", "cors"),
        ],
        &[("Sec-Fetch-Mode", "cors")],
    ] {
        assert!(
            open(welcome).message()["connect"].is_object(),
            "{welcome:?}"
        );
    }
    for forged in [
        &[][..],
        &[("Accept", "image/avif,*/*;q=0.8")],
        &[("Sec-Fetch-Mode", "no-cors")],
        &[("Sec-Fetch-Mode", "navigate")],
    ] {
        open(forged).expect_disconnect(3501, "bad request");
    }
    server.stop();
}

#[test]
fn a_client_that_disappears_leaves_its_channels() {
    let server = Setup::new()
        .with(transports())
        .with(json!({"channel": {"without_namespace": {
            "presence": true, "join_leave": true, "force_push_join_leave": true,
        }}}))
        .start();
    let (mut watcher, told) = Stream::session(&server, HTTP_STREAM);
    let subscribe = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
    assert_eq!(emulate(&server, &told, subscribe), 204);
    assert!(watcher.message()["subscribe"].is_object());
    assert!(watcher.message()["push"]["join"].is_object());
    for path in BOTH {
        let (mut stream, told) = Stream::session(&server, path);
        assert_eq!(emulate(&server, &told, subscribe), 204);
        assert!(stream.message()["subscribe"].is_object());
        let client = told["client"].clone();
        let join = watcher.message();
        assert_eq!(join["push"]["join"]["info"]["client"], client, "{join}");
        drop(stream);
        let leave = watcher.message();
        assert_eq!(leave["push"]["leave"]["info"]["client"], client, "{leave}");
        let stats = server
            .api("presence_stats", &json!({"channel": "news"}))
            .body;
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(stats["result"]["num_clients"], 1, "{stats}");
    }
    drop(watcher);
    let deadline = Instant::now() + PATIENCE;
    while server.metric("centrifugo_client_connections_inflight") > 0 {
        assert!(Instant::now() < deadline, "places are not given back");
    }
    server.stop();
}

#[test]
fn bodies_end_with_3001_when_the_server_stops() {
    let mut server = Setup::new()
        .with(transports())
        .with(json!({"http_server": {"workers": 2}, "shutdown": {"drain": "1s"}}))
        .start();
    let mut streams: Vec<_> = (0..20)
        .map(|n| Stream::session(&server, BOTH[n % 2]).0)
        .collect();
    // One that never reads holds nothing up.
    let (_unread, _) = Stream::session(&server, HTTP_STREAM);
    let began = Instant::now();
    server.signal(Signal::TERM);
    streams[0].expect_disconnect(3001, "shutdown");
    // The others have yet to be told, and whoever comes now is told at once.
    Stream::get(&server, UNI_SSE).expect_disconnect(3001, "shutdown");
    for stream in &mut streams[1..] {
        stream.expect_disconnect(3001, "shutdown");
    }
    drop(streams);
    assert_eq!(server.wait(), Some(0), "{}", server.log.text());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn the_distance_can_be_measured() {
    let server = start();
    let init = respond(&server, "GET", "/connection/init", "");
    assert_eq!((init.status, init.body.as_str()), (200, "{}"));
    assert_eq!(init.header("Cache-Control"), Some("no-store"));
    server.stop();
}

#[test]
fn transports_are_there_only_when_they_are_switched_on() {
    let server = Server::start();
    for path in [HTTP_STREAM, "/emulation", "/connection/uni_http_stream"] {
        let response = respond(&server, "POST", path, "{}");
        assert_eq!(response.status, 404, "{path}");
    }
    for path in [SSE, "/connection/uni_sse", "/connection/init"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    server.stop();
}
