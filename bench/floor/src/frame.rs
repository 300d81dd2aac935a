//! WebSocket frames (RFC 6455, section 5), as far as the floor needs them: no fragments, no 64-bit
//! lengths from clients. Knows bytes only, no socket.

/// A complete text frame, unmasked as servers send them.
pub(crate) fn text_frame(payload: &[u8]) -> Vec<u8> {
    let head = match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => vec![0x81, length],
        (_, Ok(length)) => [&[0x81, 126][..], &length.to_be_bytes()].concat(),
        _ => [&[0x81, 127][..], &(payload.len() as u64).to_be_bytes()].concat(),
    };
    [head.as_slice(), payload].concat()
}

/// Opcode, unmasked payload and length on the wire of the first frame, once all of it is there.
/// Frames of 64 KB and more count as never complete: no command is that long.
pub(crate) fn unmask_frame(input: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (start, length) = match input.get(1)? & 0x7f {
        127 => return None,
        126 => (
            4,
            usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])),
        ),
        short => (2, usize::from(short)),
    };
    let mask = input.get(start..start + 4)?;
    let masked = input.get(start + 4..start + 4 + length)?;
    let payload = masked
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    Some((input[0] & 0x0f, payload, start + 4 + length))
}
