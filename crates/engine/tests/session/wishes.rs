//! Channels that a client wishes for when it connects, where the application has a say: section 6.4
//! of the client protocol.

use campanile_engine::application::{Decision, Interests, Verdict};
use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant, Overrides};
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::settings::Settings;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Position, Refusal};

use super::desk::{
    Desk, Said, at, close, connect_with, connected, credentials, everything, join_of, plain,
    recovered,
};

fn asking() -> Settings {
    Settings {
        interests: Interests::SUBSCRIBE,
        ..Settings::default()
    }
}

/// A client that connects with these wishes, until something is asked about them.
fn wishing(options: ChannelOptions, wishes: &[&str]) -> (Desk, Said) {
    let mut desk = Desk::with(asking(), options);
    let wishes: Vec<_> = wishes.iter().map(|name| (*name, None)).collect();
    desk.ask(connect_with(&wishes));
    let said = desk.answer(connected(credentials()));
    (desk, said)
}

fn decided(decisions: Vec<(&str, Option<Position>, Decision<Grant>)>) -> Answer {
    let decided = decisions.into_iter().map(|(name, recover, decision)| {
        let request = SubscribeRequest {
            channel: name.into(),
            recover,
            ..SubscribeRequest::default()
        };
        (request, decision)
    });
    Answer::Wishes(decided.collect())
}

fn as_configured() -> Decision<Grant> {
    Ok(Verdict::AsConfigured)
}

fn allowed() -> Decision<Grant> {
    Ok(Verdict::Allowed(Grant::default()))
}

#[test]
fn the_application_decides_about_wishes_whatever_the_options_say() {
    let (mut desk, said) = wishing(plain(), &["a", "b", "ns:c", "ns:d"]);
    assert_eq!(said, ["ask for the wishes a, b, ns:c, ns:d about 42"]);
    assert!(desk.is_waiting() && !desk.session.is_live());
    let said = desk.answer(decided(vec![
        ("a", None, as_configured()),
        ("b", None, Err(Refusal::new(1000, "no").into())),
        ("ns:c", None, as_configured()),
        ("ns:d", None, allowed()),
    ]));
    assert_eq!(said, ["await a", "await ns:d", "ask join a, ns:d"]);
    let said = desk.answer(Answer::Join(Ok(vec![join_of(0), join_of(0)])));
    assert_eq!(said[1], "1: connect ping 25 pong true a() ns:d()");
}

#[test]
fn a_connection_without_its_refused_wishes_is_live() {
    let (mut desk, _) = wishing(plain(), &["a", "b"]);
    let past = Grant {
        expire_at: Some(1),
        ..Grant::default()
    };
    let said = desk.answer(decided(vec![
        ("a", None, Err(Refusal::PERMISSION_DENIED.into())),
        ("b", None, Ok(Verdict::Allowed(past))),
    ]));
    assert_eq!(said, ["enroll 42", "1: connect ping 25 pong true"]);
    assert!(desk.session.is_live() && !desk.is_waiting());
}

#[test]
fn a_wish_may_be_the_end_and_one_that_nobody_can_judge_is_tried_again() {
    let (mut desk, _) = wishing(plain(), &["a"]);
    let end = Err(Disconnect::FORCE_DISCONNECT.into());
    assert_eq!(desk.answer(decided(vec![("a", None, end)])), ["close 3503"]);
    let (mut desk, _) = wishing(plain(), &["a", "b"]);
    let unknown = Err(Refusal::INTERNAL.into());
    assert_eq!(
        desk.answer(decided(vec![("a", None, allowed()), ("b", None, unknown)])),
        ["1: error 100, try again"]
    );
}

#[test]
fn a_granted_wish_has_its_grant_and_what_the_client_missed() {
    let from = at("e", 2);
    let mut desk = Desk::with(asking(), everything());
    desk.ask(connect_with(&[("a", Some(from))]));
    desk.answer(connected(credentials()));
    let grant = Grant {
        data: Some(b"7".as_slice().into()),
        overrides: Overrides {
            force_recovery: Some(true),
            ..Overrides::default()
        },
        ..Grant::default()
    };
    let grant = Ok(Verdict::Allowed(grant));
    let said = desk.answer(decided(vec![("a", Some(from), grant)]));
    assert_eq!(said[1], "ask join a e@2 present");
    let said = desk.answer(recovered(from, 1..=4));
    let result = "a(positioned recoverable e@2 was_recovering recovered [3, 4] data 7)";
    assert_eq!(said[1], format!("1: connect ping 25 pong true {result}"));
}

#[test]
fn lists_of_users_and_private_names_decide_before_the_application() {
    let options = ChannelOptions {
        allow_user_limited_channels: true,
        ..plain()
    };
    let (_, said) = wishing(options, &["$private", "d#42", "d#43", "é"]);
    assert_eq!(said, ["await d#42", "ask join d#42"]);
    let unasked = ChannelOptions {
        unasked: Interests::SUBSCRIBE,
        ..plain()
    };
    let (_, said) = wishing(unasked, &["a"]);
    assert_eq!(said, ["await a", "ask join a"]);
}

#[test]
fn what_the_credentials_bring_is_asked_of_nobody() {
    let theirs = |considers_wishes| Credentials {
        subscriptions: vec![("a".into(), Grant::default())],
        considers_wishes,
        ..credentials()
    };
    let wishes = || connect_with(&[("a", None), ("b", None)]);
    let mut desk = Desk::with(asking(), plain());
    desk.ask(wishes());
    let said = desk.answer(connected(theirs(true)));
    assert_eq!(said, ["ask for the wishes b about 42"]);
    let mut deaf = Desk::with(asking(), plain());
    deaf.ask(wishes());
    let said = deaf.answer(connected(theirs(false)));
    assert_eq!(said, ["await a", "ask join a"]);
}

#[test]
fn more_wishes_than_channels_are_not_asked_about() {
    let settings = Settings {
        channel_limit: 1,
        ..asking()
    };
    let mut desk = Desk::with(settings, plain());
    desk.ask(connect_with(&[("a", None), ("b", None)]));
    assert_eq!(desk.answer(connected(credentials())), ["close 3505"]);
}

#[test]
fn who_goes_while_its_wishes_are_judged_leaves_nothing_behind() {
    let (mut desk, _) = wishing(plain(), &["a"]);
    assert_eq!(close(&mut desk), ["close 3000"]);
    assert!(!desk.session.has_loose_ends());
    assert_eq!(desk.answer(decided(vec![("a", None, allowed())])), [""; 0]);
    let (mut desk, _) = wishing(plain(), &["a"]);
    assert_eq!(
        desk.pass(25.0),
        ["close 3004"],
        "it was in time, we are not"
    );
}
