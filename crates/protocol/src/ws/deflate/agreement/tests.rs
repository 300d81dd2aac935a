//! Headers as clients send them, and as they should not.

use super::*;
use proptest::prelude::*;

fn agreed(header: &str) -> Result<Option<Window>, MalformedExtensions> {
    agree([header.as_bytes()])
}

#[test]
fn plain_offer_is_accepted_with_the_full_window() {
    for header in [
        "permessage-deflate",
        "Permessage-Deflate",
        " permessage-deflate ; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=8",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits = \"15\"",
        r#"permessage-deflate; server_max_window_bits="1\5""#,
    ] {
        assert_eq!(agreed(header), Ok(Some(Window::Full)), "{header}");
    }
}

#[test]
fn every_smaller_window_is_answered_with_the_small_one() {
    for bits in 9..15 {
        let header = format!("permessage-deflate; server_max_window_bits={bits}");
        assert_eq!(agreed(&header), Ok(Some(Window::Small)));
    }
    assert!(
        Window::Small
            .response()
            .ends_with("server_max_window_bits=9")
    );
}

#[test]
fn offer_that_cannot_be_kept_is_declined() {
    for parameter in [
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=7",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=ten",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"\\1\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=10",
        "unknown",
        "Server_No_Context_Takeover",
    ] {
        let header = format!("permessage-deflate; {parameter}");
        assert_eq!(agreed(&header), Ok(None), "{header}");
        let fallback = format!("{header}, permessage-deflate");
        assert_eq!(agreed(&fallback), Ok(Some(Window::Full)), "{fallback}");
    }
}

#[test]
fn first_offer_that_can_be_kept_wins_across_headers() {
    let headers: [&[u8]; 3] = [
        b"x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8",
        b", permessage-bzip2; level=\"9\" ,,permessage-deflate; server_max_window_bits=12,",
        b"permessage-deflate",
    ];
    assert_eq!(agree(headers), Ok(Some(Window::Small)));
    assert_eq!(agree([]), Ok(None));
    assert_eq!(agreed(""), Ok(None));
}

#[test]
fn header_that_is_no_list_of_extensions_is_malformed() {
    for header in [
        "permessage-deflate; ",
        "permessage-deflate server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"10\\",
        "permessage-deflate; =10",
        "permessage-deflate, a b",
        ";",
        "permessage/deflate",
        "permessage-deflate\u{e9}",
    ] {
        assert_eq!(agreed(header), Err(MalformedExtensions), "{header}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(headers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..3)) {
        let _ = agree(headers.iter().map(Vec::as_slice));
    }

    #[test]
    fn nearly_right_headers_do_not_make_it_panic(header in "(permessage-deflate|[;,=\"\\\\ 0-9a-z]|server_max_window_bits){0,12}") {
        let _ = agreed(&header);
    }
}
