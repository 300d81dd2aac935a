//! Messages to their compressed form (RFC 7692 section 7.2.1), where that is worth it. Who gets which
//! is decided by its caller.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, Window, or_panicked};
use crate::ws::header::FrameHeader;
use crate::ws::{Role, encode_deflated};

/// Room that is kept between messages; what a larger message needed is given back.
const KEPT_BYTES: usize = 64 * 1_024;

/// Compresses messages, each by itself. One a worker is enough: a window's compressor, about 300 KB,
/// is made when it is first needed and starts anew with each message.
pub struct Deflater {
    level: Compression,
    bytes_min: usize,
    windows: [Option<Compress>; Window::COUNT],
    deflated: Vec<u8>,
}

impl Deflater {
    /// Leaves messages of fewer than `bytes_min` alone. `level` is zlib's: 1 (fastest) to 9
    /// (smallest); 0 would only wrap, and a higher one counts as 9.
    #[must_use]
    pub fn new(level: u8, bytes_min: usize) -> Self {
        Self {
            level: Compression::new(u32::from(level.min(9))),
            bytes_min,
            windows: [const { None }; Window::COUNT],
            deflated: Vec::new(),
        }
    }

    /// Compresses the messages of `frames`, which are whole ones as [`encode`](crate::ws::encode) makes
    /// them, and tells how many became smaller. All others stay as they are, and everything does for
    /// a client without a window.
    pub fn shrink(&mut self, window: Option<Window>, frames: &mut Vec<u8>) -> u64 {
        let Some(window) = window else {
            return 0;
        };
        let mut shrunk = 0;
        let mut made = Vec::new();
        let mut rest = frames.as_slice();
        while let Ok(Some((header, size))) = FrameHeader::parse(Role::Client, false, rest) {
            let length = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            let end = size.saturating_add(length).min(rest.len());
            let payload = (!header.opcode.is_control())
                .then(|| self.deflate(window, &rest[size..end]))
                .flatten();
            match payload {
                Some(payload) => {
                    encode_deflated(header.opcode, payload, &mut made);
                    shrunk += 1;
                }
                None => made.extend_from_slice(&rest[..end]),
            }
            rest = &rest[end..];
        }
        debug_assert!(rest.is_empty(), "whole frames");
        if shrunk > 0 {
            *frames = made;
        }
        self.deflated.clear();
        self.deflated.shrink_to(KEPT_BYTES);
        shrunk
    }

    /// The payload of a frame with RSV1, or `None` if `message` is short or would not become smaller:
    /// send it plainly.
    pub fn deflate(&mut self, window: Window, message: &[u8]) -> Option<&[u8]> {
        if message.len() < self.bytes_min {
            return None;
        }
        let level = self.level;
        // Taken out, so that one that failed is not used again.
        let kept = self.windows[window.index()].take();
        self.deflated.clear();
        self.deflated.reserve(bound(message.len()));
        let deflated = &mut self.deflated;
        let stream = or_panicked(|| {
            let mut stream =
                kept.unwrap_or_else(|| Compress::new_with_window_bits(level, false, window.bits()));
            stream.reset();
            let outcome = stream.compress_vec(message, deflated, FlushCompress::Sync);
            // With a byte left free there is nothing that it could not give.
            let is_whole = outcome.is_ok()
                && stream.total_in() == message.len() as u64
                && deflated.len() < deflated.capacity();
            is_whole.then_some(stream)
        });
        self.windows[window.index()] = Some(stream??);
        let payload = self.deflated.strip_suffix(&TAIL)?;
        (payload.len() < message.len()).then_some(payload)
    }
}

/// More than any message of so many bytes can become: nine bits a byte at the most. Stopping where it
/// ceases to be worth it would save little, and zlib-rs 0.6 does not forget what it could not give:
/// begun anew often enough, it panics for want of room.
const fn bound(message: usize) -> usize {
    message + message / 8 + 64
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("level", &self.level.level())
            .finish_non_exhaustive()
    }
}
