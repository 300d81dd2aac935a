//! Compressed messages back to what they were (RFC 7692 section 7.2.2), within a bound that holds
//! while it happens.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, or_panicked};
use crate::ws::ProtocolError;

/// Room that is kept between messages; what a larger message needed is given back.
const KEPT_BYTES: usize = 64 * 1_024;

/// An empty block that ends the stream. Behind the tail it tells a message that ends where it should
/// from one that was cut off, about which zlib says nothing.
const END: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Inflates messages, each by itself. One a worker is enough; it owns nothing before its first
/// message, about 50 KB and room for one message afterwards.
#[derive(Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    inflated: Vec<u8>,
}

impl Inflater {
    /// The message whose frames carried `payload`, if it has no more than `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InflatedTooBig`] as soon as it has more, [`ProtocolError::NotDeflate`] for a payload
    /// that no compressor made.
    pub fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<&[u8], ProtocolError> {
        self.release();
        // Nothing at all is not a block, but what some senders make of an empty message.
        if !payload.is_empty() {
            // Taken out, so that one that failed is not used again.
            let kept = self.stream.take();
            let inflated = &mut self.inflated;
            let outcome = or_panicked(|| {
                let mut stream = kept.unwrap_or_else(|| Decompress::new(false));
                stream.reset(false);
                let mut feed = |bytes| feed(&mut stream, bytes, inflated, bytes_max);
                let is_ended = feed(payload)? || !feed(&TAIL)? && feed(&END)?;
                Ok((stream, is_ended))
            });
            let (stream, is_ended) = outcome.unwrap_or(Err(ProtocolError::NotDeflate))?;
            self.stream = Some(stream);
            if !is_ended {
                return Err(ProtocolError::NotDeflate);
            }
        }
        Ok(&self.inflated)
    }

    /// Bytes of memory held for messages, apart from the decompressor's own: up to one more than the
    /// largest message may have while it is handed out, 64 KiB at most afterwards.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.inflated.capacity()
    }

    /// Gives back what a large message needed.
    pub(in crate::ws) fn release(&mut self) {
        self.inflated.clear();
        self.inflated.shrink_to(KEPT_BYTES);
    }
}

/// Inflates `bytes` behind what is there; true if they end with a final block (RFC 1951 section
/// 3.2.3). One before the end begins the compressed data anew (RFC 7692 section 7.2.3.4).
fn feed(
    stream: &mut Decompress,
    mut bytes: &[u8],
    inflated: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<bool, ProtocolError> {
    loop {
        make_room(inflated, bytes.len(), bytes_max)?;
        let (taken, given) = (stream.total_in(), inflated.len());
        let status = stream
            .decompress_vec(bytes, inflated, FlushDecompress::None)
            .map_err(|_| ProtocolError::NotDeflate)?;
        // The room may be larger than the bound, since it is kept.
        if inflated.len() > bytes_max {
            return Err(ProtocolError::InflatedTooBig);
        }
        let taken = usize::try_from(stream.total_in() - taken).unwrap_or(bytes.len());
        bytes = &bytes[taken..];
        if status == Status::StreamEnd {
            if bytes.is_empty() {
                return Ok(true);
            }
            stream.reset(false);
        } else if inflated.len() < inflated.capacity() {
            // With room left it stops only for want of bytes.
            if bytes.is_empty() {
                return Ok(false);
            }
            if taken == 0 && inflated.len() == given {
                return Err(ProtocolError::NotDeflate);
            }
        }
    }
}

/// Sees to room behind the message, for one byte more than allowed at most: whoever fills that has
/// too many.
fn make_room(inflated: &mut Vec<u8>, input: usize, bytes_max: usize) -> Result<(), ProtocolError> {
    if inflated.len() > bytes_max {
        return Err(ProtocolError::InflatedTooBig);
    }
    if inflated.len() == inflated.capacity() {
        let wanted = (inflated.len() * 2).max(input.saturating_mul(4)).max(1_024);
        let capacity = wanted.min(bytes_max.saturating_add(1));
        inflated.reserve_exact(capacity - inflated.len());
    }
    Ok(())
}

impl fmt::Debug for Inflater {
    /// Without the message: what users send has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}
