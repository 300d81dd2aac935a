//! Who a client is: by keys that are published or configured, and by a header of a proxy (client
//! protocol, sections 6.1 and 13.1).

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::client::{Client, WEBSOCKET};
use crate::support::http::{Response, Upgrade};
use crate::support::keys::{Publisher, Signer};
use crate::support::server::{Server, Setup};

/// A server that lets nobody in without credentials.
fn strict(client: &Value) -> Setup {
    let setup = Setup::new()
        .with(json!({"client": {
            "allow_anonymous_connect_without_token": false,
            "token": null,
        }}))
        .with(json!({"channel": {"without_namespace": {"presence": true}}}));
    setup.with(json!({ "client": client }))
}

fn connect(server: &Server, token: &str) -> (Client, Value) {
    let mut client = Client::connect(server, WEBSOCKET);
    let reply = client.command(&json!({"id": 1, "connect": {"token": token}}));
    (client, reply)
}

/// Who is behind a live session, as the server API tells it.
fn user(server: &Server, client: &mut Client) -> String {
    client.subscribe("who");
    let presence = server.api("presence", &json!({"channel": "who"})).body;
    let presence: Value = serde_json::from_str(&presence).expect("replies are JSON");
    let clients = presence["result"]["presence"].as_object();
    let clients = clients.expect("the channel keeps presence");
    assert_eq!(clients.len(), 1);
    let info = clients.values().next().expect("there is one");
    info["user"].as_str().unwrap_or_default().to_owned()
}

fn in_an_hour() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("1970 is over").as_secs() + 3600
}

#[test]
fn published_keys_are_fetched_once_and_verify_all_kinds_of_tokens() {
    let signer = Signer::new();
    let publisher = Publisher::of(&signer, "k1");
    let server = strict(&json!({"token": {"jwks_public_endpoint": publisher.url()}})).start();
    let mut forger = Client::connect(&server, WEBSOCKET);
    let forged = signer.token("../k1", &json!({"sub": "42"}));
    forger.send_json(&json!({"id": 1, "connect": {"token": forged}}));
    assert_eq!(forger.expect_close(3500), "invalid token");

    let claims = json!({"sub": "42", "exp": in_an_hour()});
    let (mut client, reply) = connect(&server, &signer.token("k1", &claims));
    assert_eq!(reply["connect"]["expires"], true, "{reply}");
    assert_eq!(user(&server, &mut client), "42");
    let token = signer.token("k1", &json!({"sub": "42", "channel": "$private"}));
    let subscribe = json!({"id": 3, "subscribe": {"channel": "$private", "token": token}});
    let reply = client.command(&subscribe);
    assert!(reply["subscribe"].is_object(), "{reply}");
    let token = signer.token("k1", &claims);
    let reply = client.command(&json!({"id": 4, "refresh": {"token": token}}));
    assert_eq!(reply["refresh"]["expires"], true, "{reply}");
    assert_eq!(publisher.asked(), 1);
    server.stop();
}

#[test]
fn while_keys_cannot_be_fetched_clients_are_told_to_try_again() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", nobody.local_addr().unwrap());
    drop(nobody);
    let server = strict(&json!({"token": {"jwks_public_endpoint": url}})).start();
    let token = Signer::new().token("k1", &json!({"sub": "42"}));
    for _ in 0..3 {
        let (_, reply) = connect(&server, &token);
        let error = json!({"code": 100, "message": "internal server error", "temporary": true});
        assert_eq!(reply["error"], error);
    }
    let log = server.stop();
    assert!(log.contains("keys cannot be fetched"), "{log}");
}

#[test]
fn a_configured_public_key_is_enough_to_start() {
    let signer = Signer::new();
    let keys = json!({"token": {"ecdsa_public_key": signer.public_pem()}});
    let server = strict(&keys).start();
    let (mut client, reply) = connect(&server, &signer.token("", &json!({"sub": "42"})));
    assert!(reply["connect"].is_object(), "{reply}");
    assert_eq!(user(&server, &mut client), "42");
    let mut stranger = Client::connect(&server, WEBSOCKET);
    let token = Signer::new().token("", &json!({"sub": "42"}));
    stranger.send_json(&json!({"id": 1, "connect": {"token": token}}));
    stranger.expect_close(3500);
    server.stop();
}

#[test]
fn the_command_line_judges_tokens_by_published_keys_too() {
    let signer = Signer::new();
    let publisher = Publisher::of(&signer, "k1");
    let verify = |signer: &Signer| {
        let token = signer.token("k1", &json!({"sub": "42"}));
        Command::new(env!("CARGO_BIN_EXE_campanile"))
            .args(["token", "verify", &token])
            .env_clear()
            .env(
                "CAMPANILE_CLIENT_TOKEN_JWKS_PUBLIC_ENDPOINT",
                publisher.url(),
            )
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .output()
            .unwrap()
    };
    let good = verify(&signer);
    assert!(good.status.success(), "{good:?}");
    let said = String::from_utf8(good.stdout).unwrap();
    assert_eq!(said, "connection token of user \"42\" holds\n");
    let bad = verify(&Signer::new());
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(said.contains("signature does not match"), "{said}");
}

fn by_header(value: &str) -> Upgrade {
    Upgrade::new(WEBSOCKET).header("X-User-Id", value)
}

fn log_in(server: &Server, upgrade: &Upgrade) -> Client {
    let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
    client.log_in();
    client
}

#[test]
fn a_header_of_the_proxy_names_the_user() {
    let server = strict(&json!({"user_id_http_header": "x-user-id"})).start();
    let mut client = log_in(&server, &by_header("42"));
    assert_eq!(user(&server, &mut client), "42");
    for upgrade in [by_header(""), Upgrade::new(WEBSOCKET)] {
        let mut nobody = Client::upgrade(server.tcp(), &upgrade.bytes());
        // What a client says of headers in its connect command is its own word.
        let headers = json!({"X-User-Id": "42", "x-user-id": "42"});
        nobody.send_json(&json!({"id": 1, "connect": {"headers": headers}}));
        nobody.expect_close(3501);
    }
    server.stop();
}

#[test]
fn two_headers_of_the_proxy_name_nobody() {
    let server = strict(&json!({"user_id_http_header": "X-User-Id"})).start();
    let twice = String::from_utf8(by_header("42").bytes()).unwrap();
    let twice = twice.replace("X-User-Id: 42", "X-User-Id: 1\r\nx-user-id: 42");
    let answer = Response::parse(&server.exchange(twice.as_bytes()));
    assert_eq!(answer.status, 400);
    server.stop();
}

#[test]
fn a_header_of_the_proxy_is_better_than_nobody_and_less_than_a_token() {
    let signer = Signer::new();
    let settings = json!({
        "user_id_http_header": "X-User-Id",
        "allow_anonymous_connect_without_token": true,
        "token": {"ecdsa_public_key": signer.public_pem()},
    });
    let server = strict(&settings).start();
    let mut anonymous = Client::session(&server);
    assert_eq!(user(&server, &mut anonymous), "");
    drop(anonymous);
    let mut named = log_in(&server, &by_header("42"));
    named.subscribe("who-is-named");
    let presence = server.api("presence", &json!({"channel": "who-is-named"}));
    assert!(
        presence.body.contains(r#""user":"42""#),
        "{}",
        presence.body
    );
    let mut client = Client::upgrade(server.tcp(), &by_header("42").bytes());
    let token = signer.token("", &json!({"sub": "7"}));
    let reply = client.command(&json!({"id": 1, "connect": {"token": token}}));
    assert!(reply["connect"].is_object(), "{reply}");
    client.subscribe("who-has-a-token");
    let presence = server.api("presence", &json!({"channel": "who-has-a-token"}));
    assert!(presence.body.contains(r#""user":"7""#), "{}", presence.body);
    server.stop();
}

#[test]
fn a_header_that_is_not_trusted_is_nothing() {
    let server = Setup::new()
        .with(json!({"channel": {"without_namespace": {"presence": true}}}))
        .start();
    let mut client = log_in(&server, &by_header("42"));
    assert_eq!(user(&server, &mut client), "");
    server.stop();
}

#[test]
fn a_token_of_nobody_is_refused_where_users_are_wanted() {
    let signer = Signer::new();
    let settings = json!({
        "disallow_anonymous_connection_tokens": true,
        "token": {"ecdsa_public_key": signer.public_pem()},
    });
    let server = strict(&settings).start();
    let mut nobody = Client::connect(&server, WEBSOCKET);
    let token = signer.token("", &json!({"sub": ""}));
    nobody.send_json(&json!({"id": 1, "connect": {"token": token}}));
    assert_eq!(nobody.expect_close(3507), "permission denied");
    let mut somebody = Client::connect(&server, WEBSOCKET);
    let token = signer.token("", &json!({"sub": "7"}));
    let reply = somebody.command(&json!({"id": 1, "connect": {"token": token}}));
    assert!(reply["connect"].is_object(), "{reply}");
    server.stop();
}
