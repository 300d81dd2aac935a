//! What clients may spell, and what they may not.

use super::*;

fn decode(frame: &str) -> Vec<Result<Command, DecodeError>> {
    Commands::of_frame(frame.as_bytes()).collect()
}

fn request(frame: &str) -> Request {
    match decode(frame).as_slice() {
        [Ok(Command::Request { request, .. })] => request.clone(),
        other => panic!("{frame} is {other:?}"),
    }
}

#[test]
fn several_commands_of_a_frame_come_in_order() {
    let commands = decode(
        "{\"id\":1,\"connect\":{\"token\":\"t\",\"name\":\"js\"}}\n\
         {\"id\":2,\"subscribe\":{\"channel\":\"news\",\"flag\":1}}\n",
    );
    let [
        Ok(Command::Request {
            id: 1,
            request: Request::Connect(connect),
        }),
        Ok(second),
    ] = commands.as_slice()
    else {
        panic!("{commands:?}")
    };
    assert_eq!((connect.token.as_str(), connect.name.as_str()), ("t", "js"));
    let Command::Request {
        id: 2,
        request: Request::Subscribe(subscribe),
    } = second
    else {
        panic!("{second:?}")
    };
    assert_eq!(
        (subscribe.channel.as_str(), subscribe.recover),
        ("news", None)
    );
}

#[test]
fn what_is_left_of_a_frame_can_be_decoded_later() {
    let frame = br#"{"id":1,"unsubscribe":{"channel":"a"}} {"id":2,"unsubscribe":{"channel":"b"}}"#;
    let mut commands = Commands::of_frame(frame);
    commands.next().unwrap().unwrap();
    let mut later = Commands::of_rest(commands.rest());
    assert!(matches!(
        later.next(),
        Some(Ok(Command::Request { id: 2, .. }))
    ));
    assert!(later.next().is_none());
    assert!(
        Commands::of_rest(b" ").next().is_none(),
        "an empty rest is no error"
    );
}

#[test]
fn a_command_without_id_is_a_pong_whatever_else_is_in_it() {
    for frame in [
        "{}",
        r#"{"ping":{}}"#,
        r#"{"subscribe":{"channel":"x"}}"#,
        r#"{"id":null}"#,
    ] {
        assert_eq!(decode(frame), [Ok(Command::Pong)], "{frame}");
    }
    assert_eq!(
        decode(r#"{"send":{"data":[1]}}"#),
        [Ok(Command::Send {
            data: b"[1]".as_slice().into()
        })]
    );
}

#[test]
fn payloads_are_kept_as_they_were_spelled() {
    for spelled in ["{ \"a\" : 1.0e2 }", "null", "\"\\u00e9\"", "[ ]", "0"] {
        let frame = format!(r#"{{"id":3,"publish":{{"channel":"c","data":{spelled}}}}}"#);
        let Request::Publish { channel, data, .. } = request(&frame) else {
            panic!("{frame}")
        };
        assert_eq!((channel.as_str(), &*data), ("c", spelled.as_bytes()));
    }
    let Request::Publish { data, .. } = request(r#"{"id":3,"publish":{"channel":"c"}}"#) else {
        panic!("not a publish")
    };
    assert!(data.is_empty(), "an absent payload is empty, unlike null");
}

#[test]
fn what_is_not_for_a_stream_says_so() {
    for (frame, expected) in [
        (r#"{"id":3,"publish":{"channel":"c","data":1}}"#, 0),
        (
            r#"{"id":3,"publish":{"channel":"c","type":1,"key":"k","removed":true}}"#,
            1,
        ),
        (
            r#"{"id":3,"sub_refresh":{"channel":"c","type":2,"untrack":["k"]}}"#,
            2,
        ),
    ] {
        let (Request::Publish { kind, .. } | Request::SubRefresh { kind, .. }) = request(frame)
        else {
            panic!("{frame}")
        };
        assert_eq!(kind, expected, "{frame}");
    }
}

#[test]
fn null_and_unknown_fields_are_as_good_as_absent() {
    let Request::Subscribe(subscribe) = request(
        r#"{"id":3,"subscribe":{"channel":"c","token":null,"offset":null,"tf":null,"x":{"y":[]}}}"#,
    ) else {
        panic!("not a subscribe")
    };
    assert_eq!(
        *subscribe,
        SubscribeRequest {
            channel: "c".into(),
            ..SubscribeRequest::default()
        }
    );
}

#[test]
fn a_position_counts_only_with_recover() {
    let frame = |recover: bool| {
        format!(
            r#"{{"id":3,"subscribe":{{"channel":"c","recover":{recover},"offset":7,"epoch":"e"}}}}"#
        )
    };
    let Request::Subscribe(subscribe) = request(&frame(true)) else {
        panic!()
    };
    assert_eq!(
        subscribe.recover,
        Some(Position {
            epoch: Epoch::new("e"),
            offset: 7
        })
    );
    let Request::Subscribe(subscribe) = request(&frame(false)) else {
        panic!()
    };
    assert_eq!(subscribe.recover, None);
}

#[test]
fn frames_that_are_no_commands_are_errors() {
    for (frame, error) in [
        ("", DecodeError::Empty),
        (" \n ", DecodeError::Empty),
        ("[]", DecodeError::Malformed),
        ("{", DecodeError::Malformed),
        ("nonsense", DecodeError::Malformed),
        (r#"{"id":"1","connect":{}}"#, DecodeError::Malformed),
        (r#"{"id":-1}"#, DecodeError::Malformed),
        (r#"{"id":4294967296}"#, DecodeError::Malformed),
        (
            r#"{"id":1,"publish":{"channel":1}}"#,
            DecodeError::Malformed,
        ),
        (
            r#"{"id":1,"publish":{"data":{"a"}}}"#,
            DecodeError::Malformed,
        ),
        (r#"{"id":1}"#, DecodeError::UnknownCommand),
        (r#"{"id":1,"ping":{}}"#, DecodeError::UnknownCommand),
    ] {
        assert_eq!(decode(frame), [Err(error)], "{frame}");
    }
}

#[test]
fn nothing_is_decoded_behind_an_error() {
    let commands = decode("{\"id\":1}\n{\"id\":2,\"connect\":{}}");
    assert_eq!(commands, [Err(DecodeError::UnknownCommand)]);
}

#[test]
fn emulated_headers_come_with_a_connect_request() {
    let headers = r#"{"X-One":"1","x-two":"","None":null,"X-One":"last"}"#;
    let request = connect_request(format!(r#"{{"headers":{headers}}}"#).as_bytes());
    let headers =
        [("X-One", "last"), ("x-two", "")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(request.unwrap().headers, headers.into());
    let none = connect_request(br#"{"headers":null}"#);
    assert_eq!(none, Ok(ConnectRequest::default()));
    for headers in ["[]", r#""X-One""#, r#"{"X-One":1}"#, r#"{"X-One":["1"]}"#] {
        let request = connect_request(format!(r#"{{"headers":{headers}}}"#).as_bytes());
        assert_eq!(request, Err(DecodeError::Malformed), "{headers}");
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let frame = |open: usize, close: usize| {
        let (open, close) = ("[".repeat(open), "]".repeat(close));
        format!(r#"{{"id":1,"publish":{{"channel":"c","data":{open}{close}}}}}"#)
    };
    // Payloads are skipped over, not entered: their depth is nobody's concern here.
    assert!(decode(&frame(100_000, 100_000))[0].is_ok());
    assert_eq!(
        decode(&frame(100_000, 99_999)),
        [Err(DecodeError::Malformed)]
    );
}

#[test]
fn a_frame_comes_in_a_string_of_an_emulation_request() {
    let body = br#"{"session":"s","node":"n","data":"{\"id\":1}\n{}","else":[]}"#;
    let expected = EmulationRequest {
        node: "n".into(),
        session: "s".into(),
        data: b"{\"id\":1}\n{}".as_slice().into(),
    };
    assert_eq!(emulation_request(body), Ok(expected));
    for body in ["", "null", r#"{"data":{}}"#, r#"{"session":1}"#, "{} {}"] {
        let outcome = emulation_request(body.as_bytes());
        assert_eq!(outcome, Err(DecodeError::Malformed), "{body}");
    }
}

#[test]
fn a_connect_request_stands_alone_where_there_are_no_commands() {
    let request =
        connect_request(br#"{"token":"t","subs":{"c":{"recover":true,"offset":2,"epoch":"e"}}}"#);
    let request = request.unwrap();
    assert_eq!(request.token, "t");
    let position = request.subs["c"].recover.unwrap();
    assert_eq!((position.offset, position.epoch), (2, Epoch::new("e")));
    assert_eq!(connect_request(b" {} "), Ok(ConnectRequest::default()));
    for body in ["", "[]", "null", "{", "{}{}", r#"{"token":1}"#] {
        assert_eq!(
            connect_request(body.as_bytes()),
            Err(DecodeError::Malformed),
            "{body}"
        );
    }
}
