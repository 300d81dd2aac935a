//! The WebSocket reader against exact bytes: the examples of RFC 6455 section 5.7, every violation
//! and its close code, and what a connection may cost while it misbehaves.

use campanile_protocol::ws::{
    CloseFrame, Event, Limits, Opcode, ProtocolError, Reader, Role, encode, encode_close,
    encode_masked, header,
};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One masked frame whose first byte is given: FIN, RSV bits and opcode as the test wants them.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_masked(Opcode::Binary, KEY, payload, &mut bytes);
    bytes[0] = first;
    bytes
}

fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter()
        .flat_map(|&(first, payload)| frame(first, payload))
        .collect()
}

/// All events of `bytes`, printed, and how it ended.
fn read_all(
    role: Role,
    limits: &Limits,
    mut bytes: Vec<u8>,
) -> (Vec<String>, Result<Reader, ProtocolError>) {
    let mut reader = Reader::new(role);
    let mut rest = bytes.as_mut_slice();
    let mut events = Vec::new();
    loop {
        match reader.read(limits, rest) {
            Err(error) => return (events, Err(error)),
            Ok((taken, None)) => {
                assert_eq!(taken, rest.len(), "without an event all input is taken");
                return (events, Ok(reader));
            }
            Ok((taken, Some(event))) => {
                events.push(format!("{event:?}"));
                rest = &mut rest[taken..];
            }
        }
    }
}

fn served(bytes: Vec<u8>) -> (Vec<String>, Option<ProtocolError>) {
    let (events, end) = read_all(Role::Server, &Limits::default(), bytes);
    (events, end.err())
}

#[track_caller]
fn assert_refused(bytes: &[u8], error: ProtocolError, close_code: u16) {
    assert_eq!(served(bytes.to_vec()), (vec![], Some(error)));
    assert_eq!(error.close_code(), close_code);
}

#[test]
fn examples_of_the_rfc_are_read() {
    let masked_hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(
        served(masked_hello.to_vec()),
        (vec![r#"Text("Hello")"#.into()], None)
    );
    let masked_pong = [
        0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(
        served(masked_pong.to_vec()).0,
        ["Pong([72, 101, 108, 108, 111])"]
    );

    let from_server = |bytes: &[u8]| {
        let (events, end) = read_all(Role::Client, &Limits::default(), bytes.to_vec());
        end.unwrap();
        events
    };
    assert_eq!(from_server(b"\x81\x05Hello"), [r#"Text("Hello")"#]);
    assert_eq!(from_server(b"\x01\x03Hel\x80\x02lo"), [r#"Text("Hello")"#]);
    assert_eq!(
        from_server(b"\x89\x05Hello"),
        ["Ping([72, 101, 108, 108, 111])"]
    );
    let binary = |header: &[u8], length| [header, &vec![7; length]].concat();
    let expected = |length| [format!("{:?}", Event::Binary(&vec![7; length]))];
    assert_eq!(
        from_server(&binary(&[0x82, 0x7E, 1, 0], 256)),
        expected(256)
    );
    let long = binary(&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], 65_536);
    assert_eq!(from_server(&long), expected(65_536));
}

#[test]
fn examples_of_the_rfc_are_written() {
    let mut out = Vec::new();
    encode(Opcode::Text, b"Hello", &mut out);
    assert_eq!(out, b"\x81\x05Hello");
    out.clear();
    encode_masked(Opcode::Text, KEY, b"Hello", &mut out);
    assert_eq!(
        out,
        [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
        ]
    );
    assert_eq!(header(Opcode::Binary, 256).as_bytes(), [0x82, 0x7E, 1, 0]);
    assert_eq!(
        header(Opcode::Binary, 65_536).as_bytes(),
        [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]
    );
}

#[test]
fn framing_violations_close_with_1002() {
    use ProtocolError as E;
    for rsv in [0x40, 0x20, 0x10] {
        assert_refused(&frame(0x81 | rsv, b"a"), E::ReservedBits, 1002);
    }
    for opcode in [3, 7, 0xB, 0xF] {
        assert_refused(&frame(0x80 | opcode, b""), E::UnknownOpcode, 1002);
    }
    assert_refused(&frame(0x09, b""), E::FragmentedControl, 1002);
    assert_refused(&frame(0x89, &[0; 126]), E::ControlTooLong, 1002);
    assert_refused(&[0x82, 0xFE, 0, 125, 0, 0, 0, 0], E::LengthNotMinimal, 1002);
    let padded = [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
    assert_refused(&padded, E::LengthNotMinimal, 1002);
    let negative = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_refused(&negative, E::LengthOutOfRange, 1002);
    assert_refused(b"\x81\x01a", E::NotMasked, 1002);
    assert_refused(&frame(0x80, b"a"), E::ContinuationWithoutStart, 1002);
    assert_refused(
        &frames(&[(0x01, b"a"), (0x81, b"b")]),
        E::MessageInterrupted,
        1002,
    );

    let (_, end) = read_all(Role::Client, &Limits::default(), frame(0x81, b"a"));
    assert_eq!(end.err(), Some(E::Masked));
}

#[test]
fn close_payload_is_checked() {
    use ProtocolError as E;
    assert_eq!(served(frame(0x88, b"")).0, ["Close(None)"]);
    let given = CloseFrame {
        code: 1000,
        reason: "bye",
    };
    assert_eq!(
        served(frame(0x88, b"\x03\xE8bye")).0,
        [format!("{:?}", Event::Close(Some(given)))]
    );

    assert_refused(&frame(0x88, b"\x03"), E::CloseTooShort, 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        assert_refused(&frame(0x88, &code.to_be_bytes()), E::CloseCode, 1002);
    }
    assert_refused(&frame(0x88, b"\x03\xE8\xFF"), E::InvalidUtf8, 1007);
}

#[test]
fn nothing_after_a_close_is_looked_at() {
    let mut bytes = frame(0x01, b"unfinished");
    bytes.extend(frame(0x88, b""));
    bytes.extend([0xFF; 100]);
    assert_eq!(served(bytes), (vec!["Close(None)".into()], None));
}

#[test]
fn text_that_is_not_utf8_closes_with_1007() {
    assert_refused(&frame(0x81, b"a\xFF"), ProtocolError::InvalidUtf8, 1007);
    assert_refused(&frame(0x81, b"a\xE2\x82"), ProtocolError::InvalidUtf8, 1007);
    let split = frames(&[(0x01, b"a\xE2\x82"), (0x80, b"b")]);
    assert_refused(&split, ProtocolError::InvalidUtf8, 1007);
    let unfinished = frames(&[(0x01, b"a"), (0x80, b"\xE2\x82")]);
    assert_refused(&unfinished, ProtocolError::InvalidUtf8, 1007);
    assert_eq!(
        served(frame(0x82, b"a\xFF")),
        (vec!["Binary([97, 255])".into()], None)
    );
}

#[test]
fn bad_text_is_refused_before_its_frame_is_complete() {
    let whole = frame(0x81, b"ab\xF4\x90\x80\x80 and much more");
    let header = 6;
    let (_, end) = read_all(
        Role::Server,
        &Limits::default(),
        whole[..header + 3].to_vec(),
    );
    assert!(end.is_ok_and(|reader| !reader.is_idle()));
    assert_refused(&whole[..header + 4], ProtocolError::InvalidUtf8, 1007);
}

#[test]
fn character_may_be_split_between_fragments() {
    let split = frames(&[(0x01, b"\xE2"), (0x00, b"\x82"), (0x80, b"\xAC")]);
    assert_eq!(served(split), (vec![r#"Text("€")"#.into()], None));
}

#[test]
fn control_frames_are_delivered_between_fragments() {
    let bytes = frames(&[
        (0x01, b"a"),
        (0x89, b"1"),
        (0x00, b""),
        (0x8A, b"2"),
        (0x80, b"b"),
    ]);
    assert_eq!(
        served(bytes).0,
        ["Ping([49])", "Pong([50])", r#"Text("ab")"#]
    );
}

#[test]
fn messages_before_a_bad_frame_are_delivered() {
    let bytes = frames(&[(0x81, b"a"), (0x82, b"b"), (0xC1, b"c"), (0x81, b"d")]);
    let (events, error) = served(bytes);
    assert_eq!(events, [r#"Text("a")"#, "Binary([98])"]);
    assert_eq!(error, Some(ProtocolError::ReservedBits));
}

#[test]
fn failed_reader_repeats_its_error() {
    let mut reader = Reader::new(Role::Server);
    let limits = Limits::default();
    assert_eq!(
        reader.read(&limits, &mut [0xC1]),
        Err(ProtocolError::ReservedBits)
    );
    assert_eq!(
        reader.read(&limits, &mut frame(0x81, b"a")),
        Err(ProtocolError::ReservedBits)
    );
}

#[test]
fn size_is_refused_from_the_header_alone() {
    let eight_gib = [0x82, 0xFF, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_refused(&eight_gib, ProtocolError::MessageTooBig, 1009);
    let one_more = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4];
    assert_refused(&one_more, ProtocolError::MessageTooBig, 1009);

    let limits = Limits {
        message_bytes_max: 10,
        ..Limits::default()
    };
    let exactly = frames(&[(0x02, b"123456"), (0x80, b"7890")]);
    assert!(read_all(Role::Server, &limits, exactly).1.is_ok());
    let mut sum = frames(&[(0x02, b"123456"), (0x80, b"78901")]);
    sum.truncate(sum.len() - 5);
    assert_eq!(
        read_all(Role::Server, &limits, sum).1.err(),
        Some(ProtocolError::MessageTooBig)
    );
}

#[test]
fn sum_of_fragments_cannot_overflow() {
    let mut bytes = frame(0x02, b"a");
    bytes.extend([
        0x80, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4,
    ]);
    let limits = Limits {
        message_bytes_max: usize::MAX,
        ..Limits::default()
    };
    // The declared length is allowed here; only what arrived may be allocated for it.
    let (_, end) = read_all(Role::Server, &limits, bytes);
    assert!(end.is_ok_and(|reader| reader.buffered() < 64));
}

#[test]
fn fragments_are_counted_even_when_empty() {
    let limits = Limits {
        fragments_max: 3,
        ..Limits::default()
    };
    let allowed = frames(&[(0x01, b""), (0x00, b""), (0x80, b"")]);
    assert_eq!(read_all(Role::Server, &limits, allowed).0, [r#"Text("")"#]);
    let endless = frames(&[(0x01, b""), (0x00, b""), (0x00, b""), (0x00, b"")]);
    let error = read_all(Role::Server, &limits, endless).1.err();
    assert_eq!(error, Some(ProtocolError::TooManyFragments));
    assert_eq!(error.map(ProtocolError::close_code), Some(1009));
}

#[test]
fn whole_message_is_a_slice_of_the_input() {
    let mut bytes = frames(&[(0x81, b"first"), (0x82, b"second")]);
    let range = bytes.as_ptr_range();
    let mut reader = Reader::new(Role::Server);
    let limits = Limits::default();
    let (taken, event) = reader.read(&limits, &mut bytes).unwrap();
    let Some(Event::Text(text)) = event else {
        panic!("{event:?}")
    };
    assert!(range.contains(&text.as_ptr()));
    let (_, event) = reader.read(&limits, &mut bytes[taken..]).unwrap();
    let Some(Event::Binary(binary)) = event else {
        panic!("{event:?}")
    };
    assert!(range.contains(&binary.as_ptr()));
    assert_eq!(reader.buffered(), 0);
}

#[test]
fn payload_after_its_header_is_still_a_slice_of_the_input() {
    let mut bytes = frame(0x81, b"in two reads");
    let (header, payload) = bytes.split_at_mut(6);
    let range = payload.as_ptr_range();
    let mut reader = Reader::new(Role::Server);
    let limits = Limits::default();
    assert_eq!(reader.read(&limits, header), Ok((6, None)));
    assert!(!reader.is_idle());
    let (_, event) = reader.read(&limits, payload).unwrap();
    let Some(Event::Text(text)) = event else {
        panic!("{event:?}")
    };
    assert!(range.contains(&text.as_ptr()));
    assert!(reader.is_idle());
}

#[test]
fn memory_follows_what_arrived_and_is_given_back() {
    let payload = vec![b'x'; 60_000];
    let mut bytes = frame(0x81, &payload);
    let limits = Limits::default();
    let mut reader = Reader::new(Role::Server);
    assert_eq!((reader.buffered(), reader.is_idle()), (0, true));

    let (first, rest) = bytes.split_at_mut(8 + 1_000);
    assert_eq!(reader.read(&limits, first), Ok((1_008, None)));
    assert_eq!((reader.buffered(), reader.is_idle()), (1_000, false));
    let (_, event) = reader.read(&limits, rest).unwrap();
    assert!(event.is_some_and(|event| matches!(event, Event::Text(text) if text.len() == 60_000)));
    assert_eq!((reader.buffered(), reader.is_idle()), (60_000, true));
    assert_eq!(reader.read(&limits, &mut []), Ok((0, None)));
    assert_eq!(reader.buffered(), 0);
}

#[test]
fn ping_in_pieces_is_given_back_while_its_message_goes_on() {
    let limits = Limits::default();
    let mut reader = Reader::new(Role::Server);
    assert_eq!(
        reader.read(&limits, &mut frame(0x01, b"abc")),
        Ok((9, None))
    );
    let mut ping = frame(0x89, b"ping");
    let (front, back) = ping.split_at_mut(8);
    assert_eq!(reader.read(&limits, front), Ok((8, None)));
    assert_eq!(
        reader.read(&limits, back),
        Ok((2, Some(Event::Ping(b"ping"))))
    );
    assert_eq!(reader.buffered(), 3 + 4);
    assert_eq!(reader.read(&limits, &mut []), Ok((0, None)));
    assert_eq!((reader.buffered(), reader.is_idle()), (3, false));
    let mut rest = frame(0x80, b"d");
    assert_eq!(
        reader.read(&limits, &mut rest),
        Ok((7, Some(Event::Text("abcd"))))
    );
}

#[test]
fn million_tiny_fragments_end_at_the_size_limit_in_flat_memory() {
    let limits = Limits {
        message_bytes_max: 1_000,
        fragments_max: u32::MAX,
        ..Limits::default()
    };
    for opcode in [0x01, 0x02] {
        let mut reader = Reader::new(Role::Server);
        let mut sent = 1;
        let mut end = reader.read(&limits, &mut frame(opcode, b"a")).map(|_| ());
        while end.is_ok() && sent < 1_000_000 {
            assert!(reader.buffered() <= limits.message_bytes_max);
            end = reader.read(&limits, &mut frame(0x00, b"a")).map(|_| ());
            sent += 1;
        }
        assert_eq!((sent, end), (1_001, Err(ProtocolError::MessageTooBig)));
    }
}

#[test]
fn failure_and_close_give_memory_back() {
    for (first, payload) in [(0xC1, &b""[..]), (0x88, b""), (0x88, b"x")] {
        let mut bytes = frame(0x01, &[b'x'; 1_000]);
        bytes.extend(frame(first, payload));
        let mut reader = Reader::new(Role::Server);
        let _ = reader.read(&Limits::default(), &mut bytes);
        assert_eq!(reader.buffered(), 0);
    }
}

#[test]
fn idle_reader_is_two_words() {
    assert_eq!(size_of::<Reader>(), 16);
}

#[test]
fn errors_fit_a_close_frame() {
    let error = ProtocolError::ControlTooLong;
    let mut out = Vec::new();
    encode_close(error.close_code(), &error.to_string(), &mut out);
    let (events, end) = read_all(Role::Client, &Limits::default(), out);
    end.unwrap();
    let sent = CloseFrame {
        code: 1002,
        reason: "control frame longer than 125 bytes",
    };
    assert_eq!(events, [format!("{:?}", Event::Close(Some(sent)))]);
}
