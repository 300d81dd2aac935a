//! Exact texts of replies and pushes.

use super::*;
use crate::{ClientId, Disconnect, Unsubscribed, UserId};
use std::sync::Arc;

fn info() -> ClientInfo {
    ClientInfo {
        user: UserId::new("42"),
        client: ClientId::from_random([0; 16], 0),
        conn_info: None,
        chan_info: Some(b"{\"n\":\n1}".as_slice().into()),
    }
}

const ID: &str = "00000000-0000-4000-8000-000000000000";

fn publication(offset: u64, data: &str) -> Publication {
    Publication {
        offset,
        data: data.as_bytes().into(),
        info: None,
        tags: None,
    }
}

fn pushed(message: &Push<'_>) -> String {
    let mut out = Vec::new();
    push(message, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn replied(body: ReplyBody) -> String {
    let mut out = Vec::new();
    reply(
        &Reply {
            id: 5,
            body: Ok(body),
        },
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn only_the_first_publication_of_a_stream_tells_the_epoch() {
    let text = |offset| {
        let publication = publication(offset, r#"{"n":1}"#);
        pushed(&Push::Publication {
            channel: "ne\"ws",
            publication: &publication,
            epoch: Epoch::new("AbCd"),
            form: Form::Plain,
        })
    };
    assert_eq!(
        text(1),
        r#"{"push":{"channel":"ne\"ws","pub":{"data":{"n":1},"offset":1,"epoch":"AbCd"}}}"#
    );
    assert_eq!(
        text(2),
        r#"{"push":{"channel":"ne\"ws","pub":{"data":{"n":1},"offset":2}}}"#
    );
    assert_eq!(
        text(0),
        r#"{"push":{"channel":"ne\"ws","pub":{"data":{"n":1}}}}"#
    );
}

#[test]
fn tags_and_publisher_travel_with_a_publication() {
    let mut publication = publication(2, "null");
    publication.info = Some(Arc::new(info()));
    publication.tags = Some(Box::new([("a".into(), "b".into())].into()));
    assert_eq!(
        pushed(&Push::Publication {
            channel: "c",
            publication: &publication,
            epoch: Epoch::EMPTY,
            form: Form::Plain,
        }),
        format!(
            r#"{{"push":{{"channel":"c","pub":{{"data":null,"info":{{"user":"42","client":"{ID}","chan_info":{{"n":1}}}},"offset":2,"tags":{{"a":"b"}}}}}}}}"#
        )
    );
}

#[test]
fn line_breaks_of_a_payload_are_dropped() {
    let publication = publication(0, "{\n\"a\":\r\n\"\\n\" }");
    assert_eq!(
        pushed(&Push::Publication {
            channel: "c",
            publication: &publication,
            epoch: Epoch::EMPTY,
            form: Form::Plain,
        }),
        r#"{"push":{"channel":"c","pub":{"data":{"a":"\n" }}}}"#
    );
}

#[test]
fn a_payload_that_is_not_json_is_not_embedded() {
    for data in ["", "{", "{} {}", "\u{1}", "nul"] {
        let publication = publication(0, data);
        let message = Push::Publication {
            channel: "c",
            publication: &publication,
            epoch: Epoch::EMPTY,
            form: Form::Plain,
        };
        assert_eq!(
            push(&message, &mut Vec::new()),
            Err(InappropriatePayload),
            "{data}"
        );
    }
    let mut invalid = publication(0, "");
    invalid.data = b"\"\xff\"".as_slice().into();
    let message = Push::Publication {
        channel: "c",
        publication: &invalid,
        epoch: Epoch::EMPTY,
        form: Form::Plain,
    };
    assert_eq!(push(&message, &mut Vec::new()), Err(InappropriatePayload));
}

#[test]
fn results_are_present_even_when_empty() {
    assert_eq!(replied(ReplyBody::Publish), r#"{"id":5,"publish":{}}"#);
    assert_eq!(
        replied(ReplyBody::Unsubscribe),
        r#"{"id":5,"unsubscribe":{}}"#
    );
    assert_eq!(
        replied(ReplyBody::Subscribe(Box::default())),
        r#"{"id":5,"subscribe":{}}"#
    );
    assert_eq!(
        replied(ReplyBody::SubRefresh(Expiry::default())),
        r#"{"id":5,"sub_refresh":{}}"#
    );
    assert_eq!(
        replied(ReplyBody::Presence(vec![])),
        r#"{"id":5,"presence":{"presence":{}}}"#
    );
    assert_eq!(
        replied(ReplyBody::PresenceStats {
            clients: 0,
            users: 0
        }),
        r#"{"id":5,"presence_stats":{"num_clients":0,"num_users":0}}"#
    );
    let top = Position {
        epoch: Epoch::new("e"),
        offset: 0,
    };
    assert_eq!(
        replied(ReplyBody::History {
            publications: vec![],
            top
        }),
        r#"{"id":5,"history":{"publications":[],"epoch":"e","offset":0}}"#
    );
}

#[test]
fn a_connect_result_is_spelled_as_the_protocol_has_it() {
    let sub = SubscribeResult {
        recoverable: true,
        positioned: true,
        position: Some(Position {
            epoch: Epoch::new("e"),
            offset: 3,
        }),
        publications: vec![Arc::new(publication(4, "1")), Arc::new(publication(5, "2"))],
        recovered: true,
        was_recovering: true,
        delta: false,
        ..SubscribeResult::default()
    };
    let connect = ConnectResult {
        client: info().client,
        version: "1".into(),
        expiry: Expiry { ttl: Some(60) },
        data: Some(b"[]".as_slice().into()),
        subs: vec![("a".into(), sub)],
        ping: 25,
        pong: true,
        session: None,
        node: None,
        time: Some(7),
    };
    assert_eq!(
        replied(ReplyBody::Connect(Box::new(connect))),
        format!(
            concat!(
                r#"{{"id":5,"connect":{{"client":"{}","version":"1","expires":true,"ttl":60,"data":[],"#,
                r#""subs":{{"a":{{"recoverable":true,"epoch":"e","offset":3,"publications":[{{"data":1,"offset":4}},"#,
                r#"{{"data":2,"offset":5}}],"recovered":true,"positioned":true,"was_recovering":true}}}},"#,
                r#""ping":25,"pong":true,"time":7}}}}"#
            ),
            ID
        )
    );
}

#[test]
fn errors_always_carry_code_and_message() {
    let mut out = Vec::new();
    let body = Err(Refusal::INTERNAL);
    reply(&Reply { id: 7, body }, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}"#
    );
    assert_eq!(
        pushed(&Push::Unsubscribe {
            channel: "c",
            unsubscribed: &Unsubscribed::INSUFFICIENT_STATE
        }),
        r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#
    );
    assert!(!Disconnect::SLOW.flushes());
}

#[test]
fn joins_leaves_and_refreshes_are_pushes() {
    let mut info = info();
    info.chan_info = None;
    assert_eq!(
        pushed(&Push::Join {
            channel: "c",
            info: &info
        }),
        format!(
            r#"{{"push":{{"channel":"c","join":{{"info":{{"user":"42","client":"{ID}"}}}}}}}}"#
        )
    );
    assert!(
        pushed(&Push::Leave {
            channel: "c",
            info: &info
        })
        .contains(r#""leave":{"info""#)
    );
    assert_eq!(
        pushed(&Push::Refresh(Expiry { ttl: Some(9) })),
        r#"{"push":{"refresh":{"expires":true,"ttl":9}}}"#
    );
    assert_eq!(
        pushed(&Push::Refresh(Expiry::default())),
        r#"{"push":{"refresh":{}}}"#
    );
}

/// A publication as the last of two, told in this form.
fn told(previous: &str, data: &str, form: impl Fn(&Publication) -> Form<'_>) -> String {
    let previous = publication(1, previous);
    pushed(&Push::Publication {
        channel: "c",
        publication: &publication(2, data),
        epoch: Epoch::new("e"),
        form: form(&previous),
    })
}

fn as_delta(previous: &Publication) -> Form<'_> {
    Form::Delta {
        previous: &previous.data,
    }
}

#[test]
fn who_takes_deltas_gets_strings() {
    let before = r#"{"n":1,"text":"abcdefghijklmnop"}"#;
    let after = r#"{"n":2,"text":"abcdefghijklmnop"}"#;
    assert_eq!(
        told(before, after, |_| Form::Whole),
        r#"{"push":{"channel":"c","pub":{"data":"{\"n\":2,\"text\":\"abcdefghijklmnop\"}","offset":2}}}"#
    );
    assert_eq!(
        told(before, after, as_delta),
        r#"{"push":{"channel":"c","pub":{"data":"X\n6:{\"n\":2R@6,1fbTur;","offset":2,"delta":true}}}"#
    );
    assert_eq!(
        told("[]", "{\n}", as_delta),
        r#"{"push":{"channel":"c","pub":{"data":"{\n}","offset":2}}}"#,
        "what would not be shorter is told as a whole, with its line breaks"
    );
}

#[test]
fn a_character_that_changed_is_told_as_a_character() {
    let text = |mood: &str| format!(r#"{{"who":"somebody with a name","mood":"{mood}"}}"#);
    let said = told(&text("🙂"), &text("🙃"), as_delta);
    assert!(
        said.contains("🙃") && said.contains(r#""delta":true"#),
        "{said}"
    );
}

#[test]
fn no_form_carries_what_is_no_json() {
    let previous = publication(1, "a text of which much stays as it was");
    let next = publication(2, "a text of which much stays as it is");
    for form in [Form::Plain, Form::Whole, as_delta(&previous)] {
        let message = Push::Publication {
            channel: "c",
            publication: &next,
            epoch: Epoch::EMPTY,
            form,
        };
        assert_eq!(push(&message, &mut Vec::new()), Err(InappropriatePayload));
    }
}

#[test]
fn recovered_publications_are_a_whole_one_and_deltas() {
    let text = |n: u32| format!(r#"{{"n":{n},"text":"abcdefghijklmnop"}}"#);
    let result = |delta| {
        let publications = (1..=3).map(|n| Arc::new(publication(n.into(), &text(n))));
        replied(ReplyBody::Subscribe(Box::new(SubscribeResult {
            publications: publications.collect(),
            delta,
            ..SubscribeResult::default()
        })))
    };
    let deltas = result(true);
    let whole = r#"[{"data":"{\"n\":1,\"text\":\"abcdefghijklmnop\"}","offset":1},"#;
    assert!(deltas.contains(whole), "{deltas}");
    assert_eq!(
        deltas.matches(r#""delta":true}"#).count(),
        3,
        "two, and the result's own"
    );
    let plain = result(false);
    assert!(
        plain.contains(r#"{"data":{"n":3,"text":"abcdefghijklmnop"},"offset":3}"#),
        "{plain}"
    );
}
