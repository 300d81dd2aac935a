//! permessage-deflate against RFC 7692: its examples, every violation and its close code, windows that
//! hold, and what a compressed message may cost.

use campanile_protocol::ws::deflate::{Deflater, Inflater, Window};
use campanile_protocol::ws::{
    Event, Limits, Opcode, ProtocolError, Reader, Role, encode, encode_deflated, encode_masked,
};
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;
use proptest::sample::Index;

const WINDOWS: [Window; Window::COUNT] = [Window::Full, Window::Small];
const RSV1: u8 = 0x40;
const FIN: u8 = 0x80;

/// One masked frame whose first byte is given.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_masked(Opcode::Binary, [1, 2, 3, 4], payload, &mut bytes);
    bytes[0] = first;
    bytes
}

fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter()
        .flat_map(|&(first, payload)| frame(first, payload))
        .collect()
}

/// Messages of 64 KiB that may become this large.
fn limits(inflated_bytes_max: usize) -> Limits {
    Limits {
        inflated_bytes_max,
        ..Limits::default()
    }
}

/// All events of `bytes` in reads of `size`, printed, and the error they end with.
fn read_pieces(
    inflater: &mut Inflater,
    inflated_max: usize,
    bytes: &[u8],
    size: usize,
) -> (Vec<String>, Option<ProtocolError>) {
    let mut reader = Reader::new(Role::Server);
    let mut bytes = bytes.to_vec();
    let mut events = Vec::new();
    for mut piece in bytes.chunks_mut(size) {
        loop {
            match reader.read_with(&limits(inflated_max), Some(inflater), piece) {
                Err(error) => return (events, Some(error)),
                Ok((_, None)) => break,
                Ok((taken, Some(event))) => {
                    events.push(format!("{event:?}"));
                    piece = &mut piece[taken..];
                }
            }
        }
    }
    (events, None)
}

fn served(bytes: &[u8]) -> (Vec<String>, Option<ProtocolError>) {
    read_pieces(&mut Inflater::default(), 1 << 20, bytes, usize::MAX)
}

#[track_caller]
fn assert_refused(bytes: &[u8], error: ProtocolError, close_code: u16) {
    assert_eq!(served(bytes), (vec![], Some(error)));
    assert_eq!(error.close_code(), close_code);
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut deflater = Deflater::new(1, 0);
    let payload = deflater.deflate(Window::Full, message);
    payload.expect("it repeats itself").to_vec()
}

#[test]
fn examples_of_the_rfc_are_read() {
    let hello: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let stored: &[u8] = &[
        0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
    ];
    let last_block: &[u8] = &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
    let two_blocks: &[u8] = &[
        0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
    ];
    for payload in [hello, stored, last_block, two_blocks] {
        assert_eq!(
            served(&frame(0xC1, payload)),
            (vec![r#"Text("Hello")"#.into()], None)
        );
    }
    let fragments = frames(&[(0x41, &hello[..3]), (0x80, &hello[3..])]);
    assert_eq!(served(&fragments).0, [r#"Text("Hello")"#]);
}

#[test]
fn empty_message_is_one_byte_or_none() {
    for payload in [&[0x00][..], &[]] {
        assert_eq!(served(&frame(0xC1, payload)).0, [r#"Text("")"#]);
    }
}

#[test]
fn plain_and_compressed_messages_mix() {
    let compressed = deflated(&[b'x'; 600]);
    let text = "x".repeat(600);
    let bytes = frames(&[
        (0x81, b"plain"),
        (0x41, &compressed[..2]),
        (0x89, b"ping"),
        (0x00, b""),
        (0x80, &compressed[2..]),
        (0xC2, &compressed),
        (0x82, b"plain"),
    ]);
    let expected = [
        format!("{:?}", Event::Text("plain")),
        format!("{:?}", Event::Ping(b"ping")),
        format!("{:?}", Event::Text(&text)),
        format!("{:?}", Event::Binary(text.as_bytes())),
        format!("{:?}", Event::Binary(b"plain")),
    ];
    assert_eq!(served(&bytes), (expected.into(), None));
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_message_only() {
    use ProtocolError as E;
    assert_refused(&frame(0xC9, b""), E::ReservedBits, 1002);
    assert_refused(&frame(0xC8, b""), E::ReservedBits, 1002);
    assert_refused(&frame(0xC0, b""), E::ReservedBits, 1002);
    let continued = frames(&[(0x41, b"\x00"), (0xC0, b"")]);
    assert_refused(&continued, E::ReservedBits, 1002);
    for bits in [0x20, 0x10, 0x60, 0x70] {
        assert_refused(&frame(0x81 | bits, b"\x00"), E::ReservedBits, 1002);
    }
}

#[test]
fn rsv1_without_an_agreement_closes_with_1002() {
    let mut reader = Reader::new(Role::Server);
    let mut bytes = frame(0xC1, b"\x00");
    let read = reader.read(&Limits::default(), &mut bytes);
    assert_eq!(read, Err(ProtocolError::ReservedBits));
}

#[test]
fn payload_that_no_compressor_made_closes_with_1007() {
    let whole = deflated(&b"abcdefgh".repeat(100));
    // A reserved block type, a distance that reaches behind the start, a stored block with a wrong
    // check, a message cut off within a block.
    let bad: [&[u8]; 5] = [
        &[0x06],
        &[0x63, 0x40, 0x00],
        &[0x00, 0x05, 0x00, 0xFA, 0xFE, 0x48],
        &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65],
        &whole[..whole.len() - 4],
    ];
    for payload in bad {
        assert_refused(&frame(0xC2, payload), ProtocolError::NotDeflate, 1007);
    }
}

#[test]
fn compressed_text_that_is_not_utf8_closes_with_1007() {
    let payload = deflated(&[0xFF; 100]);
    assert_refused(&frame(0xC1, &payload), ProtocolError::InvalidUtf8, 1007);
    assert_eq!(served(&frame(0xC2, &payload)).1, None);
}

#[test]
fn messages_before_a_bad_one_are_delivered() {
    let payload = deflated(&[b'x'; 30]);
    let bytes = frames(&[(0xC1, &payload), (0xC1, &[0x06]), (0xC1, &payload)]);
    let text = "x".repeat(30);
    let expected = format!("{:?}", Event::Text(&text));
    assert_eq!(
        served(&bytes),
        (vec![expected], Some(ProtocolError::NotDeflate))
    );
}

/// A message of `size` zeros, as small as deflate can make it: about 1,030 to 1.
fn bomb(size: usize) -> Vec<u8> {
    let mut deflater = Deflater::new(9, 0);
    let payload = deflater.deflate(Window::Full, &vec![0; size]);
    payload.expect("zeros shrink").to_vec()
}

#[test]
fn bound_holds_behind_a_larger_message_and_at_a_final_block() {
    let mut inflater = Inflater::default();
    assert_eq!(
        inflater.inflate(&bomb(60_000), 60_000).map(<[u8]>::len),
        Ok(60_000)
    );
    // In a stream of its own, which ends in the payload: nothing that follows could notice.
    let mut whole = flate2::Compress::new(flate2::Compression::fast(), false);
    for (bytes, bound) in [(1_001, 1_000), (50_000, 100), (1_000, 1_000)] {
        let mut payload = Vec::with_capacity(1_024);
        whole.reset();
        let finish = flate2::FlushCompress::Finish;
        whole
            .compress_vec(&vec![b'x'; bytes], &mut payload, finish)
            .unwrap();
        let inflated = inflater.inflate(&payload, bound).map(<[u8]>::len);
        let expected = if bytes > bound {
            Err(ProtocolError::InflatedTooBig)
        } else {
            Ok(bytes)
        };
        assert_eq!(inflated, expected);
    }
}

#[test]
fn bomb_ends_at_the_bound_and_not_in_memory() {
    const BOUND: usize = 100_000;
    let payload = bomb(10 << 20);
    assert!(payload.len() < 12_000, "it passes the limit for what comes");
    let mut inflater = Inflater::default();
    let (events, error) = read_pieces(&mut inflater, BOUND, &frame(0xC2, &payload), 4_096);
    assert_eq!(
        (events, error),
        (vec![], Some(ProtocolError::InflatedTooBig))
    );
    assert_eq!(ProtocolError::InflatedTooBig.close_code(), 1009);
    assert!(inflater.buffered() <= BOUND + 1, "{}", inflater.buffered());

    // The inflater serves others afterwards, as if nothing had been.
    let exactly = bomb(BOUND);
    let (events, error) = read_pieces(&mut inflater, BOUND, &frame(0xC2, &exactly), usize::MAX);
    assert_eq!((events.len(), error), (1, None));
    let (_, error) = read_pieces(
        &mut inflater,
        BOUND,
        &frame(0xC2, &bomb(BOUND + 1)),
        usize::MAX,
    );
    assert_eq!(error, Some(ProtocolError::InflatedTooBig));
}

#[test]
fn bomb_of_many_final_blocks_ends_at_the_bound() {
    let mut block = bomb(10_000);
    block[0] |= 1;
    let mut inflater = Inflater::default();
    let payload = block.repeat(10);
    let outcome = inflater.inflate(&payload, 50_000).err();
    assert!(outcome.is_some());
    assert!(inflater.buffered() <= 50_001);
}

#[test]
fn large_message_is_given_back() {
    let mut inflater = Inflater::default();
    let mut reader = Reader::new(Role::Server);
    let mut bytes = frame(0xC2, &bomb(1 << 20));
    let limits = limits(1 << 20);
    let read = reader.read_with(&limits, Some(&mut inflater), &mut bytes);
    assert!(matches!(read, Ok((_, Some(Event::Binary(bytes)))) if bytes.len() == 1 << 20));
    assert!(inflater.buffered() > 1_000_000);
    let read = reader.read_with(&limits, Some(&mut inflater), &mut []);
    assert_eq!(read, Ok((0, None)));
    assert!(inflater.buffered() <= 65_536);
}

#[test]
fn frames_shrink_one_by_one() {
    let long = "x".repeat(600);
    let mut frames = Vec::new();
    encode(Opcode::Ping, &long.as_bytes()[..100], &mut frames);
    encode(Opcode::Text, long.as_bytes(), &mut frames);
    encode(Opcode::Binary, &[7; 511], &mut frames);
    encode(Opcode::Binary, long.as_bytes(), &mut frames);
    let before = frames.clone();
    assert_eq!(
        Deflater::new(1, 601).shrink(Some(Window::Full), &mut frames),
        0
    );
    assert_eq!(frames, before);
    let mut deflater = Deflater::new(1, 512);
    assert_eq!(deflater.shrink(Some(Window::Full), &mut frames), 2);
    assert!(frames.len() < before.len() - 1_000);
    assert_eq!(read_as_client(frames), read_as_client(before));
}

/// All events of what a server sent, printed.
fn read_as_client(mut bytes: Vec<u8>) -> Vec<String> {
    let (mut reader, mut inflater) = (Reader::new(Role::Client), Inflater::default());
    let (mut rest, mut events) = (bytes.as_mut_slice(), Vec::new());
    while let (taken, Some(event)) = reader
        .read_with(&Limits::default(), Some(&mut inflater), rest)
        .expect("valid frames")
    {
        events.push(format!("{event:?}"));
        rest = &mut rest[taken..];
    }
    events
}

/// Bytes without any pattern.
fn noise(length: u32) -> Vec<u8> {
    let mut state = length;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn messages_that_do_not_shrink_do_not_wear_a_compressor_out() {
    let message = b"ding dong ".repeat(100);
    for level in [1, 6, 9] {
        let mut deflater = Deflater::new(level, 0);
        for window in WINDOWS {
            for length in [16; 5_000].into_iter().chain([300_000; 5]) {
                assert_eq!(deflater.deflate(window, &noise(length)), None);
            }
            let payload = deflater.deflate(window, &message).unwrap();
            assert_eq!(inflate_within(window, payload, message.len()), message);
        }
    }
}

#[test]
fn same_message_is_the_same_bytes_whatever_came_before() {
    let message = b"{\"push\":{\"channel\":\"news\",\"pub\":{}}}".repeat(20);
    for window in WINDOWS {
        let mut deflater = Deflater::new(1, 0);
        let first = deflater.deflate(window, &message).unwrap().to_vec();
        deflater.deflate(window, &[b'x'; 100_000]).unwrap();
        assert_eq!(deflater.deflate(window, &message).unwrap(), first);
    }
}

/// Inflates with exactly that window, as a client with that much memory does.
fn inflate_within(window: Window, payload: &[u8], size: usize) -> Vec<u8> {
    let mut stream = Decompress::new_with_window_bits(false, window.bits());
    let mut message = Vec::with_capacity(size + 1);
    for byte in payload.iter().chain(&[0, 0, 0xFF, 0xFF]) {
        // A byte at a time, so that what it refers to has to be in its window and not in the output.
        stream
            .decompress_vec(&[*byte], &mut message, FlushDecompress::Sync)
            .expect("it fits the window");
    }
    message
}

#[test]
fn compressed_frame_has_rsv1_and_no_mask() {
    let mut out = Vec::new();
    encode_deflated(Opcode::Text, b"\xF2\x48\xCD\xC9\xC9\x07\x00", &mut out);
    assert_eq!(out, b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00");
    let mut reader = Reader::new(Role::Client);
    let mut inflater = Inflater::default();
    let read = reader.read_with(&Limits::default(), Some(&mut inflater), &mut out);
    assert_eq!(read, Ok((9, Some(Event::Text("Hello")))));
}

/// Repetitions near and far, so that every window matters.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof!["[a-z]{1,12}", "\\PC{1,4}"];
    (
        prop::collection::vec(word, 1..60),
        prop::collection::vec(any::<Index>(), 0..1_000),
    )
        .prop_map(|(words, order)| {
            order
                .iter()
                .flat_map(|index| index.get(&words).bytes())
                .collect()
        })
}

proptest! {
    #[test]
    fn every_message_fits_the_window_it_was_made_for(message in messages(), level in 1_u8..=9) {
        for window in WINDOWS {
            let mut deflater = Deflater::new(level, 0);
            if let Some(payload) = deflater.deflate(window, &message) {
                prop_assert!(payload.len() < message.len());
                prop_assert_eq!(&inflate_within(window, payload, message.len()), &message);
            }
        }
    }

    #[test]
    fn any_fragments_in_any_reads_are_the_message_sent(
        message in messages(),
        cuts in prop::collection::vec(any::<Index>(), 0..5),
        size in 1_usize..600,
    ) {
        let mut deflater = Deflater::new(1, 0);
        let Some(payload) = deflater.deflate(Window::Full, &message) else { return Ok(()) };
        let (mut bytes, mut rest, mut first) = (Vec::new(), payload, 0x01 | RSV1);
        for cut in cuts {
            let (piece, tail) = rest.split_at(cut.index(rest.len() + 1));
            bytes.extend(frame(first, piece));
            (rest, first) = (tail, 0x00);
        }
        bytes.extend(frame(first | FIN, rest));
        let expected = format!("{:?}", Event::Text(str::from_utf8(&message).unwrap()));
        for size in [size, 1, usize::MAX] {
            let (events, error) = read_pieces(&mut Inflater::default(), 1 << 20, &bytes, size);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&events, std::slice::from_ref(&expected));
        }
    }

    #[test]
    fn no_payload_makes_it_panic_or_pass_the_bound(
        message in messages(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        garbage in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut inflater = Inflater::default();
        let mut deflater = Deflater::new(1, 0);
        let mut payload = deflater.deflate(Window::Full, &message).unwrap_or(b"\0").to_vec();
        for (index, byte) in changes {
            *index.get_mut(&mut payload) = byte;
        }
        for payload in [&payload, &garbage] {
            if let Ok(inflated) = inflater.inflate(payload, 2_000) {
                prop_assert!(inflated.len() <= 2_000);
            }
            prop_assert!(inflater.buffered() <= 2_001);
        }
    }
}
