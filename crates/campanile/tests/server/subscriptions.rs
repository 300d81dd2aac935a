//! Settings of channels and users that the engine acts on, from the configuration to the wire.

use serde_json::json;

use crate::support::client::{Client, WEBSOCKET};
use crate::support::keys::Signer;
use crate::support::server::Setup;

#[test]
fn a_users_new_connection_ends_the_other() {
    let signer = Signer::new();
    let server = Setup::new()
        .with(json!({"client": {
            "token": {"ecdsa_public_key": signer.public_pem()},
            "subscribe_to_user_personal_channel": {"enabled": true, "single_connection": true},
        }}))
        .with(json!({"channel": {"without_namespace": {
            "presence": true,
            "allow_presence_for_client": true,
        }}}))
        .with(json!({"http_server": {"workers": 3}}))
        .start();
    let connect = |user: &str| {
        let mut client = Client::connect(&server, WEBSOCKET);
        let token = signer.token("k1", &json!({"sub": user}));
        let reply = client.command(&json!({"id": 1, "connect": {"token": token}}));
        assert!(
            reply["connect"]["subs"][format!("#{user}")].is_object(),
            "{reply}"
        );
        client
    };
    let (mut first, mut other) = (connect("42"), connect("43"));
    let mut second = connect("42");
    assert_eq!(first.expect_close(3504), "connection limit");
    for client in [&mut second, &mut other] {
        let reply = client.command(&json!({"id": 2, "presence": {"channel": "#42"}}));
        assert!(reply["presence"].is_object(), "{reply}");
    }
    server.stop();
}

#[test]
fn a_cache_and_a_filter_are_served_as_configured() {
    let server = Setup::new()
        .with(json!({"channel": {"without_namespace": {
            "history_size": 10,
            "history_ttl": "60s",
            "force_recovery": true,
            "force_recovery_mode": "cache",
            "auto_cache_recover": true,
            "allow_tags_filter": true,
        }}}))
        .start();
    let publish = |n: u32, team: &str| {
        let body = json!({"channel": "c", "data": n, "tags": {"team": team}});
        server.api("publish", &body);
    };
    publish(1, "red");
    publish(2, "blue");
    let mut client = Client::session(&server);
    let filter = json!({"key": "team", "cmp": "eq", "val": "red"});
    let reply = client.command(&json!({"id": 2, "subscribe": {"channel": "c", "tf": filter}}));
    let publications = &reply["subscribe"]["publications"];
    assert_eq!(publications.as_array().map(Vec::len), Some(1), "{reply}");
    assert_eq!(publications[0]["data"], 1);
    publish(3, "blue");
    publish(4, "red");
    client.expect_publication("c", &json!(4));
    server.stop();
}
