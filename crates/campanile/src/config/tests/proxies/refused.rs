//! What is refused about services, and what is only warned about.

use super::super::{environment, errors, warnings};
use super::{connect, connect_of};
use crate::config::load;

#[test]
fn what_is_asked_needs_somebody_who_answers() {
    for (text, told) in [
        (
            "[client.proxy.connect]\nenabled = true",
            "2:1: client.proxy.connect.enabled: needs client.proxy.connect.endpoint",
        ),
        (
            "[client.proxy.refresh]\nenabled = true",
            "2:1: client.proxy.refresh.enabled: needs client.proxy.refresh.endpoint",
        ),
        (
            "[channel.namespaces.chat]\nsubscribe_proxy_enabled = true",
            "2:1: channel.namespaces.chat.subscribe_proxy_enabled: needs \
             channel.proxy.subscribe.endpoint, or one of proxies as subscribe_proxy_name",
        ),
        (
            "[rpc.without_namespace]\nproxy_enabled = true",
            "2:1: rpc.without_namespace.proxy_enabled: needs rpc.proxy.endpoint, or one of \
             proxies as proxy_name",
        ),
        (
            "[channel.without_namespace]\npublish_proxy_enabled = true\n\
             publish_proxy_name = 'x'",
            "3:1: channel.without_namespace.publish_proxy_name: there is no \"x\" in proxies",
        ),
        (
            "[rpc.ping]\nenabled = true\nmethod = ''",
            "3:1: rpc.ping.method: expected the name of a method",
        ),
    ] {
        assert_eq!(errors(text), [format!("campanile.toml:{told}")]);
    }
}

#[test]
fn names_of_services_are_names_and_stand_once() {
    let entry = |name: &str| format!("[[proxies]]\nname = '{name}'\nendpoint = 'https://a'\n");
    for (text, told) in [
        (
            entry("a b"),
            "2:1: proxies[0].name: \"a b\" is no name of a proxy: two or more of a-z A-Z 0-9 - _ .",
        ),
        (
            entry("default"),
            "2:1: proxies[0].name: \"default\" means what stands in a section; a proxy needs \
             another name",
        ),
        (
            entry("aa") + &entry("aa"),
            "5:1: proxies[1].name: proxy \"aa\" was already defined at campanile.toml:2:1",
        ),
        (
            "[[proxies]]\nendpoint = 'https://a'".into(),
            "1:1: proxies[0]: a proxy needs a name",
        ),
        (
            "[[rpc.namespaces]]\nname = 'ab'\n[[rpc.namespaces]]\nname = 'ab'".into(),
            "4:1: rpc.namespaces[1].name: namespace \"ab\" was already defined at \
             campanile.toml:2:1",
        ),
        (
            "[rpc.namespaces.a]".into(),
            "1:17: rpc.namespaces.a: \"a\" is no name of a namespace: two or more of a-z A-Z \
             0-9 - _ .",
        ),
    ] {
        assert_eq!(errors(&text), [format!("campanile.toml:{told}")]);
    }
}

#[test]
fn an_endpoint_is_an_http_url_without_a_user() {
    for (url, told) in [
        ("grpc://a:1", "only http and https are supported, not gRPC"),
        ("ftp://a", "expected an http or https URL"),
        ("a/b", "expected an http or https URL"),
        ("https://", "expected an http or https URL"),
        ("", "expected an http or https URL"),
        ("http://b:99999/x", "expected a port from 1 to 65535"),
        ("http://[::1]:0", "expected a port from 1 to 65535"),
        ("https://b:/", "expected a port from 1 to 65535"),
        ("https://b/x#y", "must not have a fragment"),
        (
            "https://user:pw@a/b",
            "must not have a user name or password",
        ),
    ] {
        let text = format!("[proxies.used]\nendpoint = '{url}'\n");
        let uses = "[rpc.without_namespace]\nproxy_enabled = true\nproxy_name = 'used'\n";
        let told = format!("campanile.toml:2:1: proxies.used.endpoint: {told}");
        assert_eq!(errors(&(text + uses)), [told]);
    }
}

#[test]
fn a_service_without_an_endpoint_is_told_where_it_stands() {
    assert_eq!(
        errors("[[proxies]]\nname = 'unused'\n"),
        ["campanile.toml:1:1: proxies.unused.endpoint: expected an http or https URL"]
    );
}

#[test]
fn a_grpc_service_that_nobody_asks_is_only_a_warning() {
    assert_eq!(
        warnings("[proxies.stream]\nendpoint = 'grpc://a:1'\n"),
        [
            "campanile.toml:2:1: proxies.stream.endpoint: is not asked: only http and https \
             are supported"
        ]
    );
}

#[test]
fn headers_are_names_and_values_of_headers() {
    for (line, told) in [
        (
            "http_headers = ['Cookie', 'a b']",
            "4:27: client.proxy.connect.http_headers[1]: \"a b\" is no name of a header",
        ),
        (
            "emulated_headers = ['']",
            "4:21: client.proxy.connect.emulated_headers[0]: \"\" is no name of a header",
        ),
        (
            "http.static_headers = { 'a b' = 'hunter2' }",
            "4:25: client.proxy.connect.http.static_headers.a b: no name of a header",
        ),
        (
            "http.static_headers = { a = \"hunter2\\n\" }",
            "4:25: client.proxy.connect.http.static_headers.a: no value of a header",
        ),
        (
            "http.static_headers = { A = 'x', a = 'y' }",
            "4:34: client.proxy.connect.http.static_headers.a: stands here twice, as case does \
             not count",
        ),
        (
            "http.static_headers = { a = 1 }",
            "4:1: client.proxy.connect.http.static_headers: expected a table of strings, found \
             a table of something else",
        ),
        (
            "timeout = '0s'",
            "4:1: client.proxy.connect.timeout: must not be zero",
        ),
    ] {
        let found = errors(&connect(line));
        assert!(!found.concat().contains("hunter2"), "{found:?}");
        let place = |told: &str| told.split_once(": ").map(|(_, told)| told.to_owned());
        let found: Vec<_> = found.iter().map(|found| place(found)).collect();
        assert_eq!(found, [place(told)]);
    }
    let names = connect_of(&connect("http_headers = ['Cookie', 'cookie']"));
    assert_eq!(names.http_headers, ["cookie"]);
}

#[test]
fn a_status_stands_for_one_code_that_clients_understand() {
    for (transform, key, told) in [
        (
            "status_code = 404",
            "",
            "needs to_error or to_disconnect, with a code",
        ),
        (
            "status_code = 404, to_error = { code = 400 }, to_disconnect = { code = 4000 }",
            "",
            "cannot be both an error and a disconnect",
        ),
        (
            "status_code = 404, to_error = { code = 399 }",
            ".to_error.code",
            "expected a code from 400 to 1999",
        ),
        (
            "status_code = 404, to_error = { code = 2000 }",
            ".to_error.code",
            "expected a code from 400 to 1999",
        ),
        (
            "status_code = 404, to_disconnect = { code = 3999 }",
            ".to_disconnect.code",
            "expected a code from 4000 to 4999",
        ),
        (
            "status_code = 404, to_disconnect = { code = 5000 }",
            ".to_disconnect.code",
            "expected a code from 4000 to 4999",
        ),
        (
            "status_code = 200, to_error = { code = 400 }",
            ".status_code",
            "expected a status from 100 to 599 other than 200",
        ),
        (
            "to_error = { code = 400 }",
            ".status_code",
            "expected a status from 100 to 599 other than 200",
        ),
        (
            "status_code = 600, to_error = { code = 400 }",
            ".status_code",
            "expected a status from 100 to 599 other than 200",
        ),
        (
            "status_code = 'x'",
            ".status_code",
            "expected an integer of 0 or more, found a string",
        ),
    ] {
        let text = connect(&format!(
            "http.status_to_code_transforms = [{{ {transform} }}]"
        ));
        let found = errors(&text);
        let has_place = |told: &String| told.starts_with("campanile.toml:4:");
        assert!(found.iter().all(has_place), "{found:?}");
        let list = "client.proxy.connect.http.status_to_code_transforms";
        let told = format!("{list}[0]{key}: {told}");
        assert!(found.iter().any(|f| f.ends_with(&told)), "{found:?}");
    }
    let typo = connect("http.status_to_code_transforms = [{ status_code = 404, to_eror = {} }]");
    let found = errors(&typo).concat();
    assert!(
        found.contains("[0].to_eror: unknown key; did you mean \"to_error\"?"),
        "{found}"
    );
}

#[test]
fn what_only_grpc_and_streams_have_is_not_supported() {
    let text = connect(
        "grpc_metadata = ['a']\n[channel.proxy.subscribe_stream]\nendpoint = 'grpc://a'\n\
                        [proxies.'aa']\nendpoint = 'https://a'\ngrpc.compression = true",
    );
    let (http, none) = ("services are asked over HTTP only", "it has no effect");
    let told = |key: &str, note| format!("{key}: not supported by Campanile yet; {note}");
    let found = warnings(&text);
    let found: Vec<_> = found
        .iter()
        .map(|text| text.splitn(4, ':').nth(3).unwrap().trim())
        .collect();
    assert_eq!(
        found,
        [
            told("client.proxy.connect.grpc_metadata", http),
            told("channel.proxy.subscribe_stream", none),
            told("proxies.aa.grpc", http),
        ]
    );
    let sources = environment(&[
        ("CENTRIFUGO_RPC_PROXY_GRPC_TLS_ENABLED", "true"),
        ("CENTRIFUGO_PROXIES_AA_GRPC_METADATA", "a"),
    ]);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.warnings.len(), 2);
    for warning in loaded.warnings {
        assert!(warning.to_string().ends_with(http), "{warning}");
    }
}

#[test]
fn a_variable_that_is_no_table_of_headers_is_told_but_not_shown() {
    const NAME: &str = "CAMPANILE_RPC_PROXY_HTTP_STATIC_HEADERS";
    for text in ["hunter2", r#"["hunter2"]"#, r#"{"a": 1, "b": "hunter2"}"#] {
        let error = load(&environment(&[(NAME, text)])).unwrap_err();
        let told = "expected a table of strings as JSON";
        let told = format!("${NAME}: rpc.proxy.http.static_headers: {told}");
        assert_eq!(error.to_string(), told);
    }
}
