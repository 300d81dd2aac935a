//! Writing: every reply and push, as the schema reads it.

use std::sync::Arc;

use campanile_protocol::codec::protobuf;
use campanile_protocol::push::Form;
use campanile_protocol::reply::{ConnectResult, Expiry, SubscribeResult};
use campanile_protocol::wire::Encoding;
use campanile_protocol::{
    ClientId, ClientInfo, Disconnect, Encoder, Epoch, Position, Publication, Push, Refusal, Reply,
    ReplyBody, Tags, Unsubscribed, UserId, Wire,
};
use prost_reflect::DynamicMessage;

use crate::descriptor;

const CLIENT: &str = "07070707-0707-4707-8707-070707070703";

/// Where texts say `CLIENT`, the client id is meant.
fn assert_reads_as(bytes: &[u8], text: &str) {
    let reply = descriptor("Reply");
    let read = DynamicMessage::decode(reply.clone(), bytes).expect("it is a message");
    let text = text.replace("CLIENT", &format!("{CLIENT:?}"));
    let meant = DynamicMessage::parse_text_format(reply, &text).expect("the test is right");
    assert_eq!(read, meant, "{} is not {text}", read.to_text_format());
}

fn assert_reply(id: u32, body: Result<ReplyBody, Refusal>, text: &str) {
    let mut out = Vec::new();
    protobuf::reply(&Reply { id, body }, &mut out, |_, _| {});
    assert_reads_as(&out, text);
}

fn assert_push(push: &Push<'_>, text: &str) {
    let mut out = Vec::new();
    protobuf::push(push, &mut out, |_, _| {});
    assert_reads_as(&out, &format!("push {{ {text} }}"));
}

fn client() -> ClientId {
    ClientId::from_random([7; 16], 3)
}

fn info() -> ClientInfo {
    ClientInfo {
        user: UserId::new("42"),
        client: client(),
        conn_info: Some(br#"{"n":1}"#.as_slice().into()),
        chan_info: Some(b"\0\xff".as_slice().into()),
    }
}

const INFO: &str = r#"user: "42" client: CLIENT conn_info: "{\"n\":1}" chan_info: "\x00\xff""#;

fn publication(offset: u64) -> Publication {
    Publication {
        offset,
        data: b"\0\xff".as_slice().into(),
        info: Some(Arc::new(info())),
        tags: Some(Box::new(Tags::from([
            ("a".into(), "b".into()),
            ("c".into(), String::new()),
        ]))),
    }
}

fn publication_text(offset: u64) -> String {
    format!(
        r#"data: "\x00\xff" info {{ {INFO} }} offset: {offset}
           tags {{ key: "a" value: "b" }} tags {{ key: "c" value: "" }}"#
    )
}

fn position(offset: u64) -> Position {
    let epoch = Epoch::new("Ep");
    Position { epoch, offset }
}

fn subscription() -> SubscribeResult {
    SubscribeResult {
        expiry: Expiry { ttl: Some(600) },
        recoverable: true,
        positioned: true,
        position: Some(position(7)),
        publications: vec![Arc::new(publication(8)), Arc::new(publication(9))],
        recovered: true,
        was_recovering: true,
        delta: false,
        data: Some(b"x".as_slice().into()),
    }
}

fn subscription_text() -> String {
    format!(
        r#"expires: true ttl: 600 recoverable: true epoch: "Ep" publications {{ {} }}
           publications {{ {} }} recovered: true offset: 7 positioned: true data: "x"
           was_recovering: true"#,
        publication_text(8),
        publication_text(9)
    )
}

fn connected() -> ConnectResult {
    ConnectResult {
        client: client(),
        version: "1.2".into(),
        expiry: Expiry { ttl: Some(3600) },
        data: Some(b"[]".as_slice().into()),
        subs: vec![
            ("#42".into(), subscription()),
            ("news".into(), SubscribeResult::default()),
        ],
        ping: 25,
        pong: true,
        session: Some("secret".into()),
        node: Some("node".into()),
        time: Some(1_766_000_000_000),
    }
}

fn connected_text() -> String {
    format!(
        r##"client: CLIENT version: "1.2" expires: true ttl: 3600 data: "[]"
           subs {{ key: "#42" value {{ {} }} }} subs {{ key: "news" value {{}} }}
           ping: 25 pong: true session: "secret" node: "node" time: 1766000000000"##,
        subscription_text()
    )
}

#[test]
fn results_are_read_as_they_were_meant() {
    let body = ReplyBody::Connect(Box::new(connected()));
    assert_reply(
        1,
        Ok(body),
        &format!("id: 1 connect {{ {} }}", connected_text()),
    );
    let body = ReplyBody::Subscribe(Box::new(subscription()));
    assert_reply(
        2,
        Ok(body),
        &format!("id: 2 subscribe {{ {} }}", subscription_text()),
    );
    assert_reply(3, Ok(ReplyBody::Unsubscribe), "id: 3 unsubscribe {}");
    assert_reply(4, Ok(ReplyBody::Publish), "id: 4 publish {}");
    let body = ReplyBody::Presence(vec![Arc::new(info())]);
    let text = format!("id: 5 presence {{ presence {{ key: CLIENT value {{ {INFO} }} }} }}");
    assert_reply(5, Ok(body), &text);
    let (clients, users) = (3, 2);
    let body = ReplyBody::PresenceStats { clients, users };
    assert_reply(
        6,
        Ok(body),
        "id: 6 presence_stats { num_clients: 3 num_users: 2 }",
    );
    let body = ReplyBody::History {
        publications: vec![Arc::new(publication(1))],
        top: position(1),
    };
    // Without an epoch in the publication: that of the stream stands beside it.
    let text = format!(
        r#"id: 7 history {{ publications {{ {} }} epoch: "Ep" offset: 1 }}"#,
        publication_text(1)
    );
    assert_reply(7, Ok(body), &text);
    let data = b"\0".as_slice().into();
    assert_reply(
        8,
        Ok(ReplyBody::Rpc { data }),
        r#"id: 8 rpc { data: "\x00" }"#,
    );
    let new = Expiry { ttl: Some(60) };
    assert_reply(
        9,
        Ok(ReplyBody::Refresh(new)),
        "id: 9 refresh { expires: true ttl: 60 }",
    );
    let text = "id: 4294967295 sub_refresh { expires: true ttl: 60 }";
    assert_reply(u32::MAX, Ok(ReplyBody::SubRefresh(new)), text);
}

#[test]
fn what_is_not_there_is_left_out() {
    let result = ConnectResult {
        expiry: Expiry::default(),
        data: None,
        subs: Vec::new(),
        ping: 0,
        pong: false,
        session: None,
        node: None,
        time: None,
        ..connected()
    };
    let body = ReplyBody::Connect(Box::new(result));
    assert_reply(
        1,
        Ok(body),
        r#"id: 1 connect { client: CLIENT version: "1.2" }"#,
    );
    let info = ClientInfo {
        user: UserId::new(""),
        client: client(),
        conn_info: None,
        chan_info: None,
    };
    let (channel, info) = ("c", &info);
    assert_push(
        &Push::Join { channel, info },
        r#"channel: "c" join { info { client: CLIENT } }"#,
    );
}

#[test]
fn errors_are_read_as_they_were_meant() {
    assert_reply(
        7,
        Err(Refusal::UNKNOWN_CHANNEL),
        r#"id: 7 error { code: 102 message: "unknown channel" }"#,
    );
    assert_reply(
        7,
        Err(Refusal::TOO_MANY_REQUESTS),
        r#"id: 7 error { code: 111 message: "too many requests" temporary: true }"#,
    );
}

#[test]
fn publications_are_read_as_they_were_meant() {
    for offset in [1, 2, u64::MAX] {
        let push = Push::Publication {
            channel: "news",
            publication: &publication(offset),
            epoch: Epoch::new("Ep"),
            form: Form::Plain,
        };
        let epoch = if offset == 1 { r#"epoch: "Ep""# } else { "" };
        let content = publication_text(offset);
        assert_push(
            &push,
            &format!(r#"channel: "news" pub {{ {content} {epoch} }}"#),
        );
    }
}

#[test]
fn other_pushes_are_read_as_they_were_meant() {
    let (channel, info, data) = ("c", &info(), &b"x".as_slice().into());
    let attendance = format!(r#"channel: "c" KIND {{ info {{ {INFO} }} }}"#);
    assert_push(
        &Push::Join { channel, info },
        &attendance.replace("KIND", "join"),
    );
    assert_push(
        &Push::Leave { channel, info },
        &attendance.replace("KIND", "leave"),
    );
    let unsubscribed = &Unsubscribed::INSUFFICIENT_STATE;
    assert_push(
        &Push::Unsubscribe {
            channel,
            unsubscribed,
        },
        r#"channel: "c" unsubscribe { code: 2500 reason: "insufficient state" }"#,
    );
    let begun = Push::Subscribe {
        channel,
        recoverable: true,
        positioned: true,
        position: Some(position(5)),
        data: Some(data),
    };
    assert_push(
        &begun,
        r#"channel: "c" subscribe { recoverable: true epoch: "Ep" offset: 5 positioned: true
           data: "x" }"#,
    );
    assert_push(&Push::Message { data }, r#"message { data: "x" }"#);
    let new = Expiry { ttl: Some(60) };
    assert_push(&Push::Refresh(new), "refresh { expires: true ttl: 60 }");
    assert_push(&Push::Refresh(Expiry::default()), "refresh {}");
    assert_push(
        &Push::Connect(&connected()),
        &format!("connect {{ {} }}", connected_text()),
    );
    assert_push(
        &Push::Disconnect(&Disconnect::SHUTDOWN),
        r#"disconnect { code: 3001 reason: "shutdown" }"#,
    );
}

#[test]
fn messages_stand_behind_their_lengths_in_a_frame_or_a_stream() {
    let reply = Reply {
        id: 9,
        body: Ok(ReplyBody::Rpc {
            data: vec![b'x'; 300].into(),
        }),
    };
    let mut message = Vec::new();
    protobuf::reply(&reply, &mut message, |_, _| {});
    let length = u8::try_from(message.len() - 256).unwrap();
    let delimited = [&[length | 0x80, 2], &message[..]].concat();
    let written = |wire| {
        let mut out = Vec::new();
        Encoder::default().reply(wire, &reply, &mut out).unwrap();
        out
    };
    assert_eq!(written(Wire::Stream(Encoding::Protobuf)), delimited);
    // Final, binary, and a length of two bytes.
    let header = [0x82, 126, 1, length + 2];
    let frame = written(Wire::WebSocket(Encoding::Protobuf));
    assert_eq!(frame, [&header, &delimited[..]].concat());
}
