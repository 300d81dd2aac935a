//! Subscribing and unsubscribing: sections 7.1 to 7.3 and 8.3 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::{Grant, Overrides, TokenGrant, TokenRefusal};
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::settings::Settings;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{ClientId, Position};

use super::desk::{
    Desk, Said, at, client, connected, credentials, everything, failed, joined, plain, recovered,
    subscribe, subscribe_with, token_grant, unsubscribe,
};

fn request(channel: &str) -> SubscribeRequest {
    SubscribeRequest {
        channel: channel.into(),
        ..SubscribeRequest::default()
    }
}

/// What a live session under `options` says to `request` and then to a join with top 3.
fn subscribe_under(options: ChannelOptions, request: SubscribeRequest) -> (Said, Said) {
    let mut desk = Desk::live_with(options);
    let asked = desk.ask(subscribe_with(request));
    let said = desk.answer(joined(3));
    (asked, said)
}

#[test]
fn a_subscription_is_replied_before_it_is_entered() {
    let (asked, said) = subscribe_under(plain(), request("c"));
    assert_eq!(asked, ["await c", "ask join c"]);
    assert_eq!(said, ["1: subscribe", "enter c e@3"]);
}

#[test]
fn each_refusal_has_its_code() {
    let long = "x".repeat(256);
    let token = |channel: &str| SubscribeRequest {
        token: "t".into(),
        ..request(channel)
    };
    let kind = |kind| SubscribeRequest {
        kind,
        ..request("new")
    };
    let filter = SubscribeRequest {
        filter: Some(Box::default()),
        ..request("new")
    };
    for (asked, code) in [
        (request(&long), 107),
        (request(&format!("no:{long}")), 107),
        (request("c"), 105),
        (request("no:c"), 102),
        (request("é"), 107),
        (request("$c"), 103),
        (request("ns:c"), 103),
        (kind(1), 103),
        (kind(3), 103),
        (kind(4), 108),
        (kind(9), 107),
        (kind(-1), 107),
        (filter, 107),
        (token("c"), 105),
        (token("no:c"), 102),
    ] {
        let mut desk = Desk::subscribed();
        let spelled = format!("{asked:?}");
        assert_eq!(
            desk.ask(subscribe_with(asked)),
            [format!("1: error {code}")],
            "{spelled}"
        );
    }
    let delta = SubscribeRequest {
        delta: "xdelta".into(),
        ..request(&long)
    };
    assert_eq!(Desk::live().ask(subscribe_with(delta)), ["close 3501"]);
    let delta = SubscribeRequest {
        delta: "fossil".into(),
        ..request("c")
    };
    assert_eq!(Desk::live().ask(subscribe_with(delta))[0], "await c");
}

#[test]
fn a_session_has_a_limit_of_subscriptions() {
    let settings = Settings {
        channel_limit: 2,
        concurrency: 8,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, plain());
    desk.go_live();
    desk.ask(subscribe("a"));
    desk.ask(subscribe("b"));
    assert_eq!(desk.ask(subscribe("c")), ["3: error 106"]);
    desk.answer(joined(0));
    assert_eq!(desk.ask(unsubscribe("a"))[0], "leave a");
    assert_eq!(desk.ask(subscribe("c"))[0], "await c");
}

#[test]
fn limits_hold_for_tokens_that_are_judged_at_the_same_time() {
    let settings = Settings {
        channel_limit: 1,
        concurrency: 8,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, plain());
    desk.go_live();
    for channel in ["a", "b", "a"] {
        let token = SubscribeRequest {
            token: "t".into(),
            ..request(channel)
        };
        assert_eq!(desk.ask(subscribe_with(token)), ["ask grant t"]);
    }
    let grant = |channel| Answer::Grant(Ok(token_grant(channel, Grant::default())));
    assert_eq!(desk.answer(grant("a"))[0], "await a");
    assert_eq!(desk.answer(grant("b")), ["2: error 106"]);
    assert_eq!(desk.answer(grant("a")), ["3: error 105"]);
}

#[test]
fn a_token_decides_alone() {
    let ask = |outcome: Result<TokenGrant, TokenRefusal>| {
        let mut desk = Desk::live_with(plain());
        let token = SubscribeRequest {
            token: "t".into(),
            ..request("$c")
        };
        assert_eq!(desk.ask(subscribe_with(token)), ["ask grant t"]);
        desk.answer(Answer::Grant(outcome))
    };
    let good = || token_grant("$c", Grant::default());
    assert_eq!(ask(Ok(good())), ["await $c", "ask join $c"]);
    assert_eq!(ask(Err(TokenRefusal::Expired)), ["1: error 109"]);
    assert_eq!(ask(Err(TokenRefusal::Invalid)), ["1: error 103"]);
    assert_eq!(
        ask(Err(TokenRefusal::Unavailable)),
        ["1: error 100, try again"]
    );
    let others = ClientId::from_random([2; 16], 0);
    for wrong in [
        TokenGrant {
            channel: "$d".into(),
            ..good()
        },
        TokenGrant {
            user: "43".into(),
            ..good()
        },
        TokenGrant {
            client: Some(others),
            ..good()
        },
    ] {
        assert_eq!(ask(Ok(wrong)), ["close 3500"]);
    }
    let named = TokenGrant {
        client: Some(client()),
        ..good()
    };
    assert_eq!(ask(Ok(named))[0], "await $c");
    let expired = Grant {
        expire_at: Some(1_700_000_003),
        ..Grant::default()
    };
    assert_eq!(ask(Ok(token_grant("$c", expired))), ["1: error 110"]);
}

#[test]
fn what_a_token_brings_is_told() {
    let mut desk = Desk::live();
    let token = SubscribeRequest {
        token: "t".into(),
        ..request("$c")
    };
    desk.ask(subscribe_with(token));
    let grant = Grant {
        info: Some(b"{}".as_slice().into()),
        data: Some(b"8".as_slice().into()),
        recovers_cache: false,
        expire_at: Some(desk.clock.unix_in(60)),
        overrides: Overrides {
            force_positioning: Some(true),
            ..Overrides::default()
        },
    };
    desk.answer(Answer::Grant(Ok(token_grant("$c", grant))));
    let said = desk.answer(joined(3));
    assert_eq!(said[0], "1: subscribe positioned e@3 ttl 60 data 8");
    let publish = campanile_protocol::command::Request::Publish {
        channel: "$c".into(),
        data: b"1".as_slice().into(),
        kind: 0,
    };
    assert_eq!(desk.ask(publish), ["ask publish $c by 42 {}"]);
}

#[test]
fn flags_are_honoured_where_an_option_or_the_right_to_read_allows_it() {
    let positioned = || SubscribeRequest {
        positioned: true,
        ..request("c")
    };
    let recoverable = || SubscribeRequest {
        recoverable: true,
        ..request("c")
    };
    let attentive = || SubscribeRequest {
        join_leave: true,
        ..request("c")
    };
    let with = |change: fn(&mut ChannelOptions)| {
        let mut options = plain();
        change(&mut options);
        options
    };
    let reads_history = with(|o| o.allow_history_for_subscriber = true);
    let reads_presence = |join_leave| ChannelOptions {
        allow_presence_for_subscriber: true,
        join_leave,
        ..plain()
    };
    let forced = with(|o| o.force_recovery = true);
    let anonymous_only = with(|o| o.allow_history_for_anonymous = true);
    for (options, asked, entered) in [
        (plain(), positioned(), "enter c e@3"),
        (plain(), recoverable(), "enter c e@3"),
        (plain(), attentive(), "enter c e@3"),
        (anonymous_only, positioned(), "enter c e@3"),
        (
            with(|o| o.allow_positioning = true),
            positioned(),
            "enter c e@3 positioned",
        ),
        (
            with(|o| o.allow_positioning = true),
            recoverable(),
            "enter c e@3",
        ),
        (
            with(|o| o.allow_recovery = true),
            recoverable(),
            "enter c e@3 positioned",
        ),
        (
            with(|o| o.force_positioning = true),
            request("c"),
            "enter c e@3 positioned",
        ),
        (forced, request("c"), "enter c e@3 positioned"),
        (
            reads_history.clone(),
            positioned(),
            "enter c e@3 positioned",
        ),
        (reads_history, recoverable(), "enter c e@3 positioned"),
        (reads_presence(false), attentive(), "enter c e@3"),
        (reads_presence(true), request("c"), "enter c e@3"),
        (reads_presence(true), attentive(), "enter c e@3 attendance"),
        (
            with(|o| o.force_push_join_leave = true),
            request("c"),
            "enter c e@3 attendance",
        ),
    ] {
        let (_, said) = subscribe_under(options.clone(), asked.clone());
        assert_eq!(said[1], entered, "{asked:?} under {options:?}");
    }
}

#[test]
fn a_result_has_a_position_only_when_it_is_watched() {
    let options = || ChannelOptions {
        allow_positioning: true,
        ..plain()
    };
    let (_, said) = subscribe_under(options(), request("c"));
    assert_eq!(said[0], "1: subscribe");
    let (_, said) = subscribe_under(
        options(),
        SubscribeRequest {
            positioned: true,
            ..request("c")
        },
    );
    assert_eq!(said[0], "1: subscribe positioned e@3");
    let options = ChannelOptions {
        allow_recovery: true,
        ..plain()
    };
    let (_, said) = subscribe_under(
        options,
        SubscribeRequest {
            recoverable: true,
            ..request("c")
        },
    );
    assert_eq!(said[0], "1: subscribe positioned recoverable e@3");
}

fn recover(from: Position, flag: i64) -> SubscribeRequest {
    SubscribeRequest {
        recover: Some(from),
        recoverable: true,
        flag,
        ..request("c")
    }
}

#[test]
fn recovery_tells_the_truth() {
    let table = [
        (at("e", 2), 1..=4, "e@2 was_recovering recovered [3, 4]"),
        (at("e", 4), 1..=4, "e@4 was_recovering recovered"),
        (at("", 0), 1..=2, "e@0 was_recovering recovered [1, 2]"),
        (at("e", 1), 3..=4, "e@4 was_recovering"),
        (at("x", 2), 1..=4, "e@4 was_recovering"),
        (at("e", 9), 1..=4, "e@4 was_recovering"),
    ];
    for (from, kept, result) in table {
        let mut desk = Desk::live();
        let asked = desk.ask(subscribe_with(recover(from, 0)));
        let position = format!("{}@{}", from.epoch.as_str(), from.offset);
        assert_eq!(asked[1], format!("ask join c {position} present"));
        let said = desk.answer(recovered(from, kept));
        assert_eq!(
            said[0],
            format!("1: subscribe positioned recoverable {result}")
        );
        let top = if result.contains("[1, 2]") { 2 } else { 4 };
        assert_eq!(said[1], format!("enter c e@{top} positioned"));
    }
}

#[test]
fn recovery_that_is_not_allowed_is_not_tried() {
    let (asked, said) = subscribe_under(plain(), recover(at("e", 1), 2));
    assert_eq!(asked, ["await c", "ask join c"]);
    assert_eq!(said[0], "1: subscribe was_recovering");
}

#[test]
fn flag_two_refuses_what_could_not_be_recovered() {
    let mut desk = Desk::live();
    desk.ask(subscribe_with(recover(at("e", 1), 2)));
    let said = desk.answer(recovered(at("e", 1), 3..=4));
    assert_eq!(said, ["1: error 112", "leave c", "absent c"]);
    desk.ask(subscribe_with(recover(at("e", 3), 2)));
    let said = desk.answer(recovered(at("e", 3), 3..=4));
    assert_eq!(
        said[0],
        "2: subscribe positioned recoverable e@3 was_recovering recovered [4]"
    );
}

#[test]
fn joins_and_leaves_are_announced_behind_the_reply() {
    let options = ChannelOptions {
        join_leave: true,
        ..everything()
    };
    let mut desk = Desk::live_with(options);
    desk.ask(subscribe("c"));
    assert_eq!(
        desk.answer(joined(0)),
        ["1: subscribe", "enter c e@0", "announce join c 42"]
    );
    assert_eq!(
        desk.ask(unsubscribe("c")),
        [
            "leave c",
            "absent c",
            "announce leave c 42",
            "2: unsubscribe"
        ]
    );
    assert_eq!(
        desk.ask(unsubscribe("c")),
        ["3: unsubscribe"],
        "always succeeds"
    );
}

#[test]
fn a_failed_join_leaves_nothing_behind() {
    let options = ChannelOptions {
        join_leave: true,
        ..everything()
    };
    let mut desk = Desk::live_with(options);
    desk.ask(subscribe("c"));
    assert_eq!(
        desk.answer(failed()),
        ["1: error 100, try again", "leave c", "absent c"]
    );
    assert_eq!(desk.ask(subscribe("c"))[0], "await c");
}

#[test]
fn a_subscription_of_the_server_counts_as_one_of_the_client() {
    let settings = Settings {
        personal_channel_namespace: Some(String::new()),
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, plain());
    desk.ask(campanile_protocol::command::Request::Connect(Box::default()));
    desk.answer(connected(credentials()));
    desk.answer(joined(0));
    assert_eq!(desk.ask(subscribe("#42")), ["2: error 105"]);
    assert_eq!(
        desk.ask(unsubscribe("#42")),
        ["leave #42", "3: unsubscribe"]
    );
}
