//! The client half of WebSocket framing (RFC 6455, section 5): masked frames out, plain frames in.
//! Knows bytes only: no socket, no message format, no fragments (no server of small messages sends
//! them, so one is reported instead of being reassembled), and of compression the bit that tells it.

/// Opcode of a text frame.
pub(super) const TEXT: u8 = 0x1;
/// Opcode of a binary frame.
pub(super) const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub(super) const CLOSE: u8 = 0x8;
/// Opcode of a ping frame.
pub(super) const PING: u8 = 0x9;
/// Opcode of a pong frame.
pub(super) const PONG: u8 = 0xa;

/// Set on the first frame of a compressed message.
const RSV1: u8 = 0x40;

/// The key guards proxies against chosen bytes, which a load generator has no need for; it is not
/// zero, so that the server does the work of unmasking.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame longer than this is taken for a broken stream.
const MAX_PAYLOAD: u64 = 16 << 20;

/// A complete frame at the start of a stream of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    /// RSV1: the payload is compressed (RFC 7692, section 6).
    pub(super) is_deflated: bool,
    pub(super) payload: &'a [u8],
    /// Bytes of the stream that the frame takes.
    pub(super) length: usize,
}

/// The first frame of `bytes`, or `None` until all of it is there.
pub(super) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, &'static str> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    let is_deflated = first & RSV1 != 0;
    if first & 0xb0 != 0x80 || is_deflated && opcode >= CLOSE {
        return Err("fragmented frame, or one of an unknown extension");
    }
    let (start, length) = match second {
        0x80.. => return Err("masked frame from a server"),
        127 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        126 => match rest.first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        length => (2, u64::from(*length)),
    };
    let length = match usize::try_from(length) {
        Ok(bytes) if length <= MAX_PAYLOAD => bytes,
        _ => return Err("frame of more than 16 MiB"),
    };
    let end = start + length;
    let payload = bytes.get(start..end);
    Ok(payload.map(|payload| Frame {
        opcode,
        is_deflated,
        payload,
        length: end,
    }))
}

/// Appends one masked frame.
pub(super) fn push_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_frame(length: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(TEXT, &vec![b'x'; length], &mut frame);
        let header = frame.len() - length;
        frame[1] &= 0x7f;
        frame.drain(header - 4..header);
        frame[header - 4..].fill(b'x');
        frame
    }

    #[test]
    fn a_frame_of_any_length_form_is_found_only_when_complete() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = plain_frame(length);
            let whole = bytes.len();
            for cut in [0, 1, 2, 3, whole - 1]
                .into_iter()
                .filter(|cut| *cut < whole)
            {
                assert_eq!(
                    first_frame(&bytes[..cut]),
                    Ok(None),
                    "{length} cut at {cut}"
                );
            }
            bytes.extend_from_slice(b"next");
            let frame = first_frame(&bytes).unwrap().unwrap();
            assert_eq!(
                (frame.opcode, frame.payload.len(), frame.length),
                (TEXT, length, whole)
            );
        }
    }

    #[test]
    fn frames_that_the_scan_cannot_count_are_reported() {
        assert!(first_frame(&[0x01, 0x00]).is_err(), "fragment");
        assert!(first_frame(&[0xa1, 0x00]).is_err(), "reserved bit");
        assert!(first_frame(&[0xc9, 0x00]).is_err(), "compressed ping");
        assert!(first_frame(&[0x81, 0x80]).is_err(), "masked");
        let absurd = [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat();
        assert!(first_frame(&absurd).is_err(), "too long");
    }

    #[test]
    fn a_compressed_message_is_told_from_a_plain_one() {
        for (first, is_deflated) in [(0x81, false), (0xc1, true), (0xc2, true)] {
            let bytes = [first, 0];
            let frame = first_frame(&bytes).unwrap().unwrap();
            assert_eq!(frame.is_deflated, is_deflated, "{first:#x}");
        }
    }

    #[test]
    fn sent_frames_are_masked() {
        let mut frame = Vec::new();
        push_frame(TEXT, b"{}", &mut frame);
        assert_eq!(frame[..6], [0x81, 0x82, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(frame[6..], [b'{' ^ 0x37, b'}' ^ 0xfa]);
    }
}
