//! Connecting with credentials and server-side subscriptions: section 6 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant, Handshake, Overrides};
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::node::UserSeats;
use campanile_engine::settings::Settings;
use campanile_protocol::UserId;
use campanile_protocol::command::Request;
use campanile_protocol::wire::{Encoding, Wire};

use super::desk::{
    Desk, Said, at, connect_with, connected, credentials, everything, failed, join_of, plain,
    recovered,
};

fn connect(settings: Settings, options: ChannelOptions, credentials: Credentials) -> (Desk, Said) {
    let mut desk = Desk::with(settings, options);
    desk.ask(Request::Connect(Box::default()));
    let said = desk.answer(connected(credentials));
    (desk, said)
}

fn with_subscriptions(names: &[&str]) -> Credentials {
    let subscriptions = names.iter().map(|name| ((*name).into(), Grant::default()));
    Credentials {
        subscriptions: subscriptions.collect(),
        ..credentials()
    }
}

#[test]
fn a_session_with_credentials_is_live() {
    let (desk, said) = connect(Settings::default(), plain(), credentials());
    assert_eq!(said, ["enroll 42", "1: connect ping 25 pong true"]);
    assert!(desk.session.is_live() && !desk.is_waiting());
    assert_eq!(desk.session.user().as_str(), "42");
}

#[test]
fn what_is_known_from_the_handshake_goes_along_with_the_connect_command() {
    let handshake = Handshake {
        user: Some(UserId::new("7")),
        ..Handshake::default()
    };
    let wire = Wire::WebSocket(Encoding::Json);
    let handshake = Some(Box::new(handshake));
    let mut desk = Desk::opened(wire, Settings::default(), plain(), handshake);
    let said = desk.ask(Request::Connect(Box::default()));
    assert_eq!(said, ["ask connect as 7"]);
}

#[test]
fn the_time_to_live_of_credentials_is_told() {
    let expiring = |seconds: i64| Credentials {
        expire_at: Some(1_700_000_003 + seconds),
        ..credentials()
    };
    let settings = Settings::default;
    let (_, said) = connect(settings(), plain(), expiring(60));
    assert_eq!(said[1], "1: connect ping 25 pong true ttl 60");
    let (_, said) = connect(settings(), plain(), expiring(0));
    assert_eq!(said, ["1: error 110"]);
    let year = 365 * 24 * 60 * 60;
    let (_, said) = connect(settings(), plain(), expiring(10 * year));
    assert_eq!(said[1], format!("1: connect ping 25 pong true ttl {year}"));
}

#[test]
fn an_insecure_server_knows_no_expiry() {
    let settings = Settings {
        is_insecure: true,
        ..Settings::default()
    };
    let expired = Credentials {
        expire_at: Some(1),
        ..credentials()
    };
    let (mut desk, said) = connect(settings, plain(), expired.clone());
    assert_eq!(said, ["enroll 42", "1: connect ping 25 pong true"]);
    desk.ask(Request::Refresh { token: "t".into() });
    assert_eq!(desk.answer(Answer::Refresh(Ok(expired))), ["2: refresh"]);
}

#[test]
fn server_side_subscriptions_are_joined_before_the_reply() {
    let options = ChannelOptions {
        join_leave: true,
        force_positioning: true,
        ..everything()
    };
    let (mut desk, said) = connect(
        Settings::default(),
        options,
        with_subscriptions(&["a", "b"]),
    );
    assert_eq!(
        said,
        ["await a", "await b", "ask join a present, b present"]
    );
    assert!(desk.is_waiting() && !desk.session.is_live());
    let said = desk.answer(Answer::Join(Ok(vec![join_of(3), join_of(0)])));
    assert_eq!(
        said,
        [
            "enroll 42",
            "1: connect ping 25 pong true a(positioned e@3) b(positioned e@0)",
            "enter a e@3 positioned",
            "announce join a 42",
            "enter b e@0 positioned",
            "announce join b 42",
        ]
    );
}

#[test]
fn one_failed_join_fails_the_whole_connect_and_is_undone() {
    let (mut desk, _) = connect(
        Settings::default(),
        everything(),
        with_subscriptions(&["a", "b"]),
    );
    assert_eq!(
        desk.answer(failed()),
        [
            "leave a",
            "absent a",
            "leave b",
            "absent b",
            "1: error 100, try again"
        ]
    );
    assert_eq!(desk.pass(5.0), ["close 3000"]);
}

#[test]
fn a_server_side_channel_of_no_namespace_fails_the_connect() {
    let (_, said) = connect(
        Settings::default(),
        plain(),
        with_subscriptions(&["a", "no:b"]),
    );
    assert_eq!(said, ["1: error 102"]);
}

#[test]
fn too_many_server_side_subscriptions_end_the_session() {
    let settings = Settings {
        channel_limit: 1,
        ..Settings::default()
    };
    let too_many = Credentials {
        expire_at: Some(1),
        ..with_subscriptions(&["a", "b"])
    };
    let (_, said) = connect(settings.clone(), plain(), too_many);
    assert_eq!(said, ["close 3505"], "before anything is said of expiry");
    let expired = Credentials {
        expire_at: Some(1),
        ..with_subscriptions(&["a"])
    };
    let (_, said) = connect(settings, plain(), expired);
    assert_eq!(said, ["1: error 110"]);
}

#[test]
fn hints_of_the_client_recover_server_side_subscriptions() {
    let options = ChannelOptions {
        force_recovery: true,
        ..everything()
    };
    let mut desk = Desk::new(options);
    desk.ask(connect_with(&[("a", Some(at("e", 2)))]));
    let said = desk.answer(connected(with_subscriptions(&["a"])));
    assert_eq!(said, ["await a", "ask join a e@2 present"]);
    let said = desk.answer(recovered(at("e", 2), 1..=4));
    let result = "a(positioned recoverable e@2 was_recovering recovered [3, 4])";
    assert_eq!(said[1], format!("1: connect ping 25 pong true {result}"));
    assert_eq!(said[2], "enter a e@4 positioned");
}

#[test]
fn everybody_gets_a_personal_channel_where_that_is_configured() {
    for (namespace, channel) in [("", "#42"), ("ns", "ns:#42")] {
        let settings = || Settings {
            personal_channel_namespace: Some(namespace.into()),
            ..Settings::default()
        };
        let (_, said) = connect(settings(), plain(), credentials());
        assert_eq!(said[0], format!("await {channel}"));
        let anonymous = Credentials {
            user: UserId::new(""),
            ..credentials()
        };
        let (_, said) = connect(settings(), plain(), anonymous);
        assert_eq!(said[0], "enroll ", "nobody's channel is nobody's");
        let (_, said) = connect(settings(), plain(), with_subscriptions(&[channel]));
        assert_eq!(
            said,
            [format!("await {channel}"), format!("ask join {channel}")]
        );
    }
}

#[test]
fn a_wish_is_granted_by_plain_permissions_or_ignored() {
    let wishes = ["ok", "$private", "ns:denied", "é"].map(|name| (name, None));
    let mut desk = Desk::new(plain());
    desk.ask(connect_with(&wishes));
    assert_eq!(
        desk.answer(connected(credentials())),
        ["await ok", "ask join ok"]
    );

    let mut limited = Desk::new(ChannelOptions {
        allow_user_limited_channels: true,
        ..plain()
    });
    limited.ask(connect_with(&[("d#41,42", None), ("d#43", None)]));
    assert_eq!(
        limited.answer(connected(credentials())),
        ["await d#41,42", "ask join d#41,42"]
    );

    let long = "x".repeat(256);
    let mut too_long = Desk::new(plain());
    too_long.ask(connect_with(&[(long.as_str(), None)]));
    assert_eq!(too_long.answer(connected(credentials()))[0], "enroll 42");

    let insecure = Settings {
        is_insecure: true,
        ..Settings::default()
    };
    let mut insecure = Desk::with(insecure, everything());
    insecure.ask(connect_with(&[("ns:denied", None), ("$private", None)]));
    assert_eq!(
        insecure.answer(connected(credentials())),
        ["await ns:denied", "ask join ns:denied present"]
    );

    let mut unheard = Desk::new(plain());
    unheard.ask(connect_with(&wishes));
    let deaf = Credentials {
        considers_wishes: false,
        ..credentials()
    };
    assert_eq!(unheard.answer(connected(deaf))[0], "enroll 42");
}

#[test]
fn a_wish_for_no_namespace_breaks_the_protocol() {
    let mut desk = Desk::new(plain());
    desk.ask(connect_with(&[("no:c", None)]));
    assert_eq!(desk.answer(connected(credentials())), ["close 3501"]);
}

#[test]
fn what_a_token_grants_replaces_the_options_of_the_namespace() {
    let grant = Grant {
        data: Some(b"7".as_slice().into()),
        overrides: Overrides {
            presence: Some(false),
            join_leave: Some(true),
            force_push_join_leave: Some(true),
            force_positioning: Some(true),
            force_recovery: Some(true),
        },
        ..Grant::default()
    };
    let granted = Credentials {
        subscriptions: vec![("a".into(), grant)],
        ..credentials()
    };
    let (mut desk, said) = connect(Settings::default(), everything(), granted);
    assert_eq!(said, ["await a", "ask join a"]);
    let said = desk.answer(Answer::Join(Ok(vec![join_of(1)])));
    assert!(
        said[1].ends_with("a(positioned recoverable e@1 data 7)"),
        "{said:?}"
    );
    assert_eq!(
        said[2..],
        ["enter a e@1 positioned attendance", "announce join a 42"]
    );
}

#[test]
fn a_seat_is_given_back_by_a_refused_connect_and_by_a_close() {
    let seats = std::sync::Arc::<UserSeats>::default();
    let user = UserId::new("42");
    let seat = || UserSeats::take(&seats, &user, 1);
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    let refused = with_subscriptions(&["no:c"]);
    assert_eq!(
        desk.answer(Answer::Connect(Ok((refused, seat())))),
        ["1: error 102"]
    );
    assert!(seat().is_some());

    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    desk.answer(Answer::Connect(Ok((credentials(), seat()))));
    assert!(seat().is_none());
    super::desk::close(&mut desk);
    assert!(seat().is_some());
}

#[test]
fn an_answer_that_comes_after_the_end_changes_nothing() {
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    desk.pass(10.0);
    assert!(!desk.session.has_loose_ends());
    assert_eq!(desk.answer(connected(with_subscriptions(&["a"]))), [""; 0]);
}

#[test]
fn a_user_who_may_have_one_connection_supersedes_the_others() {
    let settings = Settings {
        has_one_connection: true,
        ..Settings::default()
    };
    let (_, said) = connect(settings.clone(), plain(), credentials());
    assert_eq!(said.last().unwrap(), "supersede 42");
    let anonymous = Credentials {
        user: UserId::new(""),
        ..credentials()
    };
    let (_, said) = connect(settings, plain(), anonymous);
    assert!(!said.iter().any(|said| said.starts_with("supersede")));
}
