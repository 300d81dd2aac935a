//! What looks as if it did something and would not, or would only show when the server starts.

use rcgen::generate_simple_self_signed;

use super::super::{errors, warnings};
use super::{connect, connect_of};

const KEY: &str = "client.proxy.connect";

#[test]
fn https_is_https_in_capitals_too() {
    let tls = "[client.proxy.connect.http.tls]\nenabled = true";
    let text = connect(tls).replace("https:", "HTTPS:");
    assert!(warnings(&text).is_empty(), "{:?}", warnings(&text));
}

#[test]
fn tls_that_is_not_enabled_has_no_effect() {
    let tls = |lines: &str| {
        let lines = format!("[client.proxy.connect.http.tls]\n{lines}");
        warnings(&connect(&lines))
    };
    let told = |line: usize, option: &str| {
        let reason = "has no effect, as http.tls.enabled is false";
        format!("campanile.toml:{line}:1: {KEY}.http.tls.{option}: {reason}")
    };
    assert_eq!(
        tls("server_ca_pem = '/no/such'\ninsecure_skip_verify = true"),
        [told(5, "server_ca_pem"), told(6, "insecure_skip_verify")]
    );
    for option in ["cert_pem", "key_pem", "server_name"] {
        assert_eq!(tls(&format!("{option} = 'a'")), [told(5, option)]);
    }
    assert!(tls("enabled = false\nserver_name = ''\ninsecure_skip_verify = false").is_empty());
}

#[test]
fn headers_that_say_how_a_question_travels_cannot_be_set() {
    for name in ["Connection", "content-length", "Transfer-Encoding"] {
        let text = connect(&format!("http.static_headers = {{ {name} = '1' }}"));
        assert_eq!(
            errors(&text),
            [format!(
                "campanile.toml:4:25: {KEY}.http.static_headers.{name}: says how a question \
                 travels, and cannot be set"
            )]
        );
    }
    let host = connect_of(&connect("http.static_headers = { Host = 'b' }"));
    assert_eq!(host.static_headers.len(), 1);
}

#[test]
fn headers_of_the_question_itself_are_not_passed_on() {
    let text = connect("http_headers = ['Cookie', 'Host']\nemulated_headers = ['content-type']");
    let told = |place: &str| {
        let reason = "is never passed on: a question has its own";
        format!("campanile.toml:{place}: {reason}")
    };
    assert_eq!(
        warnings(&text),
        [
            told("4:27: client.proxy.connect.http_headers[1]"),
            told("5:21: client.proxy.connect.emulated_headers[0]"),
        ]
    );
}

#[test]
fn a_status_has_one_transform() {
    let text = connect(
        "http.status_to_code_transforms = [\n\
         { status_code = 404, to_error = { code = 404 } },\n\
         { status_code = 403, to_error = { code = 403 } },\n\
         { status_code = 404, to_disconnect = { code = 4404 } }]",
    );
    let found = errors(&text);
    let told = format!("{KEY}.http.status_to_code_transforms[2].status_code: stands here twice");
    assert!(
        found.len() == 1 && found[0].starts_with("campanile.toml:7:") && found[0].ends_with(&told),
        "{found:?}"
    );
}

#[test]
fn an_answer_may_not_take_longer_than_a_client_may_stay_unknown() {
    let told = |line: usize, key: &str| {
        let reason = format!(
            "a client is gone after client.stale_close_delay, before {KEY}.timeout is over"
        );
        [format!("campanile.toml:{line}:1: {key}: {reason}")]
    };
    let long = connect("timeout = '30s'");
    assert_eq!(warnings(&long), told(4, &format!("{KEY}.timeout")));
    let short = format!("{}[client]\nstale_close_delay = '500ms'", connect(""));
    assert_eq!(warnings(&short), told(6, "client.stale_close_delay"));
    assert!(warnings(&connect("timeout = '2s'")).is_empty());
    let both = format!(
        "{}[client]\nstale_close_delay = '40s'",
        connect("timeout = '30s'")
    );
    assert!(warnings(&both).is_empty());
    let unused = connect("timeout = '30s'").replace("enabled = true", "enabled = false");
    assert!(warnings(&unused).is_empty());
}

#[test]
fn what_is_named_as_a_file_of_pem_is_one() {
    let text = |path: &str| {
        connect(&format!(
            "[client.proxy.connect.http.tls]\nenabled = true\nserver_ca_pem = '{path}'"
        ))
    };
    let place = format!("campanile.toml:6:1: {KEY}.http.tls.server_ca_pem: ");
    let directory = env!("CARGO_MANIFEST_DIR");
    for (path, told) in [
        (directory.to_owned(), "names what is no file"),
        ("/dev/null".to_owned(), "names what is no file"),
        (
            format!("{directory}/Cargo.toml"),
            "names a file without PEM",
        ),
    ] {
        assert_eq!(errors(&text(&path)), [format!("{place}{told}")]);
    }
    let pair = generate_simple_self_signed(["a".into()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let tls = format!("enabled = true\ncert_pem = '''{key}'''\nkey_pem = '''{certificate}'''");
    let found = errors(&connect(&format!("[client.proxy.connect.http.tls]\n{tls}")));
    let [first, second] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(first.ends_with("cert_pem: no certificate in it"), "{first}");
    let told = "key_pem: no private key in it, or one with a password";
    assert!(second.ends_with(told), "{second}");
}
