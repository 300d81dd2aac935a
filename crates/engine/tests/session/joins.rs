//! Joins whose answer comes when nobody waits for it any more.

use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::session::Order;
use campanile_engine::settings::Settings;
use campanile_protocol::Unsubscribed;
use campanile_protocol::command::Request;

use super::desk::{
    Desk, close, connected, credentials, everything, failed, joined, subscribe, unsubscribe,
};

fn announcing() -> ChannelOptions {
    ChannelOptions {
        join_leave: true,
        ..everything()
    }
}

fn concurrent() -> Desk {
    let settings = Settings {
        concurrency: 4,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, announcing());
    desk.go_live();
    desk
}

fn revoke() -> Order {
    Order::Unsubscribe {
        channel: None,
        unsubscribed: Unsubscribed::SERVER,
    }
}

#[test]
fn a_close_undoes_what_is_there_and_what_is_coming() {
    let mut desk = Desk::live_with(announcing());
    desk.ask(subscribe("a"));
    desk.answer(joined(0));
    desk.ask(subscribe("b"));
    assert_eq!(
        close(&mut desk),
        [
            "leave a",
            "absent a",
            "announce leave a 42",
            "leave b",
            "absent b",
            "close 3000"
        ]
    );
    assert!(desk.session.has_loose_ends());
    assert_eq!(desk.answer(joined(0)), ["leave b", "absent b"]);
    assert!(!desk.session.has_loose_ends());
}

#[test]
fn a_join_that_fails_after_the_close_is_no_loose_end() {
    let mut desk = Desk::live_with(announcing());
    desk.ask(subscribe("b"));
    close(&mut desk);
    assert_eq!(
        desk.answer(failed()),
        ["leave b", "absent b"],
        "it may have begun"
    );
    assert!(!desk.session.has_loose_ends());
}

#[test]
fn joins_of_a_connect_are_undone_after_a_close() {
    let mut desk = Desk::new(announcing());
    desk.ask(Request::Connect(Box::default()));
    let grant = campanile_engine::authority::Grant::default();
    let with_one = campanile_engine::authority::Credentials {
        subscriptions: vec![("a".into(), grant)],
        ..credentials()
    };
    desk.answer(connected(with_one));
    assert_eq!(close(&mut desk), ["leave a", "absent a", "close 3000"]);
    assert_eq!(desk.answer(joined(0)), ["leave a", "absent a"]);
}

#[test]
fn an_unsubscribe_waits_for_the_join_that_it_undoes() {
    let mut desk = concurrent();
    desk.ask(subscribe("c"));
    assert!(!desk.is_waiting());
    assert_eq!(desk.ask(unsubscribe("c")), [""; 0]);
    assert!(
        desk.is_waiting(),
        "a new subscription has to wait for the end of the old one"
    );
    assert_eq!(
        desk.answer(joined(0)),
        ["1: subscribe", "leave c", "absent c", "2: unsubscribe"]
    );
    assert!(!desk.is_waiting());
    assert_eq!(desk.ask(subscribe("c")), ["await c", "ask join c present"]);
    let said = desk.answer(joined(0));
    assert_eq!(said, ["3: subscribe", "enter c e@0", "announce join c 42"]);
}

#[test]
fn an_unsubscribe_succeeds_when_the_join_fails() {
    let mut desk = concurrent();
    desk.ask(subscribe("c"));
    desk.ask(unsubscribe("c"));
    assert_eq!(
        desk.answer(failed()),
        [
            "1: error 100, try again",
            "leave c",
            "absent c",
            "2: unsubscribe"
        ]
    );
}

#[test]
fn a_subscription_that_the_server_revokes_while_it_joins_is_told_and_ended() {
    let mut desk = Desk::live_with(announcing());
    desk.ask(subscribe("c"));
    assert_eq!(desk.order(revoke()), [""; 0]);
    assert_eq!(desk.order(revoke()), [""; 0]);
    assert_eq!(
        desk.answer(joined(3)),
        [
            "1: subscribe",
            "push unsubscribe c 2000",
            "leave c",
            "absent c"
        ]
    );
    assert_eq!(desk.ask(subscribe("c"))[0], "await c");
}

#[test]
fn an_ordered_subscription_that_is_revoked_while_it_joins_is_never_told() {
    let mut desk = Desk::live_with(announcing());
    let order = Order::Subscribe {
        channel: campanile_engine::testkit::channel("c"),
        grant: campanile_engine::authority::Grant::default(),
        recover: None,
    };
    assert_eq!(desk.order(order.clone()), ["await c", "ask join c present"]);
    assert!(!desk.is_waiting(), "orders hold up no commands");
    desk.order(revoke());
    assert_eq!(desk.answer(joined(3)), ["leave c", "absent c"]);
    desk.order(order);
    assert_eq!(desk.ask(unsubscribe("c")), [""; 0]);
    assert_eq!(
        desk.answer(joined(3)),
        ["leave c", "absent c", "1: unsubscribe"]
    );
    assert!(!desk.is_waiting());
}

#[test]
fn a_session_that_is_joining_is_no_subscriber_yet() {
    let options = ChannelOptions {
        allow_publish_for_subscriber: true,
        allow_publish_for_client: false,
        ..everything()
    };
    let settings = Settings {
        concurrency: 4,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, options);
    desk.go_live();
    let publish = || Request::Publish {
        channel: "c".into(),
        data: b"1".as_slice().into(),
        kind: 0,
    };
    let renew = || Request::SubRefresh {
        channel: "c".into(),
        token: "t".into(),
        kind: 0,
    };
    desk.ask(subscribe("c"));
    assert_eq!(desk.ask(publish()), ["2: error 103"]);
    assert_eq!(desk.ask(renew()), ["3: error 103"]);
    desk.answer(joined(0));
    assert_eq!(desk.ask(publish()), ["ask publish c by 42"]);
    assert_eq!(desk.ask(renew()), ["ask grant t"]);
}
