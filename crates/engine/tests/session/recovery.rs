//! What is asked of a recovery, and of whom: sections 8.3 to 8.5 and 11 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::Grant;
use campanile_engine::channel::options::{ChannelOptions, DeltaType, RecoveryMode};
use campanile_engine::session::Order;
use campanile_engine::testkit::channel;
use campanile_protocol::Position;
use campanile_protocol::command::{FilterNode, SubscribeRequest};

use super::desk::{
    Desk, at, connect_with, connected, credentials, everything, joined, plain, recovered,
    subscribe_with, token_grant,
};

fn cache() -> ChannelOptions {
    ChannelOptions {
        force_recovery: true,
        force_recovery_mode: RecoveryMode::Cache,
        presence: false,
        ..everything()
    }
}

fn automatic() -> ChannelOptions {
    ChannelOptions {
        auto_cache_recover: true,
        ..cache()
    }
}

fn request(recover: Option<Position>) -> SubscribeRequest {
    SubscribeRequest {
        channel: "c".into(),
        recover,
        ..SubscribeRequest::default()
    }
}

fn filtered(cmp: &str) -> SubscribeRequest {
    let node = FilterNode {
        key: "a".into(),
        cmp: cmp.into(),
        ..FilterNode::default()
    };
    SubscribeRequest {
        filter: Some(Box::new(node)),
        ..request(None)
    }
}

#[test]
fn a_grant_may_bring_what_the_cache_has() {
    let joining = |options| {
        let mut desk = Desk::new(options);
        desk.ask(connect_with(&[]));
        let mut granted = credentials();
        let mut grant = Grant::as_configured();
        grant.recovers_cache = true;
        granted.subscriptions = vec![("c".into(), grant)];
        desk.answer(connected(granted))
    };
    let said = joining(cache());
    assert!(said.contains(&"ask join c @0 cache".to_owned()), "{said:?}");
    let said = joining(everything());
    assert!(said.contains(&"ask join c present".to_owned()), "{said:?}");
}

#[test]
fn a_cache_is_recovered_when_asked_or_by_itself() {
    let asked = |options, recover| {
        let mut desk = Desk::live_with(options);
        desk.ask(subscribe_with(request(recover))).remove(1)
    };
    assert_eq!(asked(cache(), None), "ask join c");
    assert_eq!(asked(cache(), Some(at("e", 2))), "ask join c e@2 cache");
    assert_eq!(asked(automatic(), None), "ask join c @0 cache");
    assert_eq!(
        asked(automatic(), Some(at("e", 2))),
        "ask join c e@2 cache",
        "a client that says where it stands is believed"
    );
}

#[test]
fn a_cache_that_recovers_by_itself_says_that_it_did() {
    let mut desk = Desk::live_with(automatic());
    desk.ask(subscribe_with(request(None)));
    let said = desk.answer(recovered(at("", 0), 1..=1));
    assert_eq!(
        said[0],
        "1: subscribe positioned recoverable e@0 was_recovering recovered [1]"
    );
    assert_eq!(said[1], "enter c e@1 positioned latest");
}

#[test]
fn subscriptions_of_the_server_recover_a_cache_too() {
    let mut desk = Desk::new(automatic());
    let mut credentials = credentials();
    credentials.subscriptions = vec![("c".into(), Grant::default())];
    desk.ask(connect_with(&[]));
    let said = desk.answer(connected(credentials));
    assert_eq!(said.last().unwrap(), "ask join c @0 cache");
    let said = desk.answer(recovered(at("", 0), 1..=1));
    assert!(said[1].contains("c(positioned recoverable e@0 was_recovering recovered [1])"));

    let mut desk = Desk::live_with(automatic());
    let said = desk.order(Order::Subscribe {
        channel: channel("c"),
        grant: Grant::default(),
        recover: None,
    });
    assert_eq!(said.last().unwrap(), "ask join c @0 cache");
    let said = desk.answer(recovered(at("", 0), 1..=1));
    assert_eq!(
        said,
        [
            "push subscribe c recoverable e@0",
            "push publication c 1",
            "enter c e@1 positioned latest",
        ]
    );
}

#[test]
fn a_cache_that_has_nothing_is_no_reason_to_refuse() {
    let mut desk = Desk::live_with(cache());
    desk.ask(subscribe_with(SubscribeRequest {
        flag: 2,
        ..request(Some(at("x", 9)))
    }));
    let said = desk.answer(recovered(at("x", 9), 1..=3));
    assert_eq!(
        said[0],
        "1: subscribe positioned recoverable e@3 was_recovering"
    );
}

#[test]
fn a_filter_needs_leave_and_has_to_make_sense() {
    let allowing = || ChannelOptions {
        allow_tags_filter: true,
        ..plain()
    };
    let asked = |options, request| Desk::live_with(options).ask(subscribe_with(request));
    assert_eq!(asked(allowing(), filtered("ex")), ["await c", "ask join c"]);
    assert_eq!(asked(plain(), filtered("ex")), ["1: error 107"]);
    assert_eq!(asked(allowing(), filtered("like")), ["1: error 107"]);

    let mut desk = Desk::live_with(allowing());
    desk.ask(subscribe_with(filtered("ex")));
    assert_eq!(
        desk.answer(joined(3)),
        ["1: subscribe", "enter c e@3 filtered"]
    );
}

#[test]
fn a_filter_is_looked_at_behind_all_other_checks() {
    let private = SubscribeRequest {
        channel: "$c".into(),
        ..filtered("like")
    };
    let mut desk = Desk::live_with(plain());
    assert_eq!(desk.ask(subscribe_with(private.clone())), ["1: error 103"]);
    let token = SubscribeRequest {
        token: "t".into(),
        ..private
    };
    desk.ask(subscribe_with(token));
    let expired = Grant {
        expire_at: Some(1),
        ..Grant::default()
    };
    let said = desk.answer(Answer::Grant(Ok(token_grant("$c", expired))));
    assert_eq!(said, ["2: error 110"]);
}

#[test]
fn a_filter_goes_along_with_a_recovery() {
    let mut desk = Desk::live_with(ChannelOptions {
        allow_tags_filter: true,
        ..cache()
    });
    let request = SubscribeRequest {
        recover: Some(at("e", 2)),
        ..filtered("nex")
    };
    assert_eq!(
        desk.ask(subscribe_with(request))[1],
        "ask join c e@2 cache filtered"
    );
}

#[test]
fn a_filter_goes_before_deltas_and_deltas_before_the_latest_alone() {
    let options = || ChannelOptions {
        allow_tags_filter: true,
        allowed_delta_types: vec![DeltaType::Fossil],
        ..automatic()
    };
    let entered = |request| {
        let mut desk = Desk::live_with(options());
        desk.ask(subscribe_with(SubscribeRequest {
            delta: "fossil".into(),
            ..request
        }));
        desk.answer(recovered(at("", 0), 1..=1)).remove(1)
    };
    assert_eq!(entered(request(None)), "enter c e@1 positioned deltas");
    assert_eq!(
        entered(filtered("nex")),
        "enter c e@1 positioned latest filtered"
    );
}
