//! A server that cannot start says why, and by its exit code whether trying again is of use.

use std::process::{Command, Output};

use serde_json::json;

use crate::support::server::{Server, Setup};

fn told(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("the program prints text")
}

#[test]
fn a_configuration_that_is_no_good_is_78_with_line_column_and_key() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad-start.toml");
    std::fs::write(&file, "[client]\nping_interval = \"soon\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_campanile"))
        .args(["serve", "--config"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told(&output).contains("bad-start.toml:2:1: client.ping_interval: "),
        "{output:?}"
    );
    assert_eq!(told(&output).lines().count(), 1, "{output:?}");
}

#[test]
fn a_file_that_is_not_there_is_78() {
    let output = Command::new(env!("CARGO_BIN_EXE_campanile"))
        .args(["serve", "--config", "no-such-file.toml"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(told(&output).contains("no-such-file.toml"), "{output:?}");
}

#[test]
fn secrets_that_are_missing_are_78_and_named() {
    let output = Setup::new()
        .with(json!({
            "client": {"allow_anonymous_connect_without_token": false, "token": null},
            "http_api": null,
        }))
        .run_to_end();
    assert_eq!(output.status.code(), Some(78));
    for name in [
        "client.token.hmac_secret_key",
        "http_api.key",
        "CAMPANILE_HTTP_API_KEY",
    ] {
        assert!(told(&output).contains(name), "{output:?}");
    }
}

#[test]
fn a_port_that_is_in_use_is_1_and_named() {
    let first = Server::start();
    let port = first.address.port();
    let output = Setup::new()
        .with(json!({"http_server": {"port": port}}))
        .run_to_end();
    assert_eq!(output.status.code(), Some(1));
    let says = format!("cannot listen on 127.0.0.1:{port}: ");
    assert!(told(&output).contains(&says), "{output:?}");
    assert_eq!(first.get("/ready").status, 200);
    first.stop();
}

#[test]
fn development_on_a_public_address_is_refused() {
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        let output = Setup::new()
            .with(json!({"http_server": {"address": address}}))
            .argument("--dev")
            .run_to_end();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(told(&output).contains("http_server.address"), "{output:?}");
    }
}

#[test]
fn a_certificate_that_is_no_certificate_is_78() {
    let output = Setup::new()
        .with(json!({"http_server": {"tls": {
            "enabled": true,
            "cert_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "key_pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        }}}))
        .run_to_end();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(told(&output).contains("http_server.tls"), "{output:?}");
}
