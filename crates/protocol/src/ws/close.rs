//! The close frame's payload (RFC 6455 sections 5.5.1 and 7.4), both ways. When to close, and what to
//! answer, is decided elsewhere.

use super::header::SHORT_MAX;
use super::{Opcode, ProtocolError, encode};

/// Why the peer closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// A code for which [`close_code_is_valid`] holds.
    pub code: u16,
    /// At most 123 bytes; the peer's words, so not to be trusted.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// `None` for the empty payload, which gives no reason at all.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() {
                Ok(None)
            } else {
                Err(ProtocolError::CloseTooShort)
            };
        };
        let code = u16::from_be_bytes(*code);
        if !close_code_is_valid(code) {
            return Err(ProtocolError::CloseCode);
        }
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Some(Self { code, reason }))
    }
}

/// Whether `code` may stand in a close frame: the registered codes and 3000–4999. The others are
/// reserved, or, like 1005 and 1006, names for what was never sent.
#[must_use]
pub const fn close_code_is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Appends an unmasked close frame. `reason` is cut before the character that would take it past 123
/// bytes. The code is not checked: see [`close_code_is_valid`]. To answer a close that gave no code,
/// [`encode`] a [`Opcode::Close`] with an empty payload.
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let mut payload = [0; SHORT_MAX];
    let end = reason.floor_char_boundary(SHORT_MAX - 2);
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    encode(Opcode::Close, &payload[..2 + end], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_valid() {
        for code in [1000, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
            assert!(close_code_is_valid(code), "{code}");
        }
        for code in [
            0,
            999,
            1004,
            1005,
            1006,
            1015,
            1016,
            1100,
            2999,
            5000,
            u16::MAX,
        ] {
            assert!(!close_code_is_valid(code), "{code}");
        }
    }

    #[test]
    fn long_reason_is_cut_at_a_character_boundary() {
        let mut frame = Vec::new();
        encode_close(3008, &"€".repeat(60), &mut frame);
        let parsed = CloseFrame::parse(&frame[2..]).unwrap().unwrap();
        assert_eq!(
            (parsed.code, parsed.reason),
            (3008, "€".repeat(41).as_str())
        );

        frame.clear();
        encode_close(3008, &format!("a{}", "€".repeat(60)), &mut frame);
        assert_eq!(frame.len(), 2 + 2 + 121);
    }

    #[test]
    fn empty_reason_is_two_bytes_of_payload() {
        let mut frame = Vec::new();
        encode_close(1000, "", &mut frame);
        assert_eq!(frame, [0x88, 2, 0x03, 0xE8]);
    }
}
