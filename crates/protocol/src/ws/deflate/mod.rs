//! permessage-deflate (RFC 7692): what is agreed in the handshake, and messages to and from their
//! compressed form. It refuses to know frames, and whether a message is worth compressing.
//!
//! **No context takeover, in either direction, ever.** A message that refers to nothing before it can
//! be compressed once and given to everyone who has the same window; and a compressor or an inflater
//! belongs to a worker, not to a connection, which would cost it 190 to 320 KB. What is lost is the
//! repetition between messages, which a server of small messages to many pays gladly.

mod agreement;
mod deflater;
mod inflater;

pub use agreement::{MalformedExtensions, Window, agree};
pub use deflater::Deflater;
pub use inflater::Inflater;

/// The end of a flushed block, left away on the wire (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Runs something of zlib's, which works on what strangers send: its panics cost one message, not the
/// worker. `None` after one; what it worked with is gone.
fn or_panicked<T>(run: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()
}

#[cfg(test)]
mod tests {
    use super::or_panicked;

    #[test]
    fn a_panic_is_an_outcome() {
        assert_eq!(or_panicked(|| 1), Some(1));
        assert_eq!(or_panicked(|| -> u8 { panic!("for the test") }), None);
    }
}
