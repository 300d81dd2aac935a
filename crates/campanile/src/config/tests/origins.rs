//! Which pages may connect: entries that no page could ever fit.

use super::{errors, warnings};

fn of(origin: &str) -> String {
    format!("[client]\nallowed_origins = ['https://a.example', '{origin}']")
}

#[test]
fn an_entry_that_no_origin_is_like_is_warned_about() {
    for (origin, reason) in [
        ("http://192.0.2.7:8000/", "has a path"),
        ("https://*.a.example/*/x", "has a path"),
        ("app.example", "has no scheme"),
        ("192.0.2.7:8000", "has no scheme"),
        ("localhost:*", "has no scheme"),
        ("//a.example", "has no scheme"),
        ("", "has no scheme"),
        (" https://a.example", "has no scheme"),
        (
            "https://a.example:443",
            "has the port that browsers leave out",
        ),
        (
            "HTTP://a.example:80",
            "has the port that browsers leave out",
        ),
    ] {
        let told = "campanile.toml:2:41: client.allowed_origins[1]: no page has this origin: it";
        assert_eq!(
            warnings(&of(origin)),
            [format!("{told} {reason}")],
            "{origin}"
        );
    }
}

#[test]
fn an_entry_that_may_fit_is_not_warned_about() {
    for origin in [
        "*",
        "null",
        "same-origin",
        "Same-Origin",
        "*.example",
        "*://a.example",
        "http*://a.example",
        "http?://a.example",
        "http:*",
        "https://*",
        "https://a.example:*",
        "HTTPS://A.example:8443",
        "http://[[]::1]:8000",
        "{http,https}://a.example",
        "capacitor://localhost",
        "chrome-extension://abc",
        "file://",
        "http://a.example:443",
        "http://a.example:8080",
    ] {
        assert!(
            warnings(&of(origin)).is_empty(),
            "{:?}",
            warnings(&of(origin))
        );
    }
}

#[test]
fn an_entry_that_is_no_pattern_is_refused() {
    let found = errors(&of("https://[a")).concat();
    let place = "campanile.toml:2:41: client.allowed_origins[1]: ";
    assert!(found.starts_with(place), "{found}");
}
