//! Two payloads of any bytes: their difference must bring the second one back, be shorter, and be a
//! text if that is one. Any bytes as a difference: an error, or no more than was allowed.
//!
//! Input: two bytes, where the first payload ends; then both payloads, or a source and a difference.
#![no_main]

use campanile_protocol::delta::{apply, patch};
use libfuzzer_sys::fuzz_target;

const TARGET_BYTES_MAX: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let [high, low, rest @ ..] = input else {
        return;
    };
    let end = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (source, target) = rest.split_at(end);
    if let Some(patch) = patch(source, target) {
        assert!(patch.len() < target.len());
        assert_eq!(apply(source, &patch, target.len()).as_deref(), Ok(target));
        assert!(std::str::from_utf8(target).is_err() || std::str::from_utf8(&patch).is_ok());
    }
    if let Ok(made) = apply(source, target, TARGET_BYTES_MAX) {
        assert!(made.len() <= TARGET_BYTES_MAX);
    }
});
