//! Who is told payloads as differences: section 10.1 of the client protocol.

use campanile_engine::channel::options::{ChannelOptions, DeltaType};
use campanile_protocol::command::{ConnectRequest, Request, SubscribeRequest};

use super::desk::{
    Desk, Said, at, connected, credentials, everything, joined, recovered, subscribe_with,
};

fn with_deltas() -> ChannelOptions {
    ChannelOptions {
        allowed_delta_types: vec![DeltaType::Fossil],
        force_recovery: true,
        ..everything()
    }
}

fn fossil() -> SubscribeRequest {
    SubscribeRequest {
        channel: "c".into(),
        delta: "fossil".into(),
        ..SubscribeRequest::default()
    }
}

/// What is said to `request` when it joins at 3.
fn subscribe_under(options: ChannelOptions, request: SubscribeRequest) -> Said {
    let mut desk = Desk::live_with(options);
    desk.ask(subscribe_with(request));
    desk.answer(joined(3))
}

#[test]
fn deltas_are_granted_to_who_asks_where_they_are_allowed() {
    let said = subscribe_under(with_deltas(), fossil());
    assert_eq!(
        said[..2],
        [
            "1: subscribe positioned recoverable e@3 delta",
            "enter c e@3 positioned deltas after a whole"
        ]
    );
    let without = SubscribeRequest {
        delta: String::new(),
        ..fossil()
    };
    let not_allowed = ChannelOptions {
        allowed_delta_types: Vec::new(),
        ..with_deltas()
    };
    for (options, request) in [(with_deltas(), without), (not_allowed, fossil())] {
        let said = subscribe_under(options, request);
        assert!(said.iter().all(|said| !said.contains("delta")), "{said:?}");
    }
}

#[test]
fn neither_positions_nor_recovery_are_needed_for_deltas() {
    let options = ChannelOptions {
        force_recovery: false,
        ..with_deltas()
    };
    let said = subscribe_under(options, fossil());
    assert_eq!(
        said[..2],
        ["1: subscribe delta", "enter c e@3 deltas after a whole"]
    );
}

#[test]
fn who_is_told_of_the_top_needs_no_whole_payload_first() {
    for (from, told, deltas) in [
        (2, "recovered [3, 4] delta", "deltas"),
        // The client says where it stands, not what it holds.
        (4, "recovered delta", "deltas after a whole"),
        (9, "delta", "deltas after a whole"),
    ] {
        let mut desk = Desk::live_with(with_deltas());
        let from = at("e", from);
        desk.ask(subscribe_with(SubscribeRequest {
            recover: Some(from),
            ..fossil()
        }));
        let said = desk.answer(recovered(from, 1..=4));
        assert!(
            said[0].ends_with(&format!("was_recovering {told}")),
            "{said:?}"
        );
        assert_eq!(said[1], format!("enter c e@4 positioned {deltas}"));
    }
}

/// What a connecting client with this hint about channel `c` is told.
fn connect_under(options: ChannelOptions, hint: SubscribeRequest) -> Said {
    let mut desk = Desk::new(options);
    let subs = [("c".to_owned(), hint)].into();
    desk.ask(Request::Connect(Box::new(ConnectRequest {
        subs,
        ..ConnectRequest::default()
    })));
    let asked = desk.answer(connected(credentials()));
    if asked[0].starts_with("close") {
        return asked;
    }
    desk.answer(joined(3))
}

#[test]
fn server_side_subscriptions_are_asked_for_deltas_at_connect() {
    let said = connect_under(with_deltas(), fossil());
    assert!(
        said[1].ends_with("c(positioned recoverable e@3 delta)"),
        "{said:?}"
    );
    assert_eq!(said[2], "enter c e@3 positioned deltas after a whole");
    let said = connect_under(with_deltas(), SubscribeRequest::default());
    assert!(said.iter().all(|said| !said.contains("delta")), "{said:?}");
}

#[test]
fn unknown_deltas_break_the_protocol_wherever_they_are_asked_for() {
    let unknown = || SubscribeRequest {
        delta: "xdelta".into(),
        ..fossil()
    };
    let mut desk = Desk::live_with(with_deltas());
    assert_eq!(desk.ask(subscribe_with(unknown())), ["close 3501"]);
    assert_eq!(connect_under(with_deltas(), unknown()), ["close 3501"]);
}
