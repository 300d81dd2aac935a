//! The frame header (RFC 6455 section 5.2), both ways. It knows single frames only; what may follow
//! what, and how large a message may be, is the reader's business.

use super::{Opcode, ProtocolError, Role};

const FIN: u8 = 0x80;
/// Of the three reserved bits, the one that permessage-deflate sets in the first frame of a compressed
/// message (RFC 7692 section 6).
const RSV1: u8 = 0x40;
const RESERVED: u8 = 0x70;
const MASK: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// Longest payload of a control frame, and longest payload with a one byte length.
pub(super) const SHORT_MAX: usize = 125;
/// Two bytes, a 64 bit length and a masking key.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// A parsed header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) fin: bool,
    /// Whether it begins a compressed message.
    pub(super) deflated: bool,
    pub(super) opcode: Opcode,
    pub(super) key: Option<[u8; 4]>,
    pub(super) payload_len: u64,
}

impl FrameHeader {
    /// Parses the header at the front of `bytes`; gives it with its size, or `None` while it is
    /// incomplete. `deflates` says whether permessage-deflate was agreed upon.
    ///
    /// Each byte is judged as soon as it is there and in order, so the outcome does not depend on how
    /// the header was cut into reads.
    pub(super) fn parse(
        role: Role,
        deflates: bool,
        bytes: &[u8],
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let deflated = deflates && first & RESERVED == RSV1;
        if first & RESERVED != 0 && !deflated {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::from_wire(first & 0x0F).ok_or(ProtocolError::UnknownOpcode)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if deflated && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolError::ReservedBits);
        }

        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let masked = second & MASK != 0;
        match role {
            Role::Server if !masked => return Err(ProtocolError::NotMasked),
            Role::Client if masked => return Err(ProtocolError::Masked),
            Role::Server | Role::Client => {}
        }
        let short = second & !MASK;
        if opcode.is_control() && usize::from(short) > SHORT_MAX {
            return Err(ProtocolError::ControlTooLong);
        }

        let Some((payload_len, mut size)) = payload_len(short, bytes)? else {
            return Ok(None);
        };
        let mut key = None;
        if masked {
            let Some(found) = bytes[size..].first_chunk() else {
                return Ok(None);
            };
            key = Some(*found);
            size += found.len();
        }
        Ok(Some((
            Self {
                fin,
                deflated,
                opcode,
                key,
                payload_len,
            },
            size,
        )))
    }
}

/// The payload length and the size of the header up to its end.
fn payload_len(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    let extended = &bytes[2..];
    let (length, minimum, size) = match short {
        LENGTH_16 => {
            let Some(length) = extended.first_chunk() else {
                return Ok(None);
            };
            (
                u64::from(u16::from_be_bytes(*length)),
                u64::from(LENGTH_16),
                4,
            )
        }
        LENGTH_64 => {
            let Some(length) = extended.first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*length), u64::from(u16::MAX) + 1, 10)
        }
        length => (u64::from(length), 0, 2),
    };
    if length < minimum {
        return Err(ProtocolError::LengthNotMinimal);
    }
    if length > i64::MAX as u64 {
        return Err(ProtocolError::LengthOutOfRange);
    }
    Ok(Some((length, size)))
}

/// The encoded header of an unmasked frame: 2, 4 or 10 bytes, kept inline so that it can be written
/// beside a shared payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; 10],
    len: u8,
}

impl HeaderBytes {
    /// A frame with FIN, without extension bits and without a mask.
    pub(super) fn new(opcode: Opcode, payload_len: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = FIN | opcode as u8;
        let (short, len) = match (u8::try_from(payload_len), u16::try_from(payload_len)) {
            (Ok(length), _) if payload_len <= SHORT_MAX => (length, 2),
            (_, Ok(length)) => {
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                (LENGTH_16, 4)
            }
            _ => {
                bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
                (LENGTH_64, 10)
            }
        };
        bytes[1] = short;
        Self { bytes, len }
    }

    pub(super) fn set_deflated(&mut self) {
        self.bytes[0] |= RSV1;
    }

    pub(super) fn set_masked(&mut self) {
        self.bytes[1] |= MASK;
    }

    /// The bytes to write in front of the payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_header_parses_back_at_every_length_boundary() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 40] {
            let encoded = HeaderBytes::new(Opcode::Binary, length);
            let parsed = FrameHeader::parse(Role::Client, false, encoded.as_bytes()).unwrap();
            let expected = FrameHeader {
                fin: true,
                deflated: false,
                opcode: Opcode::Binary,
                key: None,
                payload_len: length as u64,
            };
            assert_eq!(parsed, Some((expected, encoded.as_bytes().len())));
        }
    }

    #[test]
    fn every_prefix_of_a_header_asks_for_more() {
        let header = [0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
        for end in 0..header.len() {
            let parsed = FrameHeader::parse(Role::Server, false, &header[..end]);
            assert_eq!(parsed, Ok(None));
        }
        let parsed = FrameHeader::parse(Role::Server, false, &header);
        let (parsed, size) = parsed.unwrap().unwrap();
        assert_eq!(
            (parsed.payload_len, parsed.key, size),
            (1 << 32, Some([1, 2, 3, 4]), 14)
        );
    }
}
