//! Publishing, presence and history: section 9 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::channel::options::{ChannelOptions, DataFormat};
use campanile_protocol::command::{HistoryRequest, Request};
use campanile_protocol::{Position, Refusal, ReplyBody};

use super::desk::{Desk, at, connected, credentials, everything, joined, plain, subscribe};

fn publish(channel: &str, data: &str) -> Request {
    Request::Publish {
        channel: channel.into(),
        data: data.as_bytes().into(),
        kind: 0,
    }
}

fn publish_into(kind: i32, channel: &str) -> Request {
    Request::Publish {
        channel: channel.into(),
        data: b"1".as_slice().into(),
        kind,
    }
}

fn history(channel: &str, limit: i32, since: Option<Position>, reverse: bool) -> Request {
    Request::History(Box::new(HistoryRequest {
        channel: channel.into(),
        limit,
        since,
        reverse,
    }))
}

fn presence(channel: &str) -> Request {
    Request::Presence {
        channel: channel.into(),
    }
}

fn presence_stats(channel: &str) -> Request {
    Request::PresenceStats {
        channel: channel.into(),
    }
}

#[test]
fn who_may_publish_is_answered_when_it_was() {
    let mut desk = Desk::live();
    assert_eq!(desk.ask(publish("c", "1")), ["ask publish c by 42"]);
    assert!(desk.is_waiting());
    assert_eq!(
        desk.answer(Answer::Reply(Ok(ReplyBody::Publish))),
        ["1: publish"]
    );
    desk.ask(publish("c", "1"));
    let failed = Answer::Reply(Err(Refusal::INTERNAL));
    assert_eq!(desk.answer(failed), ["2: error 100, try again"]);
}

#[test]
fn each_refusal_has_its_code() {
    let dark = || ChannelOptions {
        history_size: 0,
        presence: false,
        ..everything()
    };
    let denied = || ChannelOptions {
        allow_publish_for_client: false,
        allow_history_for_client: false,
        allow_presence_for_client: false,
        ..everything()
    };
    let json = || ChannelOptions {
        publication_data_format: DataFormat::Json,
        ..everything()
    };
    for (options, request, code) in [
        (everything(), publish("no:c", "1"), 102),
        (everything(), publish("é", "1"), 107),
        (everything(), publish("c", ""), 107),
        (json(), publish("c", "{"), 107),
        (denied(), publish("c", "1"), 103),
        (everything(), publish_into(1, "c"), 103),
        (everything(), publish_into(1, "no:c"), 102),
        (everything(), publish_into(1, "é"), 107),
        (everything(), publish_into(2, "c"), 107),
        (everything(), publish_into(-1, "c"), 107),
        (everything(), presence("no:c"), 102),
        (everything(), presence("é"), 107),
        (dark(), presence("c"), 108),
        (dark(), presence_stats("c"), 108),
        (denied(), presence("c"), 103),
        (denied(), presence_stats("c"), 103),
        (everything(), history("no:c", 1, None, false), 102),
        (everything(), history("é", 1, None, false), 107),
        (dark(), history("c", 1, None, false), 108),
        (denied(), history("c", 1, None, false), 103),
        (everything(), history("c", 1, Some(at("e", 0)), true), 107),
    ] {
        let spelled = format!("{request:?}");
        let mut desk = Desk::live_with(options);
        assert_eq!(desk.ask(request), [format!("1: error {code}")], "{spelled}");
    }
}

#[test]
fn subscribers_may_what_is_allowed_to_subscribers() {
    let options = ChannelOptions {
        presence: true,
        history_size: 1,
        history_ttl: std::time::Duration::from_secs(1),
        allow_publish_for_subscriber: true,
        allow_presence_for_subscriber: true,
        allow_history_for_subscriber: true,
        ..plain()
    };
    let requests = || {
        [
            publish("c", "1"),
            presence("c"),
            history("c", 0, None, false),
        ]
    };
    for request in requests() {
        let mut stranger = Desk::live_with(options.clone());
        assert_eq!(stranger.ask(request), ["1: error 103"]);
    }
    for request in requests() {
        let mut subscriber = Desk::live_with(options.clone());
        subscriber.ask(subscribe("c"));
        subscriber.answer(joined(0));
        assert!(subscriber.ask(request)[0].starts_with("ask "));
    }
    for request in requests() {
        let mut by_token = Desk::new(options.clone());
        by_token.ask(Request::Connect(Box::default()));
        by_token.answer(connected(Credentials {
            subscriptions: vec![("c".into(), Grant::default())],
            ..credentials()
        }));
        by_token.answer(joined(0));
        assert!(by_token.ask(request)[0].starts_with("ask "));
    }
}

#[test]
fn presence_is_asked_for_whole_or_in_numbers() {
    assert_eq!(Desk::live().ask(presence("c")), ["ask presence c"]);
    assert_eq!(
        Desk::live().ask(presence_stats("c")),
        ["ask presence_stats c"]
    );
}

#[test]
fn limits_of_history_are_bounded() {
    for (limit, bounded) in [(0, 0), (7, 7), (300, 300), (301, 300), (-1, 300)] {
        assert_eq!(
            Desk::live().ask(history("c", limit, None, false)),
            [format!(
                "ask history c since None reverse false limit {bounded}"
            )]
        );
    }
    assert_eq!(
        Desk::live().ask(history("c", 1, Some(at("x", 5)), true)),
        ["ask history c since Some(5) reverse true limit 1 x@5"]
    );
}
