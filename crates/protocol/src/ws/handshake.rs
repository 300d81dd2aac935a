//! The one computation of the opening handshake (RFC 6455 section 4.2.2): the accept value. Headers
//! and status codes are HTTP's and live with the transport.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use sha1::{Digest as _, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Keys typed by hand often have stray bits after the sixteenth byte. They change nothing, since the
/// key is hashed as text.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// The `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key` without surrounding white space, or
/// `None` when the key is not 16 bytes in base64.
#[must_use]
pub fn accept_key(sec_websocket_key: &[u8]) -> Option<[u8; 28]> {
    // Judged before decoding, so that a long header costs nothing: 16 bytes are 24 characters.
    if sec_websocket_key.len() != 24 {
        return None;
    }
    let mut nonce = [0; 18];
    if KEY.decode_slice(sec_websocket_key, &mut nonce) != Ok(16) {
        return None;
    }
    let digest = Sha1::new()
        .chain_update(sec_websocket_key)
        .chain_update(GUID)
        .finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(
        written,
        Ok(accept.len()),
        "20 bytes are 28 characters of base64"
    );
    Some(accept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_the_rfc() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn key_that_is_not_sixteen_bytes_of_base64_is_refused() {
        let wrong: [&[u8]; 7] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZSE=",
            b"dGhlIHNhbXBsZSBub25jZSEh",
            b"dGhlIHNhbXBsZSBub25jZ===",
            b"dGhl_HNhbXBsZSBub25jZQ==",
            b" dGhlIHNhbXBsZSBub25jZQ==",
        ];
        for key in wrong {
            assert_eq!(accept_key(key), None, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn stray_bits_after_the_last_byte_are_accepted() {
        assert!(accept_key(b"test1234test1234test12==").is_some());
    }
}
