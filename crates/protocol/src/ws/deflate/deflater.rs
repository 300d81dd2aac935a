//! Messages to their compressed form (RFC 7692 section 7.2.1). What is worth it, and who gets it, is
//! decided by its caller.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, Window};

/// Room that is kept between messages; what a larger message needed is given back.
const KEPT_BYTES: usize = 64 * 1_024;

/// Compresses messages, each by itself. One a worker is enough: a window's compressor, about 300 KB,
/// is made when it is first needed and starts anew with each message.
pub struct Deflater {
    level: Compression,
    windows: [Option<Compress>; Window::COUNT],
    deflated: Vec<u8>,
}

impl Deflater {
    /// `level` is zlib's: 1 (fastest) to 9 (smallest); 0 would only wrap. A higher one counts as 9.
    #[must_use]
    pub fn new(level: u8) -> Self {
        Self {
            level: Compression::new(u32::from(level.min(9))),
            windows: [const { None }; Window::COUNT],
            deflated: Vec::new(),
        }
    }

    /// The payload of a frame with RSV1, or `None` if it would not be smaller than `message`: send
    /// that plainly.
    pub fn deflate(&mut self, window: Window, message: &[u8]) -> Option<&[u8]> {
        let stream = self.windows[window.index()].get_or_insert_with(|| {
            Compress::new_with_window_bits(self.level, false, window.bits())
        });
        stream.reset();
        self.deflated.clear();
        self.deflated.shrink_to(KEPT_BYTES);
        // A message that fits here together with its tail is smaller than it was. The last byte
        // stays free: only so does the compressor say that it has nothing more to give.
        self.deflated.reserve(message.len() + TAIL.len());
        stream
            .compress_vec(message, &mut self.deflated, FlushCompress::Sync)
            .ok()?;
        let is_whole = stream.total_in() == message.len() as u64
            && self.deflated.len() < self.deflated.capacity();
        let payload = self.deflated.strip_suffix(&TAIL)?;
        (is_whole && payload.len() < message.len()).then_some(payload)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("level", &self.level.level())
            .finish_non_exhaustive()
    }
}
