//! Frames to send. Every message is one frame: the sender has it whole, so fragments would only add
//! headers. Nothing here queues or writes.

use super::header::HeaderBytes;
use super::{Opcode, mask};

/// The header of an unmasked frame, for a payload that is written beside it.
#[must_use]
pub fn header(opcode: Opcode, payload_len: usize) -> HeaderBytes {
    HeaderBytes::new(opcode, payload_len)
}

/// Appends one unmasked frame, as a server sends it. A control frame's payload must not exceed 125
/// bytes (RFC 6455 section 5.5).
pub fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let header = header(opcode, payload.len());
    out.reserve(header.as_bytes().len() + payload.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(payload);
}

/// Appends one unmasked frame whose payload a [`Deflater`](super::deflate::Deflater) made.
pub fn encode_deflated(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let mut header = header(opcode, payload.len());
    header.set_deflated();
    out.reserve(header.as_bytes().len() + payload.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(payload);
}

/// Appends one frame masked with `key`, as a client sends it.
pub fn encode_masked(opcode: Opcode, mut key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    let mut header = header(opcode, payload.len());
    header.set_masked();
    out.reserve(header.as_bytes().len() + key.len() + payload.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut key, &mut out[start..]);
}
