//! Requests for an upgrade that must be refused, and how (RFC 6455 section 4.2; client protocol,
//! sections 1.1 and 1.3).

use campanile_protocol::ws::Opcode;
use serde_json::json;

use crate::support::bystander::Bystander;
use crate::support::client::{Client, ECHO, WEBSOCKET, masked};
use crate::support::http::{Response, Upgrade, exchange_bytes};
use crate::support::server::{Server, Setup};

/// The response, behind which the server has closed.
fn refusal(server: &Server, upgrade: &Upgrade) -> Response {
    Response::parse(&server.exchange(&upgrade.bytes()))
}

fn plain(path: &str) -> Upgrade {
    let upgrade = Upgrade::new(path).without("Upgrade");
    upgrade.header("Connection", "close")
}

#[test]
fn a_path_that_is_not_known_is_404_also_for_an_upgrade() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    for path in [
        "/nothing",
        "/connection/websocket/",
        "/connection",
        "/connection/websocket/../echo",
        "/connection/websocketx",
        "/CONNECTION/WEBSOCKET",
        "/connection/echo/",
    ] {
        assert_eq!(refusal(&server, &plain(path)).status, 404, "{path}");
        let upgrade = Upgrade::new(path).header("Connection", "Upgrade, close");
        assert_eq!(refusal(&server, &upgrade).status, 404, "upgrade {path}");
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_bad_upgrade_is_refused_with_the_status_that_says_why() {
    let server = Server::start();
    let bystander = Bystander::of(&server);
    let key = "Sec-WebSocket-Key";
    for path in [WEBSOCKET, ECHO] {
        let good = || Upgrade::new(path);
        for (what, status, upgrade) in [
            ("no key", 400, good().without(key)),
            ("an empty key", 400, good().header(key, "")),
            (
                "a key of 15 bytes",
                400,
                good().header(key, "AAAAAAAAAAAAAAAAAAAA"),
            ),
            (
                "a key that is not base64",
                400,
                good().header(key, "!GhlIHNhbXBsZSBub25jZQ=="),
            ),
            (
                "version 8",
                426,
                good().header("Sec-WebSocket-Version", "8"),
            ),
            ("no version", 426, good().without("Sec-WebSocket-Version")),
            (
                "two versions",
                426,
                good().header("Sec-WebSocket-Version", "13, 8"),
            ),
            (
                "POST",
                405,
                good().request_line(&format!("POST {path} HTTP/1.1")),
            ),
            (
                "HTTP/1.0",
                400,
                good().request_line(&format!("GET {path} HTTP/1.0")),
            ),
            (
                "another upgrade",
                400,
                good().header("Upgrade", "xwebsocketx"),
            ),
            ("h2c", 400, good().header("Upgrade", "h2c")),
            ("no upgrade", 400, plain(path)),
            (
                "no token",
                400,
                good().header("Connection", "keep-alive, close"),
            ),
            (
                "a longer token",
                400,
                good().header("Connection", "upgrades, close"),
            ),
        ] {
            let response = refusal(&server, &upgrade);
            assert_eq!(response.status, status, "{what} at {path}");
            let versions = response.header("Sec-WebSocket-Version");
            assert_eq!(versions, (status == 426).then_some("13"), "{what}");
            let said = response.body.as_str();
            let expected = "expected a WebSocket handshake\n";
            assert!(said.is_empty() || said == expected, "{what}: {said}");
            assert!(what != "no upgrade" || said == expected, "{said}");
        }
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn only_pages_of_an_allowed_origin_may_connect() {
    let server = Setup::new()
        .with(json!({"client": {"allowed_origins": ["https://a.com", "https://*.b.com"]}}))
        .start();
    let bystander = Bystander::of(&server);
    for path in [WEBSOCKET, ECHO] {
        for origin in [
            "https://evil.org",
            "null",
            "",
            "https://a.com.evil.org",
            "https://xa.com",
            "https://a.com:8443",
            "http://a.com",
            "https://a.com/",
            "https://b.com",
            "https://a.com, https://evil.org",
        ] {
            let upgrade = Upgrade::new(path).header("Origin", origin);
            assert_eq!(refusal(&server, &upgrade).status, 403, "{origin:?}");
        }
        for origin in ["https://a.com", "HTTPS://A.COM", "https://x.b.com"] {
            let upgrade = Upgrade::new(path).header("Origin", origin);
            Client::upgrade(server.tcp(), &upgrade.bytes());
        }
        Client::connect(&server, path);
    }
    bystander.assert_untouched(&server);
    server.stop();
}

#[test]
fn a_second_origin_does_not_hide_behind_an_allowed_one() {
    let server = Setup::new()
        .with(json!({"client": {"allowed_origins": ["https://a.com"]}}))
        .start();
    let mut request = Upgrade::new(WEBSOCKET)
        .header("Origin", "https://a.com")
        .bytes();
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Origin: https://evil.org\r\n\r\n");
    assert_eq!(Response::parse(&server.exchange(&request)).status, 403);
    server.stop();
}

#[test]
fn connection_and_upgrade_are_lists_of_words_in_any_case() {
    let server = Server::start();
    let upgrade = Upgrade::new(WEBSOCKET)
        .header("Connection", "keep-alive, UPGRADE")
        .header("Upgrade", "WebSocket")
        .bytes();
    Client::upgrade(server.tcp(), &upgrade).log_in();
    server.stop();
}

#[test]
fn the_json_subprotocol_is_agreed_on_and_others_are_not() {
    let server = Server::start();
    let head = |offer: &str| {
        let upgrade = Upgrade::new(WEBSOCKET).header("Sec-WebSocket-Protocol", offer);
        // The close frame behind it makes the server hang up after its head.
        let close = masked(Opcode::Close, &[]);
        let answer = server.tcp();
        let bytes = exchange_bytes(answer, &[upgrade.bytes(), close].concat());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert!(head("centrifuge-json").contains("\r\nSec-WebSocket-Protocol: centrifuge-json\r\n"));
    assert!(head("x, centrifuge-json").contains("\r\nSec-WebSocket-Protocol: centrifuge-json\r\n"));
    assert!(!head("x").contains("Sec-WebSocket-Protocol"));
    server.stop();
}
