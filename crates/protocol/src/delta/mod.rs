//! Differences between payloads, in the Fossil delta format: section 10.4 of the protocol.
//!
//! Pure functions over bytes. Who holds which payload, and whether a difference may be told at all,
//! is decided elsewhere.
//!
//! ```text
//! delta   = target_length "\n" command* checksum ";"
//! command = count "@" offset ","       copy from the source
//!         | count ":" count raw bytes  insert
//! ```

mod apply;
mod patch;

pub use apply::{DeltaError, apply};
pub use patch::patch;

/// The digits of numbers, by value.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// The sum of all words of four bytes, big-endian, the last one filled up with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    words.fold(0, |sum, word| sum.wrapping_add(u32::from_be_bytes(*word)))
}
