//! Sessions that are found by a secret: section 15.3 of the client protocol.

use campanile_engine::shard::{Errand, Secret, SessionKey};
use campanile_engine::testkit::{Driver, Setup};
use campanile_protocol::wire::{Encoding, Wire};
use futures_util::FutureExt as _;
use serde_json::Value;

/// A live session over `wire`, and what it was told when it connected.
fn live(driver: &mut Driver, shard: usize, wire: Wire, number: u8) -> (SessionKey, Value) {
    let (now, node) = (driver.now(), driver.node.clone());
    let shard = &mut driver.workers[shard].shard;
    let key = shard.open(now, wire, [[number; 16], [number + 100; 16]], None);
    if wire == Wire::UniStream {
        let request = campanile_protocol::command::ConnectRequest::default();
        shard.connect(now, key, Ok(request));
    } else {
        shard.receive(now, key, wire.commands(br#"{"id":1,"connect":{}}"#));
    }
    let mut errands = Vec::new();
    shard.take_errands(&mut errands);
    let Some(Errand::Ask(_, ticket, ask)) = errands.pop() else {
        panic!("nothing is asked")
    };
    let answer = node
        .ask(shard.id(), ask)
        .now_or_never()
        .expect("it is known at once");
    shard.answer(now, key, ticket, answer);
    let outbox = shard.outbox(key).expect("it is open");
    let mut slices = [std::io::IoSlice::new(&[]); 1];
    assert_eq!(outbox.slices(&mut slices), 1);
    let said: Value = serde_json::from_slice(&slices[0]).unwrap_or_default();
    (key, said["connect"].clone())
}

fn secret(told: &Value) -> Secret {
    let text = told["session"].as_str().expect("it is told");
    Secret::parse(text).expect("it is a secret")
}

#[test]
fn an_emulated_session_is_found_by_its_secret_until_it_ends() {
    let mut driver = Driver::new(Setup {
        shards: 2,
        ..Setup::default()
    });
    let (key, told) = live(&mut driver, 1, Wire::Stream(Encoding::Json), 1);
    assert_eq!(told["node"], driver.node.id());
    assert_ne!(told["session"], told["client"], "the client is no secret");
    let secret = secret(&told);
    assert_eq!(secret.shard(), 1);
    let now = driver.now();
    assert_eq!(driver.workers[0].shard.find_by_secret(secret), None);
    let shard = &mut driver.workers[1].shard;
    assert_eq!(shard.find_by_secret(secret), Some(key));
    shard.release(now, key);
    assert_eq!(shard.find_by_secret(secret), None);
    assert_eq!(shard.secret_count(), 0);
}

#[test]
fn a_session_that_takes_the_place_of_another_has_its_own_secret() {
    let mut driver = Driver::new(Setup::default());
    let (old, told) = live(&mut driver, 0, Wire::Stream(Encoding::Json), 1);
    let now = driver.now();
    driver.workers[0].shard.release(now, old);
    let (new, _) = live(&mut driver, 0, Wire::Stream(Encoding::Json), 2);
    assert_eq!(old.index, new.index, "places are used again");
    let shard = &mut driver.workers[0].shard;
    assert_eq!(shard.find_by_secret(secret(&told)), None);
    shard.release(now, old);
    assert_eq!(shard.secret_count(), 1, "an old key forgets nothing");
}

#[test]
fn nobody_speaks_to_a_session_that_cannot_be_spoken_to() {
    let mut driver = Driver::new(Setup::default());
    let (_, told) = live(&mut driver, 0, Wire::UniStream, 1);
    assert!(told["node"].is_null(), "{told}");
    let shard = &driver.workers[0].shard;
    assert_eq!(shard.find_by_secret(secret(&told)), None);
}

#[test]
fn ordinary_sessions_have_no_secret() {
    let mut driver = Driver::new(Setup::default());
    driver.connect(0, "42");
    assert_eq!(driver.workers[0].shard.secret_count(), 0);
}
