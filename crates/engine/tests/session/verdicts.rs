//! What the application is asked about a session, and what its verdicts do: server API, section 6.

use campanile_engine::application::{Decision, Interests, Revision, Verdict};
use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant, Overrides};
use campanile_engine::channel::options::{ChannelOptions, DataFormat};
use campanile_engine::settings::Settings;
use campanile_engine::testkit::channel;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{HistoryRequest, Request, SubscribeRequest};
use campanile_protocol::wire::{Encoding, Wire};
use campanile_protocol::{Command, Disconnect, Refusal, ReplyBody};

use super::desk::{
    Desk, Said, close, connect_with, connected, credentials, everything, joined, plain, subscribe,
    subscribe_with, token_grant,
};

fn asking(interests: Interests) -> Settings {
    Settings {
        interests,
        ..Settings::default()
    }
}

/// A live session of user 42 whose application wants to be asked this.
fn live(interests: Interests, options: ChannelOptions) -> Desk {
    let mut desk = Desk::with(asking(interests), options);
    desk.go_live();
    desk
}

fn refused(code: u32) -> Rejection {
    Rejection::Refuse(Refusal {
        code,
        message: "no".into(),
        temporary: false,
    })
}

fn ended(code: u16) -> Rejection {
    Rejection::Disconnect(Disconnect {
        code,
        reason: "no".into(),
    })
}

fn request(name: &str) -> SubscribeRequest {
    SubscribeRequest {
        channel: name.into(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        ..SubscribeRequest::default()
    }
}

/// Answers the question about a subscriber.
fn decide(desk: &mut Desk, name: &str, decision: Decision<Grant>) -> Said {
    desk.answer(Answer::Subscribing(Box::new(request(name)), decision))
}

fn publish(data: &str) -> Request {
    Request::Publish {
        channel: "c".into(),
        data: data.as_bytes().into(),
        kind: 0,
    }
}

fn rule(desk: &mut Desk, decision: Decision<Revision>) -> Said {
    let data = b"1".as_slice().into();
    desk.answer(Answer::Publishing(channel("c"), data, decision))
}

fn rpc() -> Request {
    Request::Rpc {
        method: "m".into(),
        data: b"1".as_slice().into(),
    }
}

fn history(offset: u64) -> Request {
    Request::History(Box::new(HistoryRequest {
        channel: "c".into(),
        since: Some(super::desk::at("", offset)),
        reverse: true,
        ..HistoryRequest::default()
    }))
}

fn presence() -> Request {
    Request::Presence {
        channel: "c".into(),
    }
}

#[test]
fn without_an_interest_nobody_is_asked() {
    let all = Interests::ALL;
    for (interests, options) in [
        (Interests::NONE, everything()),
        // Nor where the namespace is out of it.
        (
            all.without(Interests::DISCONNECTED | Interests::CONNECTED),
            ChannelOptions {
                unasked: all,
                ..everything()
            },
        ),
    ] {
        let mut desk = live(interests, options);
        assert_eq!(desk.ask(subscribe("c"))[0], "await c");
        desk.answer(joined(0));
        assert_eq!(desk.ask(publish("1")), ["ask publish c by 42"]);
        desk.answer(Answer::Reply(Ok(ReplyBody::Publish)));
        assert_eq!(desk.ask(presence()), ["ask presence c"]);
        desk.answer(Answer::Reply(Err(Refusal::INTERNAL)));
        assert!(desk.ask(history(1))[0].starts_with("ask history c"));
    }
}

#[test]
fn the_application_decides_about_subscribers_whatever_the_options_say() {
    let said = |options: ChannelOptions, decision: Decision<Grant>| {
        let mut desk = live(Interests::SUBSCRIBE, options);
        let asked = desk.ask(subscribe_with(request("c")));
        assert_eq!(asked, ["ask whether to subscribe c about 42"]);
        assert!(desk.is_waiting());
        let said = decide(&mut desk, "c", decision);
        assert_eq!(
            desk.session.subscription_count(),
            usize::from(said[0] == "await c")
        );
        said
    };
    let open = plain;
    let shut = ChannelOptions::default;
    let allowed = || Ok(Verdict::Allowed(Grant::default()));
    assert_eq!(said(open(), Ok(Verdict::AsConfigured))[0], "await c");
    assert_eq!(said(shut(), Ok(Verdict::AsConfigured)), ["1: error 103"]);
    assert_eq!(said(shut(), allowed()), ["await c", "ask join c"]);
    assert_eq!(said(open(), Err(refused(1000))), ["1: error 1000"]);
    assert_eq!(said(open(), Err(ended(4500))), ["close 4500"]);
    let past = Grant {
        expire_at: Some(1),
        ..Grant::default()
    };
    assert_eq!(said(open(), Ok(Verdict::Allowed(past))), ["1: error 110"]);
}

#[test]
fn in_an_allowed_subscription_only_options_and_the_grant_count() {
    let wishful = || ChannelOptions {
        allow_recovery: true,
        allow_positioning: true,
        join_leave: true,
        ..everything()
    };
    let entered = |decision: Decision<Grant>| {
        let mut desk = live(Interests::SUBSCRIBE, wishful());
        desk.ask(subscribe_with(request("c")));
        decide(&mut desk, "c", decision);
        desk.answer(joined(3))[1].clone()
    };
    assert_eq!(
        entered(Ok(Verdict::AsConfigured)),
        "enter c e@3 positioned attendance",
        "as configured, wishes are considered"
    );
    let grant = |overrides| {
        Ok(Verdict::Allowed(Grant {
            overrides,
            ..Grant::default()
        }))
    };
    assert_eq!(entered(grant(Overrides::default())), "enter c e@3");
    let overrides = Overrides {
        force_positioning: Some(true),
        force_push_join_leave: Some(true),
        ..Overrides::default()
    };
    assert_eq!(
        entered(grant(overrides)),
        "enter c e@3 positioned attendance"
    );
}

#[test]
fn tokens_lists_of_users_and_private_names_decide_before_the_application() {
    let options = ChannelOptions {
        allow_user_limited_channels: true,
        ..plain()
    };
    let mut desk = live(Interests::SUBSCRIBE, options);
    let token = SubscribeRequest {
        token: "t".into(),
        ..request("c")
    };
    assert_eq!(desk.ask(subscribe_with(token)), ["ask grant t"]);
    desk.answer(Answer::Grant(Ok(token_grant("c", Grant::default()))));
    desk.answer(joined(0));
    assert_eq!(desk.ask(subscribe("d#42"))[0], "await d#42");
    desk.answer(joined(0));
    assert_eq!(desk.ask(subscribe("d#43")), ["3: error 103"]);
    assert_eq!(desk.ask(subscribe("$c")), ["4: error 103"]);
    assert_eq!(
        desk.ask(subscribe("d")),
        ["ask whether to subscribe d about 42"]
    );
}

#[test]
fn limits_hold_for_subscribers_that_are_judged_at_the_same_time() {
    let settings = Settings {
        channel_limit: 1,
        concurrency: 8,
        ..asking(Interests::SUBSCRIBE)
    };
    let mut desk = Desk::with(settings, plain());
    desk.go_live();
    for name in ["a", "b", "a"] {
        assert!(desk.ask(subscribe(name))[0].starts_with("ask whether"));
        assert!(!desk.is_waiting());
    }
    assert_eq!(
        decide(&mut desk, "a", Ok(Verdict::AsConfigured))[0],
        "await a"
    );
    let allowed = || Ok(Verdict::Allowed(Grant::default()));
    assert_eq!(decide(&mut desk, "b", allowed()), ["2: error 106"]);
    assert_eq!(decide(&mut desk, "a", allowed()), ["3: error 105"]);
}

#[test]
fn the_application_decides_about_publications_whatever_the_options_say() {
    let said = |options: ChannelOptions, decision: Decision<Revision>| {
        let mut desk = live(Interests::PUBLISH, options);
        let asked = desk.ask(publish("1"));
        assert_eq!(asked, ["ask whether to publish c about 42"]);
        assert!(desk.is_waiting());
        rule(&mut desk, decision)
    };
    let allowed = |revision| Ok(Verdict::Allowed(revision));
    let shut = ChannelOptions::default;
    let json = || ChannelOptions {
        publication_data_format: DataFormat::Json,
        ..everything()
    };
    let with = |data: &str| Revision {
        data: Some(data.as_bytes().into()),
        ..Revision::default()
    };
    let long = Revision {
        idempotency_key: Some("x".repeat(2000).into()),
        ..Revision::default()
    };
    let revised = |text| format!("ask publish c by 42 revised to {text}");
    let as_configured = said(everything(), Ok(Verdict::AsConfigured));
    assert_eq!(as_configured, ["ask publish c by 42"]);
    assert_eq!(said(shut(), Ok(Verdict::AsConfigured)), ["1: error 103"]);
    assert_eq!(said(shut(), allowed(Revision::default())), [revised("1")]);
    assert_eq!(said(json(), allowed(with("[2]"))), [revised("[2]")]);
    assert_eq!(said(json(), allowed(with("["))), ["1: error 107"]);
    assert_eq!(said(everything(), allowed(long)), ["1: error 107"]);
    assert_eq!(said(everything(), Err(refused(1001))), ["1: error 1001"]);
    assert_eq!(said(everything(), Err(ended(4501))), ["close 4501"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_the_application_is_asked() {
    let mut desk = live(Interests::ALL, plain());
    for (request, code) in [
        (publish(""), 107),
        (presence(), 108),
        (history(1), 108),
        (subscribe("no:c"), 102),
    ] {
        let said = desk.ask(request);
        assert!(said[0].ends_with(&format!("error {code}")), "{said:?}");
    }
}

#[test]
fn a_call_has_the_answer_of_the_application() {
    let said = |decision| {
        let mut desk = live(Interests::RPC, plain());
        assert_eq!(desk.ask(rpc()), ["ask rpc m about 42"]);
        assert!(desk.is_waiting());
        desk.answer(Answer::Rpc(decision))
    };
    let data = b"2".as_slice().into();
    assert_eq!(said(Ok(Verdict::Allowed(data))), ["1: rpc 2"]);
    assert_eq!(said(Ok(Verdict::AsConfigured)), ["1: error 108"]);
    let unknown = Refusal::METHOD_NOT_FOUND.into();
    assert_eq!(said(Err(unknown)), ["1: error 104"]);
    assert_eq!(said(Err(ended(4000))), ["close 4000"]);
}

#[test]
fn a_message_is_not_answered_but_holds_up_what_follows() {
    let send = || Command::Send {
        data: b"1".as_slice().into(),
    };
    let mut desk = live(Interests::MESSAGE, plain());
    assert_eq!(desk.command(send()), ["ask message about 42"]);
    assert!(desk.is_waiting());
    let taken = Answer::Message(Ok(Verdict::Allowed(())));
    assert_eq!(desk.answer(taken), [""; 0]);
    assert!(!desk.is_waiting());
    desk.command(send());
    let end = Answer::Message(Err(Disconnect::FORCE_DISCONNECT));
    assert_eq!(desk.answer(end), ["close 3503"]);
    let mut desk = live(Interests::MESSAGE, plain());
    desk.command(send());
    let left = Answer::Message(Ok(Verdict::AsConfigured));
    assert_eq!(
        desk.answer(left),
        ["close 3508"],
        "as without an application"
    );
}

#[test]
fn the_application_decides_who_may_read() {
    let shut = || ChannelOptions {
        allow_presence_for_client: false,
        allow_history_for_client: false,
        ..everything()
    };
    let interests = Interests::PRESENCE | Interests::HISTORY;
    let said = |options: ChannelOptions, request: Request, decision| {
        let mut desk = live(interests, options);
        assert!(desk.ask(request)[0].starts_with("ask whether to tell "));
        desk.answer(Answer::Reading(decision))
    };
    let yes = || Ok(Verdict::Allowed(()));
    let stats = || Request::PresenceStats {
        channel: "c".into(),
    };
    let read = "ask history c since Some(1) reverse true limit 0 @1";
    for (request, asked) in [
        (presence(), "ask presence c"),
        (stats(), "ask presence_stats c"),
        (history(1), read),
    ] {
        let ask = |options, decision| said(options, request.clone(), decision);
        assert_eq!(ask(shut(), yes()), [asked]);
        assert_eq!(ask(shut(), Ok(Verdict::AsConfigured)), ["1: error 103"]);
        assert_eq!(ask(everything(), Ok(Verdict::AsConfigured)), [asked]);
        assert_eq!(ask(everything(), Err(refused(1002))), ["1: error 1002"]);
        assert_eq!(ask(everything(), Err(ended(4502))), ["close 4502"]);
    }
    assert_eq!(said(shut(), history(0), yes()), ["1: error 107"]);
}

#[test]
fn the_result_of_a_connect_brings_what_the_application_has_to_say() {
    let with_data = |subscriptions| Credentials {
        data: Some(b"7".as_slice().into()),
        subscriptions,
        ..credentials()
    };
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    let said = desk.answer(connected(with_data(vec![])));
    assert_eq!(said[1], "1: connect ping 25 pong true data 7");
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    desk.answer(connected(with_data(vec![("c".into(), Grant::default())])));
    assert_eq!(
        desk.answer(joined(0))[1],
        "1: connect ping 25 pong true data 7 c()"
    );
}

#[test]
fn the_application_is_told_who_came_and_left_once_each() {
    let interests = Interests::CONNECTED | Interests::DISCONNECTED;
    let mut desk = Desk::with(asking(interests), plain());
    desk.ask(Request::Connect(Box::default()));
    let said = desk.answer(connected(credentials()));
    assert!(said[1].starts_with("1: connect"), "{said:?}");
    assert_eq!(said[2], "ask no more than to listen about 42");
    assert!(!desk.is_waiting(), "nothing of the client waits for it");
    assert_eq!(desk.answer(Answer::Told), [""; 0]);
    desk.ask(subscribe("c"));
    desk.answer(joined(0));
    assert_eq!(
        close(&mut desk),
        ["disconnected 42 3000", "leave c", "close 3000"]
    );
    assert_eq!(close(&mut desk), [""; 0]);

    let mut desk = live(Interests::DISCONNECTED, plain());
    desk.ask(Request::Refresh { token: "t".into() });
    let said = desk.answer(Answer::Refresh(Ok(Credentials {
        subscriptions: vec![("c".into(), Grant::default())],
        ..credentials()
    })));
    assert_eq!(said, ["disconnected 42 3010", "close 3010"]);
}

#[test]
fn of_who_was_never_connected_the_application_is_not_told() {
    let interests = Interests::CONNECTED | Interests::DISCONNECTED;
    let mut desk = Desk::with(asking(interests), plain());
    assert_eq!(close(&mut desk), ["close 3000"]);
    let mut desk = Desk::with(asking(interests), plain());
    desk.ask(Request::Connect(Box::default()));
    desk.answer(Answer::Connect(Err(Refusal::INTERNAL.into())));
    assert_eq!(close(&mut desk), ["close 3000"]);
    let mut desk = Desk::with(asking(interests), plain());
    desk.ask(connect_with(&[("c", None)]));
    desk.answer(connected(credentials()));
    assert_eq!(close(&mut desk), ["leave c", "close 3000"]);
}

#[test]
fn what_a_session_no_longer_wants_to_know_is_not_waited_for() {
    let mut desk = live(Interests::ALL, everything());
    desk.ask(rpc());
    close(&mut desk);
    assert!(!desk.session.has_loose_ends());
    let late = Answer::Rpc(Ok(Verdict::AsConfigured));
    assert_eq!(desk.answer(late), [""; 0]);
}

#[test]
fn a_plain_client_that_is_refused_is_told_by_the_end() {
    let wire = Wire::Plain { is_binary: false };
    let mut desk = Desk::over(wire, asking(Interests::SUBSCRIBE), plain());
    desk.ask(connect_with(&[("c", None)]));
    let said = desk.answer(connected(credentials()));
    assert_eq!(
        said.last().unwrap(),
        "ask whether to subscribe c about 42",
        "{said:?}"
    );
    assert!(desk.is_waiting());
    assert_eq!(decide(&mut desk, "c", Err(refused(1000))), ["close 4500"]);
}

#[test]
fn a_session_says_how_it_speaks() {
    let wire = Wire::Stream(Encoding::Protobuf);
    let mut desk = Desk::over(wire, Settings::default(), plain());
    assert_eq!(
        desk.ask(Request::Connect(Box::default())),
        ["ask connect over Stream(Protobuf)"]
    );
}
