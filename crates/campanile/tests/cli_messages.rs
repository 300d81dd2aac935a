//! The commands that talk to a running server, as a shell sees them: exit codes, what goes to which
//! stream, and that a subscriber loses nothing with its connection.

mod support;

use rustix::process::Signal;
use support::{Directory, Proxy, Running, Server, answering, run};

/// Where nothing listens: the discard port, which needs privileges nobody has here.
const NOBODY: &str = "127.0.0.1:9";

#[test]
fn what_is_published_is_printed_by_a_subscriber() {
    let server = Server::start();
    let subscriber = server.subscribe(&["news", "sport"]);
    let first = server.publish(&["news", r#"{"hello": "world"}"#]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.starts_with("offset 1, epoch "), "{first:?}");
    assert_eq!(subscriber.next_line(), r#"{"hello": "world"}"#);
    let text = server.publish(&["sport", "--raw", "a \"b\"", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&text.stdout).unwrap();
    assert_eq!(result["offset"], 1, "{text:?}");
    assert_eq!(subscriber.next_line(), r#""a \"b\"""#);
    let piped = server.publish_with_input(&["news", "-"], "[1]\n");
    assert_eq!(piped.code, Some(0), "{piped:?}");
    assert_eq!(subscriber.next_line(), "[1]");
}

#[test]
fn whole_pushes_are_printed_when_asked_for() {
    let server = Server::start();
    let subscriber = server.subscribe(&["news", "--json"]);
    assert_eq!(server.publish(&["news", "-5"]).code, Some(0));
    let push: serde_json::Value = serde_json::from_str(&subscriber.next_line()).unwrap();
    assert_eq!(push["channel"], "news");
    assert_eq!(
        (&push["pub"]["data"], &push["pub"]["offset"]),
        (&(-5).into(), &1.into())
    );
}

#[test]
fn a_subscriber_gets_what_was_published_while_its_connection_was_cut() {
    let server = Server::start();
    let proxy = Proxy::to(server.address);
    let subscriber = Running::subscriber(&proxy.websocket_url(), &["news"]);
    assert_eq!(server.publish(&["news", "1"]).code, Some(0));
    assert_eq!(subscriber.next_line(), "1");
    proxy.cut();
    subscriber.wait_for_notice("connecting again");
    for number in ["2", "3"] {
        assert_eq!(server.publish(&["news", number]).code, Some(0));
    }
    proxy.restore();
    subscriber.wait_for_notice("nothing missed");
    assert_eq!(server.publish(&["news", "4"]).code, Some(0));
    for number in ["2", "3", "4"] {
        assert_eq!(subscriber.next_line(), number);
    }
}

#[test]
fn a_subscriber_is_told_when_something_was_missed() {
    let server = Server::start_with("[channel.without_namespace]\nhistory_size = 2\n");
    let proxy = Proxy::to(server.address);
    let subscriber = Running::subscriber(&proxy.websocket_url(), &["news"]);
    proxy.cut();
    subscriber.wait_for_notice("connecting again");
    for number in ["1", "2", "3"] {
        assert_eq!(server.publish(&["news", number]).code, Some(0));
    }
    proxy.restore();
    subscriber.wait_for_notice("may have been missed");
    assert_eq!(server.publish(&["news", "4"]).code, Some(0));
    assert_eq!(subscriber.next_line(), "4");
}

#[test]
fn a_subscriber_told_to_stop_ends_with_success() {
    let server = Server::start();
    for signal in [Signal::INT, Signal::TERM] {
        let subscriber = server.subscribe(&["news"]);
        subscriber.signal(signal);
        assert_eq!(subscriber.end(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_disconnect_that_forbids_to_come_back_ends_a_subscriber() {
    let server =
        Server::start_with("[client]\ninsecure = false\n[client.token]\nhmac_secret_key = 's'\n");
    let url = server.websocket_url();
    let refused = run(&["subscribe", "news", "--url", &url, "--token", "a.b.c"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("3500 invalid token"), "{refused:?}");
    let anonymous = run(&["subscribe", "news", "--url", &url]);
    assert_eq!(anonymous.code, Some(1), "{anonymous:?}");
    // Let in with a signed token, but not to this channel.
    let signed = server.run(&["subscribe", "news", "--url", &url, "--user", "42"]);
    assert_eq!(signed.code, Some(1), "{signed:?}");
    assert_eq!(signed.stderr, "\"news\": error 103: permission denied\n");
    let no_secret = run(&["subscribe", "news", "--url", &url, "--user", "42"]);
    assert_eq!(no_secret.code, Some(78), "{no_secret:?}");
}

#[test]
fn a_subscriber_can_be_a_user_where_only_users_may_come() {
    let server = Server::start_with(
        "[client]\ninsecure = false\n[client.token]\nhmac_secret_key = 's'\n\
         [channel.without_namespace]\nallow_subscribe_for_client = true\n",
    );
    let url = server.websocket_url();
    let secret = ("CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY", "s");
    let knowing = Directory::new().with_variable(secret.0, secret.1);
    let subscriber = Running::subscriber_in(knowing, &url, &["news", "--user=42"]);
    assert_eq!(server.publish(&["news", "1"]).code, Some(0));
    assert_eq!(subscriber.next_line(), "1");
}

#[test]
fn a_place_without_a_websocket_is_told_by_its_status() {
    for (status, code) in [("404 Not Found", 1), ("503 Service Unavailable", 69)] {
        let url = format!("ws://{}/", answering(status));
        let output = run(&["subscribe", "news", "--url", &url]);
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.stderr.contains(&status[..3]), "{output:?}");
    }
}

#[test]
fn the_configuration_says_where_the_server_is_and_what_its_key_is() {
    let server = Server::start();
    let port = server.address.port();
    let settings = format!(
        "[http_server]\nport = {port}\n[http_api]\nkey = '{}'\n",
        server.key
    );
    let client = Directory::new().with("there.toml", &settings);
    let published = client.run(&["publish", "-c", "there.toml", "news", "1"]);
    assert_eq!(published.code, Some(0), "{published:?}");
    let healthy = client.run(&["health", "-c", "there.toml"]);
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    let url = server.http_url();
    let client = Directory::new().with_variable("CAMPANILE_HTTP_API_KEY", &server.key);
    let published = client.run(&["publish", "--url", &url, "news", "2"]);
    assert_eq!(published.code, Some(0), "{published:?}");
}

#[test]
fn a_certificate_is_believed_only_on_request() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let directory = Directory::new()
        .with("cert.pem", &made.cert.pem())
        .with("key.pem", &made.signing_key.serialize_pem())
        .with(
            "campanile.toml",
            "[http_server.tls]\nenabled = true\ncert_pem = 'cert.pem'\nkey_pem = 'key.pem'\n",
        );
    let server = Server::start_in(directory);
    let address = server.address;
    let (http, websocket) = (
        format!("https://{address}"),
        format!("wss://{address}/connection/websocket"),
    );
    for trust in [&["--ca", "cert.pem"][..], &["--insecure-tls"]] {
        let health = server.run(&[&["health", "--url", &http], trust].concat());
        assert_eq!(health.code, Some(0), "{health:?}");
        // Let in, and refused only then.
        let subscribe = &["subscribe", "nowhere:news", "--url", &websocket];
        let subscribed = server.run(&[subscribe, trust].concat());
        assert_eq!(subscribed.code, Some(1), "{subscribed:?}");
        assert!(subscribed.stderr.contains("error 102"), "{subscribed:?}");
    }
    for arguments in [
        ["health", "--ready", "--url", &http],
        ["subscribe", "news", "--url", &websocket],
    ] {
        let stranger = server.run(&arguments);
        assert_eq!(stranger.code, Some(69), "{stranger:?}");
        assert!(stranger.stderr.contains("certificate"), "{stranger:?}");
    }
    let nobody = server.run(&["health", "--url", &http, "--ca", "key.pem"]);
    assert_eq!(nobody.code, Some(2), "{nobody:?}");
}

#[test]
fn the_servers_errors_are_told_with_their_code() {
    let server = Server::start();
    let url = server.http_url();
    let wrong_key = run(&["publish", "news", "1", "--url", &url, "--api-key", "wrong"]);
    assert_eq!(wrong_key.code, Some(1), "{wrong_key:?}");
    assert!(wrong_key.stderr.contains("401"), "{wrong_key:?}");
    let no_namespace = server.publish(&["nowhere:news", "1"]);
    assert_eq!(no_namespace.code, Some(1), "{no_namespace:?}");
    assert_eq!(no_namespace.stderr, "error 102: unknown channel\n");
}

#[test]
fn nobody_there_exits_with_69() {
    for host in [NOBODY, "host.invalid:8000"] {
        let (http, websocket) = (format!("http://{host}"), format!("ws://{host}/"));
        for arguments in [
            &["publish", "news", "1", "--url", &http][..],
            &["health", "--url", &http],
            &["subscribe", "news", "--url", &websocket],
        ] {
            let output = run(arguments);
            assert_eq!(output.code, Some(69), "{arguments:?}: {output:?}");
            assert_eq!(output.stdout, "", "{arguments:?}");
            assert!(output.stderr.starts_with("cannot reach "), "{output:?}");
        }
    }
}

#[test]
fn what_makes_no_sense_exits_with_2() {
    for arguments in [
        &["publish", "news", "{hello}"][..],
        &["publish", "news", ""],
        &["publish", "news"],
        &["publish", "news", "1", "--raw", "x"],
        &["publish", "news", "1", "--url", "localhost:8000"],
        &["subscribe"],
        &["subscribe", "news", "--url", "http://localhost"],
    ] {
        let output = run(arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
    }
}

#[test]
fn health_is_told_by_the_exit_code() {
    let server = Server::start();
    let url = server.http_url();
    for arguments in [
        &["health", "--url", &url][..],
        &["health", "--ready", "--url", &url],
    ] {
        let output = run(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    }
    let url = format!("http://{}", answering("503 Service Unavailable"));
    let unready = run(&["health", "--ready", "--url", &url]);
    assert_eq!(unready.code, Some(1), "{unready:?}");
    assert!(unready.stderr.contains("503"), "{unready:?}");
    let without = Server::start_with("[health]\nenabled = false\n");
    let url = without.http_url();
    let output = run(&["health", "--url", &url]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("health.enabled"), "{output:?}");
}

#[test]
fn the_program_describes_itself() {
    let version = run(&["version", "--json"]);
    let about: serde_json::Value = serde_json::from_str(&version.stdout).unwrap();
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.stdout.contains("subscribe"), "{shell}");
    }
    assert!(run(&["man"]).stdout.contains(".TH campanile"));
    let pages = Directory::new();
    assert_eq!(pages.run(&["man", "."]).code, Some(0));
    assert!(pages.path().join("campanile-publish.1").exists());
}

#[test]
fn a_subscriber_whose_reader_went_away_ends_with_success() {
    let server = Server::start();
    let subscriber = Running::unread_subscriber(&server.websocket_url(), "news");
    assert_eq!(server.publish(&["news", "1"]).code, Some(0));
    assert_eq!(subscriber.end(), Some(0));
}
