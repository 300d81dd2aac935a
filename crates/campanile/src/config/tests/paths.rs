//! Endpoints at one path.

use super::{Sources, errors, load_toml};

#[test]
fn two_endpoints_do_not_share_a_path() {
    for (text, told) in [
        (
            "http_stream = { enabled = true, handler_prefix = '/x' }\n\
             emulation = { handler_prefix = '/x' }",
            "campanile.toml:2:15: emulation.handler_prefix: \
             \"/x\" belongs to http_stream.handler_prefix as well",
        ),
        (
            "sse = { enabled = true, handler_prefix = '/api/publish' }",
            "campanile.toml:1:25: sse.handler_prefix: \
             \"/api/publish\" belongs to http_api.handler_prefix as well",
        ),
        (
            "http_api = { handler_prefix = '/connection/websocket/' }",
            "campanile.toml:1:14: http_api.handler_prefix: \
             \"/connection/websocket\" belongs to websocket.handler_prefix as well",
        ),
        (
            "prometheus = { enabled = true, handler_prefix = '/ready' }",
            "campanile.toml:1:32: prometheus.handler_prefix: \
             \"/ready\" belongs to the server itself as well",
        ),
        (
            "websocket = { handler_prefix = '/connection/echo' }",
            "campanile.toml:1:15: websocket.handler_prefix: \
             \"/connection/echo\" belongs to the server itself as well",
        ),
    ] {
        assert_eq!(errors(text), [told]);
    }
}

#[test]
fn no_endpoint_is_where_plain_channels_are() {
    for (prefix, path, other) in [
        ("/api", "/api/", "http_api.handler_prefix"),
        ("/connection", "/connection/echo", "the server itself"),
    ] {
        let text = format!("plain = {{ enabled = true, handler_prefix = '{prefix}' }}");
        let told = errors(&text);
        assert!(
            matches!(&told[..], [one] if one.contains("plain.handler_prefix: ")
                && one.contains(path) && one.contains(other)),
            "{told:?}"
        );
    }
    let below = "sse = { enabled = true, handler_prefix = '/connection/plain/a' }";
    let told = "campanile.toml:1:25: sse.handler_prefix: \
                \"/connection/plain/a\" belongs to plain.handler_prefix as well";
    assert_eq!(errors(below), [told]);
}

#[test]
fn endpoints_that_are_not_served_share_what_they_like() {
    for text in [
        "sse = { handler_prefix = '/api/publish' }",
        "emulation = { handler_prefix = '/ready' }",
        "plain = { enabled = false, handler_prefix = '/api' }",
        "http_api = { disabled = true, handler_prefix = '/x' }\n\
         init = { enabled = true, handler_prefix = '/x' }",
        "plain = { enabled = true, handler_prefix = '/connection/websocket' }",
    ] {
        let loaded = load_toml(text, &Sources::default());
        assert!(loaded.is_ok(), "{text}: {loaded:?}");
    }
}

#[test]
fn a_path_is_no_pattern() {
    let told = "campanile.toml:1:9: sse.handler_prefix: \
                expected a path such as \"/path\", found \"/{x}\"";
    assert_eq!(errors("sse = { handler_prefix = '/{x}' }"), [told]);
}
