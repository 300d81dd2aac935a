//! Which command is taken when, and pings: sections 4 and 5 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::session::Input;
use campanile_protocol::codec::DecodeError;
use campanile_protocol::command::{HistoryRequest, Request};
use campanile_protocol::{Command, Disconnect, Refusal};

use super::desk::{Desk, client, close, plain, subscribe, unsubscribe};

#[test]
fn nothing_but_connect_may_come_first() {
    let commands = [
        Command::Pong,
        Command::Send {
            data: Box::default(),
        },
        Command::Request {
            id: 1,
            request: subscribe("c"),
        },
        Command::Request {
            id: 1,
            request: Request::Refresh { token: "t".into() },
        },
    ];
    for command in commands {
        let mut desk = Desk::new(plain());
        let spelled = format!("{command:?}");
        assert_eq!(desk.command(command), ["close 3501"], "{spelled}");
        assert!(!desk.session.is_live() && desk.patience().is_none());
    }
}

#[test]
fn malformed_commands_end_the_session_in_every_state() {
    for error in [
        DecodeError::Empty,
        DecodeError::Malformed,
        DecodeError::UnknownCommand,
    ] {
        assert_eq!(
            Desk::new(plain()).feed(Input::Malformed(error)),
            ["close 3501"]
        );
        assert_eq!(Desk::live().feed(Input::Malformed(error)), ["close 3501"]);
    }
}

#[test]
fn a_second_connect_ends_the_session() {
    let mut desk = Desk::live();
    assert_eq!(desk.ask(Request::Connect(Box::default())), ["close 3501"]);
}

#[test]
fn while_connecting_commands_wait() {
    let mut desk = Desk::new(plain());
    assert!(!desk.is_waiting());
    assert_eq!(desk.ask(Request::Connect(Box::default())), ["ask connect"]);
    assert!(desk.is_waiting());
}

#[test]
fn who_does_not_connect_in_time_is_stale() {
    let mut desk = Desk::new(plain());
    assert_eq!(desk.patience(), Some(10.0));
    assert_eq!(desk.pass(9.9), [""; 0]);
    assert_eq!(desk.pass(0.1), ["close 3502"]);
}

#[test]
fn who_is_not_answered_in_time_is_told_to_come_again() {
    let mut asked = Desk::new(plain());
    asked.ask(Request::Connect(Box::default()));
    assert_eq!(asked.pass(10.0), ["close 3004"]);
}

#[test]
fn after_a_refused_connect_nothing_is_taken_and_the_connection_ends_soon() {
    let refused = || {
        let mut desk = Desk::new(plain());
        desk.ask(Request::Connect(Box::default()));
        let answer = Answer::Connect(Err(Refusal::TOKEN_EXPIRED.into()));
        assert_eq!(desk.answer(answer), ["1: error 109"]);
        desk
    };
    assert_eq!(
        refused().ask(Request::Connect(Box::default())),
        ["close 3501"]
    );
    assert_eq!(refused().command(Command::Pong), ["close 3501"]);
    assert_eq!(refused().pass(5.0), ["close 3000"]);
}

#[test]
fn a_connect_may_be_answered_with_a_disconnect() {
    let mut desk = Desk::new(plain());
    desk.ask(Request::Connect(Box::default()));
    let answer = Answer::Connect(Err(Disconnect::INVALID_TOKEN.into()));
    assert_eq!(desk.answer(answer), ["close 3500"]);
}

#[test]
fn requests_about_channels_name_one() {
    let requests = [
        subscribe(""),
        unsubscribe(""),
        Request::Publish {
            channel: String::new(),
            data: Box::default(),
            kind: 0,
        },
        Request::Presence {
            channel: String::new(),
        },
        Request::PresenceStats {
            channel: String::new(),
        },
        Request::History(Box::<HistoryRequest>::default()),
    ];
    for request in requests {
        let spelled = format!("{request:?}");
        assert_eq!(Desk::live().ask(request), ["close 3501"], "{spelled}");
    }
}

#[test]
fn what_the_server_does_not_have_is_not_available() {
    let rpc = Request::Rpc {
        method: "m".into(),
        data: Box::default(),
    };
    assert_eq!(Desk::live().ask(rpc), ["1: error 108"]);
    let send = Command::Send {
        data: Box::default(),
    };
    assert_eq!(Desk::live().command(send), ["close 3508"]);
}

#[test]
fn the_first_ping_comes_between_half_an_interval_and_a_whole_one() {
    let mut desk = Desk::live();
    assert_eq!(
        desk.patience(),
        Some(12.5),
        "the jitter of this session is 0"
    );
    assert_eq!(desk.pass(12.4), [""; 0]);
    assert_eq!(desk.pass(0.1), ["ping"]);
    assert_eq!(desk.patience(), Some(8.0));
}

#[test]
fn pings_keep_their_interval_whenever_the_pong_comes() {
    let mut desk = Desk::live();
    desk.pass(12.5);
    for late in [0.0, 3.0, 7.9] {
        assert_eq!(desk.pass(late), [""; 0]);
        assert_eq!(desk.command(Command::Pong), [""; 0]);
        assert_eq!(desk.patience(), Some(25.0 - late));
        assert_eq!(desk.pass(25.0 - late), ["ping"]);
    }
}

#[test]
fn who_does_not_answer_a_ping_is_gone() {
    let mut desk = Desk::live();
    desk.pass(12.5);
    assert_eq!(
        desk.ask(unsubscribe("c")),
        ["1: unsubscribe"],
        "only a pong counts"
    );
    assert_eq!(desk.pass(7.9), [""; 0]);
    assert_eq!(desk.pass(0.1), ["close 3012"]);
}

#[test]
fn a_pong_without_a_ping_breaks_the_protocol() {
    let mut unpinged = Desk::live();
    assert_eq!(unpinged.command(Command::Pong), ["close 3501"]);
    let mut twice = Desk::live();
    twice.pass(12.5);
    twice.command(Command::Pong);
    assert_eq!(twice.command(Command::Pong), ["close 3501"]);
}

#[test]
fn a_pong_that_waits_behind_our_own_answer_is_waited_for() {
    let mut desk = Desk::live();
    desk.ask(subscribe("c"));
    assert!(desk.is_waiting());
    assert_eq!(desk.pass(12.5), ["ping"]);
    assert_eq!(desk.pass(8.0), [""; 0]);
    desk.answer(super::desk::joined(0));
    assert_eq!(desk.command(Command::Pong), [""; 0]);
}

#[test]
fn a_closed_session_takes_and_says_nothing() {
    let mut desk = Desk::live();
    assert_eq!(close(&mut desk), ["close 3000"]);
    assert_eq!(close(&mut desk), [""; 0]);
    assert_eq!(desk.ask(subscribe("c")), [""; 0]);
    assert_eq!(desk.pass(1000.0), [""; 0]);
    assert!(desk.patience().is_none() && !desk.session.has_loose_ends());
    assert_eq!(desk.session.client(), client());
}
