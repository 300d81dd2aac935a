//! What the application orders: sections 6.3 and 7.5 of the client protocol.

use campanile_engine::authority::Grant;
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::session::{Claim, Order};
use campanile_engine::settings::Settings;
use campanile_engine::testkit::channel;
use campanile_protocol::command::Request;
use campanile_protocol::{Disconnect, Position, Unsubscribed};

use super::desk::{Desk, at, everything, failed, joined, plain, recovered, subscribe};

fn subscription(name: &str, recover: Option<Position>) -> Order {
    Order::Subscribe {
        channel: channel(name),
        grant: Grant::default(),
        recover,
    }
}

fn end(name: Option<&str>) -> Order {
    Order::Unsubscribe {
        channel: name.map(channel),
        unsubscribed: Unsubscribed::SERVER,
    }
}

#[test]
fn an_ordered_subscription_is_pushed() {
    let options = ChannelOptions {
        join_leave: true,
        force_positioning: true,
        ..plain()
    };
    let mut desk = Desk::live_with(options);
    assert_eq!(
        desk.order(subscription("c", None)),
        ["await c", "ask join c"]
    );
    assert_eq!(
        desk.answer(joined(3)),
        [
            "push subscribe c e@3",
            "enter c e@3 positioned",
            "announce join c 42"
        ]
    );
    assert_eq!(desk.order(subscription("c", None)), [""; 0], "it has it");
}

#[test]
fn what_an_ordered_subscription_recovers_follows_as_pushes() {
    let options = ChannelOptions {
        force_recovery: true,
        ..everything()
    };
    let mut desk = Desk::live_with(options);
    desk.order(subscription("c", Some(at("e", 2))));
    assert_eq!(
        desk.answer(recovered(at("e", 2), 1..=4)),
        [
            "push subscribe c recoverable e@2",
            "push publication c 3",
            "push publication c 4",
            "enter c e@4 positioned",
        ]
    );
}

#[test]
fn an_ordered_subscription_that_fails_is_never_told() {
    let mut desk = Desk::live();
    desk.order(subscription("c", None));
    assert_eq!(desk.answer(failed()), ["leave c", "absent c"]);
    assert_eq!(desk.order(subscription("no:c", None)), [""; 0]);
}

#[test]
fn more_than_the_limit_is_no_reason_to_ignore_an_order() {
    let settings = Settings {
        channel_limit: 1,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings, plain());
    desk.go_live();
    desk.order(subscription("a", None));
    assert_eq!(
        desk.order(subscription("b", None)),
        ["leave a", "close 3505"]
    );
}

#[test]
fn an_order_ends_one_subscription_or_all() {
    let mut desk = Desk::live_with(plain());
    for name in ["a", "b", "c"] {
        desk.ask(subscribe(name));
        desk.answer(joined(0));
    }
    assert_eq!(
        desk.order(end(Some("b"))),
        ["leave b", "push unsubscribe b 2000"]
    );
    assert_eq!(desk.order(end(Some("b"))), [""; 0]);
    assert_eq!(
        desk.order(end(None)),
        [
            "leave a",
            "push unsubscribe a 2000",
            "leave c",
            "push unsubscribe c 2000"
        ]
    );
}

#[test]
fn an_order_ends_the_session_in_every_state() {
    let order = || Order::Disconnect(Disconnect::FORCE_DISCONNECT);
    assert_eq!(Desk::live().order(order()), ["close 3503"]);
    let mut connecting = Desk::new(plain());
    connecting.ask(Request::Connect(Box::default()));
    assert_eq!(connecting.order(order()), ["close 3503"]);
}

#[test]
fn other_orders_are_for_live_sessions_alone() {
    let message = || Order::Message(b"1".as_slice().into());
    assert_eq!(Desk::new(plain()).order(message()), [""; 0]);
    assert_eq!(Desk::new(plain()).order(subscription("c", None)), [""; 0]);
    assert_eq!(Desk::live().order(message()), ["push message"]);
}

#[test]
fn an_order_moves_the_expiry_of_the_connection() {
    let refresh = |expire_at| Order::Refresh {
        expire_at,
        info: None,
    };
    let mut desk = Desk::live();
    let soon = desk.clock.unix_in(5);
    assert_eq!(desk.order(refresh(Some(soon))), ["push refresh ttl 5"]);
    assert_eq!(desk.order(refresh(None)), ["push refresh"]);
    assert_eq!(desk.patience(), Some(12.5), "only the ping is left");
    let now = desk.clock.unix_in(0);
    assert_eq!(desk.order(refresh(Some(now))), ["close 3005"]);
}

#[test]
fn an_order_replaces_what_the_connection_tells_about_itself() {
    let mut desk = Desk::live();
    let grant = Grant {
        info: Some(b"9".as_slice().into()),
        ..Grant::default()
    };
    desk.order(Order::Subscribe {
        channel: channel("c"),
        grant,
        recover: None,
    });
    desk.answer(joined(0));
    let refresh = || Order::Refresh {
        expire_at: None,
        info: Some(b"2".as_slice().into()),
    };
    assert_eq!(
        desk.order(refresh()),
        ["present c (2) 9", "push refresh"],
        "others see it too"
    );
    assert_eq!(desk.order(refresh()), ["push refresh"], "nothing is new");
    let publish = |channel: &str| Request::Publish {
        channel: channel.into(),
        data: b"1".as_slice().into(),
        kind: 0,
    };
    assert_eq!(desk.ask(publish("c")), ["ask publish c by 42 (2) 9"]);
}

#[test]
fn only_a_session_that_has_been_the_only_one_gives_way_to_another() {
    let mut desk = Desk::live();
    let client = desk.session.client();
    let claim = |at| Claim { at, client };
    assert_eq!(desk.order(Order::Yield(claim(10))), [""; 0]);
    assert_eq!(desk.order(Order::Claim(5)), [""; 0]);
    assert_eq!(desk.order(Order::Claim(7)), [""; 0], "the first one stays");
    assert_eq!(desk.order(Order::Yield(claim(5))), [""; 0], "its own");
    let again = desk.order(Order::Yield(claim(4)));
    assert_eq!(again, ["supersede 42"], "it is the newer one");
    let said = desk.order(Order::Yield(claim(6)));
    assert!(said.iter().any(|line| line.contains("3504")), "{said:?}");
}
