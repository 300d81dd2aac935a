//! The WebSocket reader against its definition: how bytes are cut into frames and reads changes
//! nothing, and no bytes at all make it panic or hold more than its limits.

use campanile_protocol::ws::{Event, Limits, Opcode, ProtocolError, Reader, Role, encode_masked};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug, PartialEq)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Message {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_owned()),
            Event::Ping(bytes) => Self::Ping(bytes.to_owned()),
            Event::Pong(bytes) => Self::Pong(bytes.to_owned()),
            Event::Close(close) => {
                Self::Close(close.map(|close| (close.code, close.reason.to_owned())))
            }
        }
    }
}

/// What a peer sends: a message and where it cuts it, with a ping after each cut or not.
#[derive(Clone, Debug)]
struct Sent {
    message: Message,
    key: [u8; 4],
    cuts: Vec<(Index, Option<Vec<u8>>)>,
}

fn push_frame(fin: bool, opcode: Opcode, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    encode_masked(opcode, key, payload, out);
    if !fin {
        out[start] &= 0x7F;
    }
}

impl Sent {
    /// Appends the frames, and to `expected` what they mean.
    fn encode(&self, out: &mut Vec<u8>, expected: &mut Vec<Message>) {
        let (mut opcode, payload) = match &self.message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => (Opcode::Binary, bytes.as_slice()),
            Message::Ping(bytes) => (Opcode::Ping, bytes.as_slice()),
            Message::Pong(bytes) => (Opcode::Pong, bytes.as_slice()),
            Message::Close(_) => unreachable!("not generated"),
        };
        let mut rest = payload;
        if !opcode.is_control() {
            for (cut, ping) in &self.cuts {
                let (piece, tail) = rest.split_at(cut.index(rest.len() + 1));
                push_frame(false, opcode, self.key, piece, out);
                opcode = Opcode::Continuation;
                rest = tail;
                if let Some(ping) = ping {
                    push_frame(true, Opcode::Ping, self.key, ping, out);
                    expected.push(Message::Ping(ping.clone()));
                }
            }
        }
        push_frame(true, opcode, self.key, rest, out);
        expected.push(self.message.clone());
    }
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

fn sent() -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        4 => ".{0,300}".prop_map(Message::Text),
        2 => bytes(300).prop_map(Message::Binary),
        1 => bytes(125).prop_map(Message::Ping),
        1 => bytes(125).prop_map(Message::Pong),
    ];
    let cuts = prop::collection::vec((any::<Index>(), prop::option::of(bytes(125))), 0..5);
    (message, any::<[u8; 4]>(), cuts).prop_map(|(message, key, cuts)| Sent { message, key, cuts })
}

/// Reads `stream` in pieces of the given sizes, over and over; checks the memory after every call.
fn read_in_pieces(
    limits: &Limits,
    stream: &[u8],
    sizes: &[usize],
) -> (Vec<Message>, Option<ProtocolError>) {
    let mut reader = Reader::new(Role::Server);
    let mut messages = Vec::new();
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut piece, tail) = rest.split_at_mut(size.min(rest.len()));
        rest = tail;
        loop {
            match reader.read(limits, piece) {
                Err(error) => return (messages, Some(error)),
                Ok((taken, event)) => {
                    let message = event.map(Message::from);
                    piece = &mut piece[taken..];
                    assert!(reader.buffered() <= limits.message_bytes_max + 125);
                    let Some(message) = message else { break };
                    messages.push(message);
                }
            }
        }
        assert!(piece.is_empty(), "without an event all input is taken");
        assert!(
            !reader.is_idle() || reader.buffered() == 0,
            "an idle reader holds nothing"
        );
    }
    (messages, None)
}

const SMALL: Limits = Limits {
    message_bytes_max: 200,
    inflated_bytes_max: 200,
    fragments_max: 4,
};

/// Frames that are mostly right, so that random bytes get past the first header.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = (
        prop::sample::select(&[0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A, 0xC1][..]),
        any::<[u8; 4]>(),
        prop_oneof![3 => ".{0,20}".prop_map(String::into_bytes), 1 => bytes(150)],
    );
    prop::collection::vec(frame, 0..12).prop_map(|frames| {
        let mut out = Vec::new();
        for (first, key, payload) in frames {
            let start = out.len();
            encode_masked(Opcode::Binary, key, &payload, &mut out);
            out[start] = first;
        }
        out
    })
}

proptest! {
    #[test]
    fn any_fragments_in_any_reads_are_the_messages_sent(
        sent in prop::collection::vec(sent(), 0..6),
        sizes in prop::collection::vec(1_usize..400, 1..10),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for sent in &sent {
            sent.encode(&mut stream, &mut expected);
        }
        let limits = Limits::default();
        for sizes in [&sizes[..], &[1], &[usize::MAX]] {
            let (messages, error) = read_in_pieces(&limits, &stream, sizes);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&messages, &expected);
        }
    }

    #[test]
    fn bad_frames_give_the_same_events_and_error_in_any_reads(
        stream in prop_oneof![bytes(300), nearly_frames()],
        sizes in prop::collection::vec(1_usize..40, 1..10),
    ) {
        let whole = read_in_pieces(&SMALL, &stream, &[usize::MAX]);
        prop_assert_eq!(&read_in_pieces(&SMALL, &stream, &sizes), &whole);
        prop_assert_eq!(&read_in_pieces(&SMALL, &stream, &[1]), &whole);
    }
}
