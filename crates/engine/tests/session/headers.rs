//! Headers that go along with a connect command: server API, section 6.1.

use campanile_engine::application::Interests;
use campanile_engine::authority::Handshake;
use campanile_engine::headers::Headers;
use campanile_engine::limits::HEADERS_BYTES_MAX;
use campanile_engine::settings::Settings;
use campanile_protocol::Wire;
use campanile_protocol::command::{ConnectRequest, Request};
use campanile_protocol::wire::Encoding;

use super::desk::{Desk, connected, credentials, everything};

/// The application is asked about calls, which is where kept headers show.
fn emulating(names: &[&str]) -> Settings {
    Settings {
        emulated_headers: names.iter().map(|name| (*name).into()).collect(),
        interests: Interests::RPC,
        ..Settings::default()
    }
}

fn brought(headers: &[(&str, &str)]) -> Option<Box<Handshake>> {
    let mut handshake = Box::new(Handshake::default());
    for (name, value) in headers {
        let pushed = handshake.headers.push(name, value.as_bytes());
        pushed.expect("they are few");
    }
    Some(handshake)
}

fn connect(headers: &[(&str, &str)]) -> Request {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Request::Connect(Box::new(ConnectRequest {
        headers: headers.collect(),
        ..ConnectRequest::default()
    }))
}

fn rpc() -> Request {
    Request::Rpc {
        method: "m".into(),
        data: b"1".as_slice().into(),
    }
}

fn opened(settings: Settings, handshake: Option<Box<Handshake>>) -> Desk {
    let wire = Wire::WebSocket(Encoding::Json);
    Desk::opened(wire, settings, everything(), handshake)
}

#[test]
fn real_headers_go_along_with_the_connect_command() {
    let mut desk = opened(emulating(&[]), brought(&[("Cookie", "a=1"), ("x-a", "1")]));
    assert_eq!(
        desk.ask(connect(&[])),
        ["ask connect with cookie: a=1, x-a: 1"]
    );
}

#[test]
fn emulated_headers_count_where_they_are_allowed() {
    let mut desk = opened(emulating(&["x-a", "x-b"]), None);
    let said = [("X-A", "1"), ("x-c", "3"), ("Cookie", "a=1")];
    assert_eq!(desk.ask(connect(&said)), ["ask connect with x-a: 1"]);
    let mut desk = opened(emulating(&[]), None);
    assert_eq!(desk.ask(connect(&said)), ["ask connect"]);
}

#[test]
fn a_real_header_wins_over_an_emulated_one_of_the_same_name() {
    let mut desk = opened(emulating(&["x-a", "x-b"]), brought(&[("x-a", "real")]));
    assert_eq!(
        desk.ask(connect(&[("X-A", "emulated"), ("X-B", "2")])),
        ["ask connect with x-a: real, x-b: 2"]
    );
}

#[test]
fn emulated_headers_that_are_too_long_are_refused() {
    let real = "r".repeat(HEADERS_BYTES_MAX / 2);
    let emulated = "e".repeat(HEADERS_BYTES_MAX / 2);
    for (said, expected) in [
        ([("x-b", emulated.as_str())], "1: error 107"),
        // Nobody wants that one.
        ([("x-c", emulated.as_str())], "ask connect"),
    ] {
        let mut desk = opened(emulating(&["x-b"]), brought(&[("x-a", &real)]));
        let answer = desk.ask(connect(&said)).remove(0);
        assert!(answer.starts_with(expected), "{answer}");
        assert!(!desk.session.is_live());
    }
}

#[test]
fn emulated_headers_that_no_request_could_have_are_refused() {
    for value in ["1\r\nX-Admin: 1", "1\n", "\0", "\u{7f}"] {
        let mut desk = opened(emulating(&["x-a"]), None);
        let said = desk.ask(connect(&[("x-a", value)]));
        assert_eq!(said, ["1: error 107"], "{value:?}");
    }
    let mut desk = opened(emulating(&["x-a"]), None);
    let said = desk.ask(connect(&[("x-a", "ä\tb")]));
    assert_eq!(said, ["ask connect with x-a: ä\tb"]);
}

#[test]
fn sessions_keep_their_headers_where_they_are_told_to() {
    for keeps_headers in [true, false] {
        let settings = Settings {
            keeps_headers,
            ..emulating(&["x-b"])
        };
        let mut desk = opened(settings, brought(&[("x-a", "1")]));
        desk.ask(connect(&[("x-b", "2")]));
        desk.answer(connected(credentials()));
        let expected = match keeps_headers {
            true => "ask rpc m about 42 with x-a: 1, x-b: 2",
            false => "ask rpc m about 42",
        };
        assert_eq!(desk.ask(rpc()), [expected]);
    }
}

#[test]
fn a_session_without_headers_keeps_none() {
    let settings = Settings {
        keeps_headers: true,
        ..emulating(&["x-b"])
    };
    let mut desk = opened(settings, brought(&[]));
    assert_eq!(desk.ask(connect(&[("x-a", "1")])), ["ask connect"]);
    desk.answer(connected(credentials()));
    assert_eq!(desk.ask(rpc()), ["ask rpc m about 42"]);
}

/// The end of a line of a table.
pub(super) fn spell(headers: Option<&Headers>) -> String {
    let Some(headers) = headers else {
        return String::new();
    };
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value);
        format!("{name}: {value}")
    });
    format!(" with {}", headers.collect::<Vec<_>>().join(", "))
}
