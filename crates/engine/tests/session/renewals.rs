//! What runs out and is renewed by the application: sections 6.6 and 7.4 of the client protocol.

use campanile_engine::application::{Interests, Lapse, Renewal};
use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::session::Order;
use campanile_engine::settings::Settings;
use campanile_protocol::Command;
use campanile_protocol::command::{Request, SubscribeRequest};

use super::desk::{
    Desk, Said, connected, credentials, everything, joined, subscribe_with, token_grant,
    unsubscribe,
};

fn renewing() -> Settings {
    Settings {
        interests: Interests::REFRESH | Interests::SUB_REFRESH,
        ..Settings::default()
    }
}

/// A live session whose credentials run out in 60 seconds.
fn mortal() -> Desk {
    let mut desk = Desk::with(renewing(), everything());
    desk.ask(Request::Connect(Box::default()));
    let credentials = Credentials {
        expire_at: Some(desk.clock.unix_in(60)),
        ..credentials()
    };
    let said = desk.answer(connected(credentials));
    assert_eq!(
        said[1], "1: connect ping 25 pong true",
        "an expiry is no business of the client"
    );
    desk
}

/// A live session whose subscription to c runs out in 60 seconds.
fn subscribed() -> Desk {
    let mut desk = Desk::with(renewing(), everything());
    desk.go_live();
    subscribe(&mut desk);
    desk
}

fn subscribe(desk: &mut Desk) {
    desk.ask(subscribe_with(SubscribeRequest {
        channel: "c".into(),
        token: "t".into(),
        ..SubscribeRequest::default()
    }));
    let grant = Grant {
        expire_at: Some(desk.clock.unix_in(60)),
        ..Grant::default()
    };
    desk.answer(Answer::Grant(Ok(token_grant("c", grant))));
    assert!(desk.answer(joined(0))[0].ends_with(": subscribe"));
}

/// Lets time pass with every ping answered; returns what else was said.
fn live_through(desk: &mut Desk, mut seconds: f64) -> Said {
    let mut all = Vec::new();
    while let Some(patience) = desk.patience().filter(|_| seconds > 0.0) {
        let step = patience.clamp(0.001, seconds);
        seconds -= step;
        for said in desk.pass(step) {
            if said == "ping" {
                desk.command(Command::Pong);
            } else {
                all.push(said);
            }
        }
    }
    all
}

fn until(desk: &Desk, seconds: i64) -> Renewal {
    Renewal {
        expire_at: Some(desk.clock.unix_in(seconds)),
        ..Renewal::default()
    }
}

const ASKED: [&str; 1] = ["ask renewal about 42"];
const ASKED_ABOUT_C: [&str; 1] = ["ask renewal of c about 42"];

#[test]
fn a_connection_that_runs_out_is_asked_about_and_goes_on_meanwhile() {
    let mut desk = mortal();
    assert_eq!(live_through(&mut desk, 59.9), [""; 0]);
    assert_eq!(live_through(&mut desk, 0.2), ASKED);
    assert!(!desk.is_waiting(), "its client need not know");
    assert_eq!(live_through(&mut desk, 500.0), [""; 0]);
    let renewal = until(&desk, 100);
    assert_eq!(desk.answer(Answer::Renewal(Ok(renewal))), [""; 0]);
    assert_eq!(live_through(&mut desk, 99.0), [""; 0]);
    assert_eq!(live_through(&mut desk, 1.1), ASKED);
    let forever = Answer::Renewal(Ok(Renewal::default()));
    assert_eq!(desk.answer(forever), [""; 0]);
    assert_eq!(live_through(&mut desk, 1000.0), [""; 0]);
}

#[test]
fn a_connection_that_is_not_renewed_ends() {
    for outcome in [
        Err(Lapse::Ended),
        Ok(Renewal {
            expire_at: Some(1),
            ..Renewal::default()
        }),
    ] {
        let mut desk = mortal();
        live_through(&mut desk, 60.1);
        assert_eq!(desk.answer(Answer::Renewal(outcome)), ["close 3005"]);
    }
}

#[test]
fn what_nobody_can_tell_is_asked_again_after_a_minute() {
    for (mut desk, asked) in [(mortal(), ASKED), (subscribed(), ASKED_ABOUT_C)] {
        assert_eq!(live_through(&mut desk, 60.1), asked);
        for _ in 0..3 {
            desk.answer(Answer::Renewal(Err(Lapse::Unavailable)));
            assert_eq!(live_through(&mut desk, 59.8), [""; 0]);
            assert_eq!(live_through(&mut desk, 0.3), asked);
        }
    }
}

#[test]
fn a_renewal_replaces_only_what_it_brings() {
    let mut desk = mortal();
    for (info, meta) in [(Some("1"), Some("2")), (None, None)] {
        live_through(&mut desk, 60.1);
        let renewal = Renewal {
            info: info.map(|info| info.as_bytes().into()),
            meta: meta.map(|meta| meta.as_bytes().into()),
            ..until(&desk, 60)
        };
        desk.answer(Answer::Renewal(Ok(renewal)));
        assert_eq!(desk.session.meta().map(|meta| &**meta), Some(&b"2"[..]));
        let publish = Request::Publish {
            channel: "c".into(),
            data: b"1".as_slice().into(),
            kind: 0,
        };
        assert_eq!(desk.ask(publish), ["ask publish c by 42 (1)"]);
        desk.answer(Answer::Reply(Ok(campanile_protocol::ReplyBody::Publish)));
    }
}

#[test]
fn clients_do_not_renew_what_the_application_renews() {
    let refresh = Request::Refresh { token: "t".into() };
    assert_eq!(mortal().ask(refresh), ["close 3501"]);
    let sub_refresh = |channel: &str| Request::SubRefresh {
        channel: channel.into(),
        token: "t".into(),
        kind: 0,
    };
    assert_eq!(
        subscribed().ask(sub_refresh("c")),
        ["leave c", "absent c", "close 3501"]
    );
    assert_eq!(subscribed().ask(sub_refresh("d")), ["2: error 103"]);
}

#[test]
fn clients_renew_where_the_application_is_not_asked() {
    let options = ChannelOptions {
        unasked: Interests::SUB_REFRESH,
        ..everything()
    };
    let mut desk = Desk::with(renewing(), options);
    desk.go_live();
    desk.ask(subscribe_with(SubscribeRequest {
        channel: "c".into(),
        token: "t".into(),
        ..SubscribeRequest::default()
    }));
    let grant = Grant {
        expire_at: Some(desk.clock.unix_in(60)),
        ..Grant::default()
    };
    desk.answer(Answer::Grant(Ok(token_grant("c", grant))));
    assert_eq!(desk.answer(joined(0))[0], "1: subscribe ttl 60");
    assert_eq!(
        live_through(&mut desk, 85.1),
        ["leave c", "absent c", "push unsubscribe c 2501"]
    );
}

#[test]
fn an_order_about_the_expiry_settles_what_the_application_was_asked() {
    let mut desk = mortal();
    live_through(&mut desk, 60.1);
    let order = Order::Refresh {
        expire_at: Some(desk.clock.unix_in(100)),
        info: None,
    };
    assert_eq!(desk.order(order), ["push refresh"]);
    assert_eq!(desk.answer(Answer::Renewal(Err(Lapse::Ended))), [""; 0]);
    assert_eq!(live_through(&mut desk, 99.0), [""; 0]);
    assert_eq!(live_through(&mut desk, 1.1), ASKED);
}

#[test]
fn a_subscription_that_runs_out_is_asked_about_and_goes_on_meanwhile() {
    let mut desk = subscribed();
    assert_eq!(live_through(&mut desk, 59.9), [""; 0]);
    assert_eq!(live_through(&mut desk, 0.2), ASKED_ABOUT_C);
    assert_eq!(live_through(&mut desk, 500.0), [""; 0]);
    let renewal = Renewal {
        info: Some(b"9".as_slice().into()),
        ..until(&desk, 100)
    };
    let said = desk.answer(Answer::Renewal(Ok(renewal)));
    assert_eq!(said, ["present c () 9"]);
    let publish = Request::Publish {
        channel: "c".into(),
        data: b"1".as_slice().into(),
        kind: 0,
    };
    assert_eq!(desk.ask(publish), ["ask publish c by 42 9"]);
    desk.answer(Answer::Reply(Ok(campanile_protocol::ReplyBody::Publish)));
    assert_eq!(live_through(&mut desk, 99.0), [""; 0]);
    assert_eq!(live_through(&mut desk, 1.1), ASKED_ABOUT_C);
    assert_eq!(
        desk.answer(Answer::Renewal(Err(Lapse::Ended))),
        ["leave c", "absent c", "push unsubscribe c 2501"]
    );
}

#[test]
fn a_server_side_subscription_that_is_not_renewed_ends_the_session() {
    let mut desk = Desk::with(renewing(), everything());
    desk.ask(Request::Connect(Box::default()));
    let grant = Grant {
        expire_at: Some(desk.clock.unix_in(60)),
        ..Grant::default()
    };
    desk.answer(connected(Credentials {
        subscriptions: vec![("c".into(), grant)],
        ..credentials()
    }));
    assert!(desk.answer(joined(0))[1].ends_with(" c()"));
    assert_eq!(live_through(&mut desk, 60.1), ASKED_ABOUT_C);
    assert_eq!(
        desk.answer(Answer::Renewal(Err(Lapse::Ended))),
        ["leave c", "absent c", "close 3006"]
    );
}

#[test]
fn an_answer_about_a_subscription_is_not_for_its_successor() {
    let mut desk = subscribed();
    assert_eq!(live_through(&mut desk, 60.1), ASKED_ABOUT_C);
    desk.ask(unsubscribe("c"));
    assert!(!desk.session.has_loose_ends());
    assert_eq!(desk.answer(Answer::Renewal(Err(Lapse::Ended))), [""; 0]);
    subscribe(&mut desk);
    assert_eq!(live_through(&mut desk, 60.1), ASKED_ABOUT_C);
}
