//! Sessions of one channel that carry nothing but payloads: `docs/plain-sockets.md`.

use std::borrow::Cow;

use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::channel::{ChannelName, Namespaces};
use campanile_engine::session::{Input, Order};
use campanile_engine::settings::Settings;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, Request, SubscribeRequest};
use campanile_protocol::wire::Wire;
use campanile_protocol::{Command, Refusal, ReplyBody, Unsubscribed};

use super::desk::{Desk, Said, at, connected, credentials, everything, joined, recovered};

const WIRE: Wire = Wire::Plain { is_binary: false };

/// Clients may do everything; nobody is present.
fn options() -> ChannelOptions {
    ChannelOptions {
        presence: false,
        ..everything()
    }
}

/// A session that is asked for `c` with this wish.
fn asked(settings: Settings, options: ChannelOptions, wish: SubscribeRequest) -> Desk {
    let mut desk = Desk::over(WIRE, settings, options);
    let request = ConnectRequest {
        subs: [("c".into(), wish)].into(),
        ..ConnectRequest::default()
    };
    let said = desk.ask(Request::Connect(Box::new(request)));
    assert_eq!(said, ["ask connect"]);
    desk
}

fn since(offset: u64) -> SubscribeRequest {
    SubscribeRequest {
        recover: Some(at("e", offset)),
        positioned: true,
        recoverable: true,
        flag: SubscribeRequest::REJECT_UNRECOVERED,
        ..SubscribeRequest::default()
    }
}

fn opened(wish: SubscribeRequest) -> (Desk, Said) {
    let mut desk = asked(Settings::default(), options(), wish);
    let said = desk.answer(connected(credentials()));
    (desk, said)
}

/// One that is subscribed, with the stream's top at 3.
fn subscribed() -> Desk {
    let (mut desk, _) = opened(SubscribeRequest::default());
    desk.answer(joined(3));
    desk
}

fn message() -> Input {
    Input::Message(b"x".as_slice().into())
}

#[test]
fn it_subscribes_by_itself_and_publishes_what_it_is_told() {
    let (mut desk, said) = opened(SubscribeRequest::default());
    assert_eq!(
        said,
        [
            "enroll 42",
            "1: connect ping 25 pong true",
            "await c",
            "ask join c"
        ]
    );
    assert!(
        desk.is_waiting(),
        "nobody can publish before it is subscribed"
    );
    let said = desk.answer(joined(3));
    assert_eq!(said, ["2: subscribe", "enter c e@3"]);
    assert!(!desk.is_waiting());
    assert_eq!(desk.feed(message()), ["ask publish c by 42"]);
    assert!(desk.is_waiting(), "messages are published in order");
    assert_eq!(
        desk.answer(Answer::Reply(Ok(ReplyBody::Publish))),
        ["3: publish"]
    );
    assert!(!desk.is_waiting());
}

#[test]
fn it_waits_for_its_messages_however_many_others_may_have_under_way() {
    let settings = Settings {
        concurrency: 8,
        ..Settings::default()
    };
    let token = SubscribeRequest {
        token: "t".into(),
        ..SubscribeRequest::default()
    };
    let mut desk = asked(settings, options(), token);
    let said = desk.answer(connected(credentials()));
    assert_eq!(said.last().map(String::as_str), Some("ask grant t"));
    assert!(desk.is_waiting());
}

#[test]
fn what_others_are_answered_ends_it() {
    for (refusal, end) in [
        (Refusal::INTERNAL, "close 3004"),
        (Refusal::UNKNOWN_CHANNEL, "close 3501"),
        (Refusal::PERMISSION_DENIED, "close 3507"),
        (Refusal::LIMIT_EXCEEDED, "close 3505"),
        (Refusal::BAD_REQUEST, "close 3501"),
        (Refusal::NOT_AVAILABLE, "close 3508"),
        (Refusal::TOKEN_EXPIRED, "close 3005"),
        (Refusal::EXPIRED, "close 3005"),
        (Refusal::TOO_MANY_REQUESTS, "close 3013"),
        (Refusal::UNRECOVERABLE_POSITION, "close 4512"),
        (application(1000, false), "close 4500"),
        (application(1000, true), "close 3004"),
    ] {
        // The connect command.
        let mut desk = asked(Settings::default(), options(), SubscribeRequest::default());
        let rejected = Rejection::Refuse(refusal.clone());
        assert_eq!(desk.answer(Answer::Connect(Err(rejected))), [end]);
        assert_eq!(desk.patience(), None, "it does not linger");
        // A publish.
        let mut desk = subscribed();
        desk.feed(message());
        let said = desk.answer(Answer::Reply(Err(refusal.clone())));
        assert_eq!(said, ["leave c", end]);
        // The join.
        let (mut desk, _) = opened(SubscribeRequest::default());
        let said = desk.answer(Answer::Join(Err(refusal)));
        assert_eq!(said, ["leave c", end]);
    }
}

fn application(code: u32, temporary: bool) -> Refusal {
    Refusal {
        code,
        message: Cow::Borrowed("not today"),
        temporary,
    }
}

#[test]
fn permissions_are_those_of_any_session() {
    let closed = ChannelOptions {
        allow_subscribe_for_client: false,
        ..options()
    };
    let mut desk = asked(Settings::default(), closed, SubscribeRequest::default());
    let said = desk.answer(connected(credentials()));
    assert_eq!(
        said,
        ["enroll 42", "1: connect ping 25 pong true", "close 3507"]
    );

    let silent = ChannelOptions {
        allow_publish_for_client: false,
        ..options()
    };
    let mut desk = asked(Settings::default(), silent, SubscribeRequest::default());
    desk.answer(connected(credentials()));
    desk.answer(joined(3));
    assert_eq!(desk.feed(message()), ["leave c", "close 3507"]);
}

#[test]
fn it_recovers_everything_or_ends() {
    let (mut desk, said) = opened(since(1));
    assert_eq!(said.last().map(String::as_str), Some("ask join c e@1"));
    let said = desk.answer(recovered(at("e", 1), 1..=3));
    assert_eq!(
        said,
        [
            "2: subscribe positioned recoverable e@1 was_recovering recovered [2, 3]",
            "enter c e@3 positioned"
        ]
    );
    let (mut desk, _) = opened(since(1));
    let said = desk.answer(recovered(at("e", 1), 5..=7));
    assert_eq!(said, ["leave c", "close 4512"]);
    // Not where there is nothing to recover from.
    let forgetful = ChannelOptions {
        allow_history_for_client: false,
        ..options()
    };
    let mut desk = asked(Settings::default(), forgetful, since(1));
    let said = desk.answer(connected(credentials()));
    assert_eq!(said.last().map(String::as_str), Some("close 3508"));
}

#[test]
fn the_end_of_its_subscription_is_its_own() {
    for (unsubscribed, end) in [
        (Unsubscribed::SERVER, "close 3503"),
        (Unsubscribed::INSUFFICIENT_STATE, "close 3010"),
        (Unsubscribed::EXPIRED, "close 3006"),
        (custom(2100), "close 3503"),
        (custom(2502), "close 3011"),
        (custom(2600), "close 3011"),
    ] {
        let order = Order::Unsubscribe {
            channel: Some(channel("c")),
            unsubscribed,
        };
        assert_eq!(subscribed().order(order.clone()), ["leave c", end]);
        // While it joins: the answer tells.
        let (mut desk, _) = opened(SubscribeRequest::default());
        assert_eq!(desk.order(order), Vec::<String>::new());
        assert_eq!(desk.answer(joined(3)), ["2: subscribe", "leave c", end]);
    }
    let lost = Input::Lost(channel("c"));
    assert_eq!(subscribed().feed(lost), ["leave c", "close 3010"]);
}

fn channel(name: &str) -> ChannelName {
    let namespaces = Namespaces::new(NameRules::default(), options(), []);
    let resolved = namespaces.resolve(name).expect("without a namespace");
    resolved.channel()
}

fn custom(code: u32) -> Unsubscribed {
    Unsubscribed {
        code,
        reason: Cow::Borrowed("so it is"),
    }
}

#[test]
fn other_channels_have_no_place_in_it() {
    let mut desk = asked(Settings::default(), options(), SubscribeRequest::default());
    let token = Credentials {
        subscriptions: vec![("other".into(), Grant::default())],
        ..credentials()
    };
    let said = desk.answer(connected(token));
    assert_eq!(said.last().map(String::as_str), Some("ask join c"));
    desk.answer(joined(3));
    let order = Order::Subscribe {
        channel: channel("other"),
        grant: Grant::default(),
        recover: None,
    };
    assert_eq!(desk.order(order), Vec::<String>::new());
}

#[test]
fn a_pong_counts_when_it_was_asked_for_and_is_ignored_otherwise() {
    let mut desk = subscribed();
    assert_eq!(desk.command(Command::Pong), Vec::<String>::new());
    let wait = desk.patience().expect("a ping is due");
    assert_eq!(desk.pass(wait), ["ping"]);
    assert_eq!(desk.command(Command::Pong), Vec::<String>::new());
    assert_eq!(desk.command(Command::Pong), Vec::<String>::new());
    let wait = desk.patience().expect("another ping is due");
    assert_eq!(desk.pass(wait), ["ping"]);
    let wait = desk.patience().expect("a pong is due");
    assert_eq!(desk.pass(wait), ["leave c", "close 3012"]);
}
