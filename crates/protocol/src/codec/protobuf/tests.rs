//! Bytes put together by hand from the tables of section 3: what stands here was never said by the
//! encoder. A key is eight times the field's number, plus 2 where a length follows.

use std::sync::Arc;

use super::*;
use crate::codec::DecodeError;
use crate::command::{Command, EmulationRequest, Request};
use crate::push::Form;
use crate::reply::{Expiry, SubscribeResult};
use crate::{
    ClientId, ClientInfo, Epoch, Position, Publication, Push, Refusal, Reply, ReplyBody, UserId,
    delta,
};

fn decode(frame: &[u8]) -> Vec<Result<Command, DecodeError>> {
    Commands::of_frame(frame).collect()
}

/// The one request in a command of fewer than 128 bytes that are these.
fn request(command: &[u8]) -> Request {
    let length = u8::try_from(command.len()).unwrap();
    match decode(&[&[length], command].concat()).as_slice() {
        [Ok(Command::Request { request, .. })] => request.clone(),
        other => panic!("{command:?} is {other:?}"),
    }
}

fn replied(id: u32, body: Result<ReplyBody, Refusal>) -> Vec<u8> {
    let mut out = Vec::new();
    reply(&Reply { id, body }, &mut out, |_, _| {});
    out
}

fn pushed(message: &Push<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    push(message, &mut out, |_, _| {});
    out
}

fn publication(offset: u64, data: &[u8]) -> Publication {
    Publication {
        offset,
        data: data.into(),
        info: None,
        tags: None,
    }
}

#[test]
fn commands_stand_behind_their_lengths() {
    let commands =
        decode(b"\x0b\x08\x01\x22\x07\x0a\x01t\x22\x02go\x0c\x08\x02\x2a\x08\x0a\x04news\x70\x01");
    let [Ok(first), Ok(second)] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    let (1, Request::Connect(connect)) = parts(first) else {
        panic!("{first:?}")
    };
    assert_eq!((connect.token.as_str(), connect.name.as_str()), ("t", "go"));
    let (2, Request::Subscribe(subscribe)) = parts(second) else {
        panic!("{second:?}")
    };
    assert_eq!((subscribe.channel.as_str(), subscribe.flag), ("news", 1));
    assert_eq!(subscribe.recover, None);
}

fn parts(command: &Command) -> (u32, &Request) {
    match command {
        Command::Request { id, request } => (*id, request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_of_a_frame_can_be_decoded_later() {
    let frame = b"\x07\x08\x01\x32\x03\x0a\x01a\x07\x08\x02\x32\x03\x0a\x01b";
    let mut commands = Commands::of_frame(frame);
    commands.next().unwrap().unwrap();
    let mut later = Commands::of_rest(commands.rest());
    assert!(matches!(
        later.next(),
        Some(Ok(Command::Request { id: 2, .. }))
    ));
    assert!(later.next().is_none());
    assert!(
        Commands::of_rest(b"").next().is_none(),
        "an empty rest is no error"
    );
}

#[test]
fn a_command_without_id_is_a_pong_whatever_else_is_in_it() {
    // Empty; a ping; a subscribe request; an id that is spelled out.
    for frame in [
        &b"\0"[..],
        b"\x02\x5a\0",
        b"\x05\x2a\x03\x0a\x01x",
        b"\x02\x08\0",
    ] {
        assert_eq!(decode(frame), [Ok(Command::Pong)], "{frame:?}");
    }
    let data = b"\0\xff".as_slice().into();
    assert_eq!(
        decode(b"\x06\x62\x04\x0a\x02\0\xff"),
        [Ok(Command::Send { data })]
    );
}

#[test]
fn of_several_requests_the_first_of_the_order_counts() {
    // Numbers 15 to 4 of a command with all of them, by descending numbers.
    let all: Vec<u8> = (4..=15)
        .rev()
        .flat_map(|number| [number << 3 | 2, 0])
        .collect();
    for left in 0..10 {
        let mut command = vec![8, 1];
        let order = [4, 5, 6, 7, 8, 9, 10, 13, 14, 15];
        let fields = all.chunks(2).filter(|field| {
            let number = field[0] >> 3;
            number != 12 && !order[..left].contains(&number)
        });
        command.extend(fields.flatten());
        let is_expected = match request(&command) {
            Request::Connect(_) => left == 0,
            Request::Subscribe(_) => left == 1,
            Request::Unsubscribe { .. } => left == 2,
            Request::Publish { .. } => left == 3,
            Request::Presence { .. } => left == 4,
            Request::PresenceStats { .. } => left == 5,
            Request::History(_) => left == 6,
            Request::Rpc { .. } => left == 7,
            Request::Refresh { .. } => left == 8,
            Request::SubRefresh { .. } => left == 9,
        };
        assert!(is_expected, "without {left}");
    }
    // A message to the application is not answered, so it comes without an id; with one it has its
    // place behind the calls.
    assert!(matches!(
        decode(b"\x06\x08\x01\x62\0\x72\0")[0],
        Ok(Command::Send { .. })
    ));
    assert!(matches!(
        request(b"\x08\x01\x62\0\x6a\0"),
        Request::Rpc { .. }
    ));
}

#[test]
fn unknown_fields_are_skipped_and_of_a_known_one_the_last_counts() {
    // Number 99 of any kind, and the channel twice.
    let command = b"\x08\x07\x9a\x06\x01x\x98\x06\x05\x9d\x06abcd\x99\x06abcdefgh\
        \x32\x06\x0a\x01a\x0a\x01b";
    let channel = "b".to_owned();
    assert_eq!(request(command), Request::Unsubscribe { channel });
}

#[test]
fn emulated_headers_come_with_a_connect_request() {
    let Request::Connect(connect) = request(
        b"\x08\x01\x22\x16\x32\x06\x0a\x01a\x12\x011\x32\x03\x0a\x01b\x32\x07\x12\x02no\x0a\x01a",
    ) else {
        panic!("not a connect request")
    };
    let headers = [("a", "no"), ("b", "")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(connect.headers, headers.into());
    let no_text = b"\x0a\x08\x01\x22\x06\x32\x04\x12\x02\xff\xff";
    assert_eq!(decode(no_text), [Err(DecodeError::Malformed)]);
}

#[test]
fn a_message_that_comes_twice_is_merged() {
    let Request::History(history) =
        request(b"\x08\x01\x52\x08\x0a\x01c\x42\x03\x12\x01e\x52\x06\x38\x05\x42\x02\x08\x07")
    else {
        panic!("not a history request")
    };
    let epoch = Epoch::new("e");
    assert_eq!((history.channel.as_str(), history.limit), ("c", 5));
    assert_eq!(history.since, Some(Position { epoch, offset: 7 }));
}

#[test]
fn a_position_counts_only_with_recover() {
    let Request::Subscribe(with) = request(b"\x08\x01\x2a\x07\x38\x07\x18\x01\x32\x01e") else {
        panic!("not a subscribe request")
    };
    let epoch = Epoch::new("e");
    assert_eq!(with.recover, Some(Position { epoch, offset: 7 }));
    let Request::Subscribe(without) = request(b"\x08\x01\x2a\x05\x38\x07\x32\x01e") else {
        panic!("not a subscribe request")
    };
    assert_eq!(without.recover, None);
}

#[test]
fn negative_numbers_have_ten_bytes() {
    let Request::History(history) =
        request(b"\x08\x01\x52\x0b\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    else {
        panic!("not a history request")
    };
    assert_eq!(history.limit, -1);
}

#[test]
fn frames_that_are_no_commands_are_errors() {
    for (frame, error) in [
        (&b""[..], DecodeError::Empty),
        (b"\x05\x08\x01", DecodeError::Malformed),
        (b"\x80", DecodeError::Malformed),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0",
            DecodeError::Malformed,
        ),
        (b"\x03\x0a\x01x", DecodeError::Malformed),
        (b"\x04\x08\x01\x22\x05", DecodeError::Malformed),
        (b"\x05\x08\x01\x38\x01\0", DecodeError::Malformed),
        // A channel that is no text.
        (b"\x07\x08\x01\x2a\x03\x0a\x01\xff", DecodeError::Malformed),
        (b"\x02\x08\x01", DecodeError::UnknownCommand),
        (b"\x04\x08\x01\x5a\0", DecodeError::UnknownCommand),
        (b"{\"id\":1}", DecodeError::Malformed),
    ] {
        assert_eq!(decode(frame), [Err(error)], "{frame:?}");
    }
}

#[test]
fn nothing_is_decoded_behind_an_error() {
    let commands = decode(b"\x02\x08\x01\x07\x08\x02\x32\x03\x0a\x01b");
    assert_eq!(commands, [Err(DecodeError::UnknownCommand)]);
}

#[test]
fn deep_conditions_do_not_exhaust_the_stack() {
    let nested = |depth: usize| {
        let mut message = Vec::new();
        for number in [6].into_iter().cycle().take(depth).chain([13, 5]) {
            let length = length_prefix(message.len());
            message = [&[number << 3 | 2], length.as_bytes(), &message].concat();
        }
        let command = [b"\x08\x01", &message[..]].concat();
        let frame = [length_prefix(command.len()).as_bytes(), &command].concat();
        decode(&frame).remove(0)
    };
    assert!(nested(59).is_ok());
    assert_eq!(nested(60), Err(DecodeError::Malformed));
    assert_eq!(nested(20_000), Err(DecodeError::Malformed));
}

#[test]
fn a_frame_comes_in_an_emulation_request() {
    let expected = EmulationRequest {
        node: "n".into(),
        session: "s".into(),
        data: b"\x02\x08\x01".as_slice().into(),
    };
    let body = b"\x1a\x03\x02\x08\x01\x12\x01s\x20\x07\x0a\x01n";
    assert_eq!(emulation_request(body), Ok(expected));
    assert_eq!(emulation_request(b""), Ok(EmulationRequest::default()));
    assert_eq!(emulation_request(b"\x0a\x05n"), Err(DecodeError::Malformed));
    assert_eq!(emulation_request(b"{}"), Err(DecodeError::Malformed));
}

#[test]
fn results_are_there_even_when_they_are_empty() {
    let never = Expiry::default();
    for (body, expected) in [
        (ReplyBody::Subscribe(Box::default()), b"\x08\x05\x32\0"),
        (ReplyBody::Unsubscribe, b"\x08\x05\x3a\0"),
        (ReplyBody::Publish, b"\x08\x05\x42\0"),
        (ReplyBody::Presence(Vec::new()), b"\x08\x05\x4a\0"),
        (
            ReplyBody::PresenceStats {
                clients: 0,
                users: 0,
            },
            b"\x08\x05\x52\0",
        ),
        (
            ReplyBody::Rpc {
                data: Box::default(),
            },
            b"\x08\x05\x6a\0",
        ),
        (ReplyBody::Refresh(never), b"\x08\x05\x72\0"),
        (ReplyBody::SubRefresh(never), b"\x08\x05\x7a\0"),
    ] {
        assert_eq!(replied(5, Ok(body)), expected);
    }
    let (publications, top) = (Vec::new(), Position::default());
    let history = ReplyBody::History { publications, top };
    assert_eq!(replied(300, Ok(history)), b"\x08\xac\x02\x5a\0");
}

#[test]
fn an_error_says_whether_to_try_again() {
    assert_eq!(
        replied(2, Err(Refusal::INTERNAL)),
        b"\x08\x02\x12\x1b\x08\x64\x12\x15internal server error\x18\x01"
    );
}

#[test]
fn a_publication_is_wrapped_twice() {
    let push = Push::Publication {
        channel: "news",
        publication: &publication(1, b"\0\xff"),
        epoch: Epoch::new("E"),
        form: Form::Plain,
    };
    assert_eq!(
        pushed(&push),
        b"\x22\x11\x12\x04news\x22\x09\x22\x02\0\xff\x30\x01\x72\x01E"
    );
}

#[test]
fn lengths_of_what_is_nested_may_have_several_bytes() {
    let data = [b'x'; 200];
    let push = Push::Publication {
        channel: "c",
        publication: &publication(300, &data),
        epoch: Epoch::new("E"),
        form: Form::Whole,
    };
    let expected = [
        &b"\x22\xd4\x01\x12\x01c\x22\xce\x01\x22\xc8\x01"[..],
        &data,
        b"\x30\xac\x02",
    ];
    assert_eq!(pushed(&push), expected.concat());
}

#[test]
fn the_length_is_told_before_the_first_byte() {
    let info = ClientInfo {
        user: UserId::new("u"),
        client: ClientId::from_random([7; 16], 1),
        conn_info: Some(b"{}".as_slice().into()),
        chan_info: None,
    };
    let publication = Publication {
        info: Some(Arc::new(info.clone())),
        ..publication(1 << 40, &[b'x'; 300])
    };
    let mut out = Vec::new();
    let mut told = None;
    let message = Push::Publication {
        channel: "c",
        publication: &publication,
        epoch: Epoch::EMPTY,
        form: Form::Plain,
    };
    push(&message, &mut out, |out, length| {
        assert!(out.is_empty());
        told = Some(length);
    });
    assert_eq!(told, Some(out.len()));
}

#[test]
fn a_payload_that_differs_little_comes_as_the_difference() {
    let (before, now) = (publication(4, &[b'x'; 300]), publication(5, &[b'x'; 301]));
    let patch = delta::patch(&before.data, &now.data);
    let told = |form| {
        let out = pushed(&Push::Publication {
            channel: "c",
            publication: &now,
            epoch: Epoch::EMPTY,
            form,
        });
        let (has_whole, has_flag) = (
            contains(&out, &now.data),
            contains(&out, b"\x30\x05\x40\x01"),
        );
        (out, has_whole, has_flag)
    };
    let previous = &before.data;
    let (out, has_whole, has_flag) = told(Form::Delta { previous });
    assert_eq!((has_whole, has_flag), (patch.is_none(), patch.is_some()));
    if let Some(patch) = &patch {
        assert!(contains(&out, patch));
    }
    for form in [Form::Plain, Form::Whole] {
        let (_, has_whole, has_flag) = told(form);
        assert!(has_whole && !has_flag, "{form:?}");
    }

    let result = SubscribeResult {
        publications: vec![Arc::new(before), Arc::new(now)],
        delta: true,
        ..SubscribeResult::default()
    };
    let out = replied(1, Ok(ReplyBody::Subscribe(Box::new(result))));
    assert!(contains(&out, &[b'x'; 300]), "the first is whole");
    assert_eq!(contains(&out, &[b'x'; 301]), patch.is_none());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
