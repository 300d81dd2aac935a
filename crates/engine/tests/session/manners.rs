//! What clients of different transports can say: sections 15 and 16 of the client protocol.

use campanile_engine::ask::Answer;
use campanile_engine::authority::Credentials;
use campanile_engine::session::Input;
use campanile_engine::settings::Settings;
use campanile_protocol::codec::DecodeError;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::Request;
use campanile_protocol::wire::{Encoding, Wire};
use campanile_protocol::{Command, Disconnect, Refusal};

use super::desk::{
    Desk, Said, connect_with, connected, credentials, everything, joined, plain, subscribe,
};

const UNIDIRECTIONAL: [Wire; 3] = [Wire::UniWebSocket, Wire::UniStream, Wire::UniEvents];
const EMULATED: [Wire; 2] = [Wire::Stream(Encoding::Json), Wire::Events];

fn over(wire: Wire, outcome: Answer) -> (Desk, Said) {
    let mut desk = Desk::over(wire, Settings::default(), plain());
    desk.ask(Request::Connect(Box::default()));
    let said = desk.answer(outcome);
    (desk, said)
}

#[test]
fn a_client_that_only_listens_is_told_by_a_push_that_it_is_connected() {
    for wire in UNIDIRECTIONAL {
        let (_, said) = over(wire, connected(credentials()));
        assert_eq!(
            said,
            ["enroll 42", "push connect ping 25 pong false"],
            "{wire:?}"
        );
    }
    for wire in EMULATED {
        let (_, said) = over(wire, connected(credentials()));
        assert_eq!(said, ["enroll 42", "1: connect ping 25 pong true"]);
    }
}

#[test]
fn an_error_that_no_reply_can_carry_ends_the_session() {
    let refused = |refusal| Answer::Connect(Err(Rejection::Refuse(refusal)));
    for (refusal, end) in [
        (Refusal::TOKEN_EXPIRED, "close 3005"),
        (Refusal::EXPIRED, "close 3005"),
        (Refusal::TOO_MANY_REQUESTS, "close 3013"),
        (Refusal::PERMISSION_DENIED, "close 3507"),
        (Refusal::UNKNOWN_CHANNEL, "close 3004"),
        (Refusal::INTERNAL, "close 3004"),
    ] {
        for wire in UNIDIRECTIONAL {
            let (_, said) = over(wire, refused(refusal.clone()));
            assert_eq!(said, [end], "{wire:?}");
        }
        let (_, said) = over(Wire::Events, refused(refusal.clone()));
        assert!(said[0].starts_with("1: error"), "{said:?}");
    }
    let expired = Disconnect::INVALID_TOKEN;
    let (_, said) = over(
        Wire::UniEvents,
        Answer::Connect(Err(Rejection::Disconnect(expired))),
    );
    assert_eq!(said, ["close 3500"]);
}

#[test]
fn nothing_is_heard_of_a_client_that_has_said_who_it_is() {
    let (mut desk, _) = over(Wire::UniWebSocket, connected(credentials()));
    for input in [
        Input::Malformed(DecodeError::Malformed),
        Input::Command(Command::Pong),
        Input::Command(Command::Send {
            data: b"1".as_slice().into(),
        }),
    ] {
        assert_eq!(desk.feed(input), Vec::<String>::new());
    }
    assert!(desk.ask(Request::Connect(Box::default())).is_empty());
    assert!(desk.ask(subscribe("c")).is_empty());
    assert!(desk.session.is_live());
}

#[test]
fn a_client_that_cannot_say_who_it_is_is_refused() {
    let mut desk = Desk::over(Wire::UniWebSocket, Settings::default(), plain());
    assert!(
        desk.command(Command::Pong).is_empty(),
        "RFC 6455 allows pongs at any time"
    );
    assert_eq!(
        desk.feed(Input::Malformed(DecodeError::Malformed)),
        ["close 3501"]
    );
}

#[test]
fn a_client_that_cannot_answer_is_pinged_and_not_missed() {
    for wire in [Wire::UniStream, Wire::UniEvents] {
        let (mut desk, _) = over(wire, connected(credentials()));
        for _ in 0..10 {
            let wait = desk.patience().unwrap();
            assert_eq!(desk.pass(wait), ["ping"], "{wire:?}");
            assert_eq!(desk.patience(), Some(25.0));
        }
    }
}

#[test]
fn a_client_that_can_answer_natively_is_missed() {
    let (mut desk, _) = over(Wire::UniWebSocket, connected(credentials()));
    let wait = desk.patience().unwrap();
    assert_eq!(desk.pass(wait), ["ping"]);
    assert!(desk.command(Command::Pong).is_empty());
    let wait = desk.patience().unwrap();
    assert_eq!(desk.pass(wait), ["ping"]);
    assert_eq!(desk.pass(8.0), ["close 3012"]);
}

#[test]
fn the_session_of_a_client_that_cannot_refresh_ends_behind_its_token() {
    let expiring = Credentials {
        expire_at: Some(1_700_000_003 + 60),
        ..credentials()
    };
    let (mut desk, said) = over(Wire::UniStream, connected(expiring));
    assert_eq!(said[1], "push connect ping 25 pong false ttl 60");
    assert_eq!(desk.pass(84.0), ["ping"]);
    assert_eq!(desk.pass(1.0), ["close 3005"]);
}

#[test]
fn what_a_client_wishes_for_is_told_with_the_connect_push() {
    let mut desk = Desk::over(Wire::UniEvents, Settings::default(), everything());
    desk.ask(connect_with(&[("c", None)]));
    let said = desk.answer(connected(credentials()));
    assert_eq!(said, ["await c", "ask join c present"]);
    let said = desk.answer(joined(3));
    assert_eq!(said[0], "enroll 42");
    assert!(
        said[1].starts_with("push connect ping 25 pong false c("),
        "{said:?}"
    );
}
