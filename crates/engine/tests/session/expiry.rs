//! What runs out and how it is renewed: sections 6.6 and 7.4 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::{Credentials, Grant, TokenGrant, TokenRefusal};
use campanile_engine::session::{Input, Order};
use campanile_engine::testkit::channel;
use campanile_protocol::Command;
use campanile_protocol::command::{Request, SubscribeRequest};

use super::desk::{
    Desk, Said, connected, credentials, everything, joined, plain, subscribe_with, token_grant,
};

fn expiring(desk: &Desk, seconds: i64) -> Credentials {
    Credentials {
        expire_at: Some(desk.clock.unix_in(seconds)),
        ..credentials()
    }
}

/// A live session whose credentials run out in 60 seconds.
fn mortal() -> Desk {
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    let credentials = expiring(&desk, 60);
    desk.answer(connected(credentials));
    desk
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

#[test]
fn a_connection_that_is_not_renewed_ends_after_a_delay() {
    let mut desk = mortal();
    assert_eq!(live_through(&mut desk, 84.9), [""; 0]);
    assert_eq!(live_through(&mut desk, 0.2), ["close 3005"]);
}

#[test]
fn a_renewed_connection_goes_on() {
    let mut desk = mortal();
    live_through(&mut desk, 55.0);
    assert_eq!(
        desk.ask(Request::Refresh { token: "t".into() }),
        ["ask refresh t"]
    );
    let renewed = expiring(&desk, 100);
    assert_eq!(
        desk.answer(Answer::Refresh(Ok(renewed))),
        ["2: refresh ttl 100"]
    );
    assert_eq!(live_through(&mut desk, 124.9), [""; 0]);
    assert_eq!(live_through(&mut desk, 0.2), ["close 3005"]);
}

#[test]
fn a_token_without_an_expiry_cancels_the_old_one() {
    let mut desk = mortal();
    desk.ask(Request::Refresh { token: "t".into() });
    assert_eq!(
        desk.answer(Answer::Refresh(Ok(credentials()))),
        ["2: refresh"]
    );
    assert_eq!(live_through(&mut desk, 1000.0), [""; 0]);
}

#[test]
fn a_bad_refresh_ends_the_session() {
    assert_eq!(
        mortal().ask(Request::Refresh {
            token: String::new()
        }),
        ["close 3501"]
    );
    let others = Credentials {
        user: campanile_protocol::UserId::new("43"),
        ..credentials()
    };
    let subscribed = Credentials {
        subscriptions: vec![("c".into(), Grant::default())],
        ..credentials()
    };
    let stale = Credentials {
        expire_at: Some(1),
        ..credentials()
    };
    for (outcome, end) in [
        (Err(TokenRefusal::Expired), "close 3005"),
        (Err(TokenRefusal::Invalid), "close 3500"),
        (Ok(others), "close 3500"),
        (Ok(subscribed), "close 3010"),
        (Ok(stale), "close 3005"),
    ] {
        let mut desk = mortal();
        desk.ask(Request::Refresh { token: "t".into() });
        assert_eq!(desk.answer(Answer::Refresh(outcome)), [end]);
    }
}

#[test]
fn a_refresh_that_nobody_can_judge_leaves_the_session_as_it_was() {
    let mut desk = mortal();
    desk.ask(Request::Refresh { token: "t".into() });
    let said = desk.answer(Answer::Refresh(Err(TokenRefusal::Unavailable)));
    assert_eq!(said, ["2: error 100, try again"]);
    desk.ask(Request::Refresh { token: "t".into() });
    let said = desk.answer(Answer::Refresh(Ok(credentials())));
    assert_eq!(said, ["3: refresh"]);
    assert_eq!(live_through(&mut desk, 1000.0), [""; 0]);
}

#[test]
fn a_refresh_replaces_the_connections_info_unless_it_has_none() {
    let with = |info: Option<&[u8]>| Credentials {
        info: info.map(Into::into),
        ..credentials()
    };
    let mut desk = Desk::new(everything());
    desk.ask(Request::Connect(Box::default()));
    desk.answer(connected(with(Some(b"1"))));
    desk.ask(subscribe_with(SubscribeRequest {
        channel: "c".into(),
        token: "t".into(),
        ..SubscribeRequest::default()
    }));
    let grant = Grant {
        info: Some(b"9".as_slice().into()),
        ..Grant::default()
    };
    desk.answer(Answer::Grant(Ok(token_grant("c", grant))));
    desk.answer(joined(0));
    for (info, published) in [(None, "1"), (Some(&b"2"[..]), "2")] {
        desk.ask(Request::Refresh { token: "t".into() });
        desk.answer(Answer::Refresh(Ok(with(info))));
        let said = desk.ask(Request::Publish {
            channel: "c".into(),
            data: b"1".as_slice().into(),
            kind: 0,
        });
        assert_eq!(said, [format!("ask publish c by 42 ({published}) 9")]);
        desk.answer(Answer::Reply(Ok(campanile_protocol::ReplyBody::Publish)));
    }
}

#[test]
fn a_refresh_replaces_what_the_application_keeps() {
    let with = |meta: Option<&[u8]>| Credentials {
        meta: meta.map(Into::into),
        ..credentials()
    };
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    desk.answer(connected(with(Some(b"1"))));
    assert_eq!(desk.session.meta().map(|meta| &**meta), Some(&b"1"[..]));
    for meta in [Some(&b"2"[..]), None] {
        desk.ask(Request::Refresh { token: "t".into() });
        desk.answer(Answer::Refresh(Ok(with(meta))));
        assert_eq!(desk.session.meta().map(|meta| &**meta), meta);
    }
}

#[test]
fn a_token_that_no_longer_subscribes_to_what_it_did_ends_the_session() {
    let subscribed = |names: &[&str]| Credentials {
        subscriptions: names
            .iter()
            .map(|name| ((*name).into(), Grant::default()))
            .collect(),
        ..credentials()
    };
    for (names, said) in [
        (&["a"][..], "2: refresh"),
        (&["b"], "leave a"),
        (&[], "leave a"),
    ] {
        let mut desk = Desk::new(plain());
        desk.ask(Request::Connect(Box::default()));
        desk.answer(connected(subscribed(&["a"])));
        desk.answer(joined(0));
        desk.ask(Request::Refresh { token: "t".into() });
        assert_eq!(desk.answer(Answer::Refresh(Ok(subscribed(names))))[0], said);
    }
}

/// A live session whose subscription to c runs out in 60 seconds.
fn subscribed() -> Desk {
    let mut desk = Desk::live_with(plain());
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
    desk
}

#[test]
fn a_subscription_that_is_not_renewed_ends_after_a_delay() {
    let mut desk = subscribed();
    assert_eq!(live_through(&mut desk, 84.9), [""; 0]);
    assert_eq!(
        live_through(&mut desk, 0.2),
        ["leave c", "push unsubscribe c 2501"]
    );
    assert_eq!(live_through(&mut desk, 100.0), [""; 0]);
}

#[test]
fn a_server_side_subscription_that_runs_out_ends_the_session() {
    let grant = |desk: &Desk| Grant {
        expire_at: Some(desk.clock.unix_in(60)),
        ..Grant::default()
    };
    let mut at_connect = Desk::new(plain());
    at_connect.ask(Request::Connect(Box::default()));
    let subscriptions = vec![("c".into(), grant(&at_connect))];
    at_connect.answer(connected(Credentials {
        subscriptions,
        ..credentials()
    }));
    assert!(at_connect.answer(joined(0))[1].ends_with(" c(ttl 60)"));

    let mut by_order = Desk::live_with(plain());
    let order = Order::Subscribe {
        channel: channel("c"),
        grant: grant(&by_order),
        recover: None,
    };
    by_order.order(order);
    by_order.answer(joined(0));

    for mut desk in [at_connect, by_order] {
        assert_eq!(live_through(&mut desk, 84.9), [""; 0]);
        assert_eq!(live_through(&mut desk, 0.2), ["leave c", "close 3006"]);
    }
}

fn renew(desk: &mut Desk, channel: &str, outcome: Result<TokenGrant, TokenRefusal>) -> Said {
    let request = Request::SubRefresh {
        channel: channel.into(),
        token: "t".into(),
        kind: 0,
    };
    assert_eq!(desk.ask(request), ["ask grant t"]);
    desk.answer(Answer::Grant(outcome))
}

#[test]
fn a_renewed_subscription_goes_on() {
    for channel in ["c", ""] {
        let mut desk = subscribed();
        live_through(&mut desk, 50.0);
        let grant = Grant {
            expire_at: Some(desk.clock.unix_in(100)),
            ..Grant::default()
        };
        let said = renew(&mut desk, channel, Ok(token_grant("c", grant)));
        assert_eq!(
            said,
            ["2: sub_refresh ttl 100"],
            "the token names the channel too"
        );
        assert_eq!(live_through(&mut desk, 124.9), [""; 0]);
        assert_eq!(live_through(&mut desk, 0.2)[0], "leave c");
    }
    let mut desk = subscribed();
    let forever = token_grant("c", Grant::default());
    assert_eq!(renew(&mut desk, "c", Ok(forever)), ["2: sub_refresh"]);
    assert_eq!(live_through(&mut desk, 1000.0), [""; 0]);
}

#[test]
fn a_renewal_replaces_what_the_subscription_tells_about_itself() {
    let mut desk = Desk::subscribed();
    let grant = Grant {
        info: Some(b"9".as_slice().into()),
        ..Grant::default()
    };
    renew(&mut desk, "c", Ok(token_grant("c", grant)));
    let publish = Request::Publish {
        channel: "c".into(),
        data: b"1".as_slice().into(),
        kind: 0,
    };
    assert_eq!(desk.ask(publish), ["ask publish c by 42 9"]);
}

#[test]
fn a_bad_renewal_has_its_code() {
    let sub_refresh = |channel: &str, token: &str| Request::SubRefresh {
        channel: channel.into(),
        token: token.into(),
        kind: 0,
    };
    assert_eq!(subscribed().ask(sub_refresh("d", "t")), ["2: error 103"]);
    assert_eq!(subscribed().ask(sub_refresh("d", "")), ["2: error 103"]);
    assert_eq!(subscribed().ask(sub_refresh("c", "")), ["2: error 107"]);
    for (kind, code) in [(1, 108), (2, 108), (3, 107), (-1, 107)] {
        let track = Request::SubRefresh {
            channel: "c".into(),
            token: String::new(),
            kind,
        };
        assert_eq!(
            subscribed().ask(track),
            [format!("2: error {code}")],
            "nobody tracks keys of a stream"
        );
    }
    let good = || token_grant("c", Grant::default());
    let stale = Grant {
        expire_at: Some(1),
        ..Grant::default()
    };
    for (outcome, said) in [
        (Err(TokenRefusal::Expired), ["2: error 109, try again"]),
        (Ok(token_grant("c", stale)), ["2: error 109, try again"]),
        (Err(TokenRefusal::Unavailable), ["2: error 100, try again"]),
    ] {
        assert_eq!(renew(&mut subscribed(), "c", outcome), said);
    }
    for outcome in [
        Err(TokenRefusal::Invalid),
        Ok(TokenGrant {
            channel: "d".into(),
            ..good()
        }),
        Ok(TokenGrant {
            user: "43".into(),
            ..good()
        }),
    ] {
        assert_eq!(
            renew(&mut subscribed(), "c", outcome),
            ["leave c", "close 3500"]
        );
    }
    let elsewhere = Ok(token_grant("d", Grant::default()));
    assert_eq!(renew(&mut subscribed(), "", elsewhere), ["2: error 103"]);
}

#[test]
fn a_lost_position_ends_the_subscription_or_the_session() {
    let mut desk = subscribed();
    let lost = || Input::Lost(channel("c"));
    assert_eq!(desk.feed(lost()), ["leave c", "push unsubscribe c 2500"]);
    assert_eq!(desk.feed(lost()), [""; 0]);

    let mut server_side = Desk::new(plain());
    server_side.ask(Request::Connect(Box::default()));
    let subscriptions = vec![("c".into(), Grant::default())];
    server_side.answer(connected(Credentials {
        subscriptions,
        ..credentials()
    }));
    server_side.answer(joined(0));
    assert_eq!(server_side.feed(lost()), ["leave c", "close 3010"]);
}
