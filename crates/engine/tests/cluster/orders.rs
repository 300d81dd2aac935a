//! What is done to sessions wherever they are.

use std::time::Duration;

use campanile_engine::authority::Grant;
use campanile_engine::node::{NameFilter, Stray};
use campanile_engine::shard::Target;
use campanile_engine::testkit::{Driver, Nodes, Peer, Setup};
use campanile_protocol::command::EmulationRequest;
use campanile_protocol::{ClientId, Disconnect, Refusal};

use super::{SECOND, nodes};

/// One client of user 42 on each node.
fn clients(nodes: &mut Nodes) -> Vec<Peer> {
    let drivers = nodes.drivers.iter_mut();
    drivers.map(|driver| driver.connect(0, "42")).collect()
}

fn said(driver: &mut Driver, peer: &mut Peer) -> String {
    driver.read(peer).join("\n")
}

fn client_id(said: &str) -> ClientId {
    let connect: serde_json::Value = serde_json::from_str(said).expect("the server writes JSON");
    let client = connect["connect"]["client"].as_str();
    client.and_then(ClientId::parse).expect("it is live")
}

#[test]
fn orders_reach_the_sessions_of_all_nodes_and_are_counted() {
    let mut nodes = nodes(3);
    let mut peers = clients(&mut nodes);
    nodes.drivers[2].connect(0, "43");
    let node = nodes.node(0);
    let user = || Target::user("42");
    let subscribed = nodes.wait_for(node.subscribe(user(), "c", Grant::default(), None));
    assert_eq!(subscribed.1, Ok(3));
    assert_eq!(nodes.wait_for(node.send(user(), *b"1")).1, Ok(3));
    assert_eq!(nodes.wait_for(node.refresh(user(), None, None)).1, Ok(3));
    assert_eq!(nodes.wait_for(node.unsubscribe(user(), Some("c"))).1, Ok(3));
    assert_eq!(nodes.wait_for(node.send(Target::Everybody, *b"2")).1, Ok(4));
    let end = node.disconnect(user(), Disconnect::FORCE_RECONNECT);
    let (waited, ended) = nodes.wait_for(end);
    assert_eq!((waited, ended), (Duration::ZERO, Ok(3)));
    for (driver, peer) in nodes.drivers.iter_mut().zip(&mut peers) {
        let said = said(driver, peer);
        let order = [
            r#""subscribe":{"#,
            "message",
            "refresh",
            "unsubscribe",
            "message",
            "close",
        ];
        let mut from = 0;
        for word in order {
            from += said[from..]
                .find(word)
                .unwrap_or_else(|| panic!("{word}: {said}"));
        }
    }
}

#[test]
fn an_order_for_one_session_finds_it_wherever_it_is() {
    let mut nodes = nodes(3);
    let mut peers = clients(&mut nodes);
    let ids = nodes.drivers.iter_mut().zip(&mut peers);
    let ids: Vec<_> = ids
        .map(|(driver, peer)| client_id(&driver.read(peer)[0]))
        .collect();
    let node = nodes.node(0);
    for id in ids {
        let target = Target::User {
            user: "42".into(),
            only: Some(id),
            spared: Vec::new(),
        };
        assert_eq!(nodes.wait_for(node.send(target, *b"1")).1, Ok(1));
    }
    for (driver, peer) in nodes.drivers.iter_mut().zip(&mut peers) {
        assert_eq!(driver.read(peer).len(), 1);
    }
}

#[test]
fn a_node_that_does_not_answer_is_no_success() {
    let mut nodes = nodes(3);
    let mut peers = clients(&mut nodes);
    nodes.suspend(2);
    let node = nodes.node(0);
    let end = node.disconnect(Target::user("42"), Disconnect::FORCE_RECONNECT);
    let (waited, ended) = nodes.wait_for(end);
    assert_eq!(ended, Err(Refusal::INTERNAL));
    assert!(waited >= SECOND * 3 && waited < SECOND * 4, "{waited:?}");
    assert!(said(&mut nodes.drivers[1], &mut peers[1]).contains("close"));
    assert_eq!(nodes.cluster(0).counts().unanswered, 1);
    nodes.resume(2);
    let said = said(&mut nodes.drivers[2], &mut peers[2]);
    assert!(
        said.contains("close"),
        "it hears of it when it goes on: {said}"
    );
}

#[test]
fn a_node_that_is_given_up_is_not_waited_for() {
    let mut nodes = nodes(3);
    clients(&mut nodes);
    nodes.kill(2);
    nodes.pass(SECOND * 6);
    let node = nodes.node(0);
    let sent = node.send(Target::user("42"), *b"1");
    assert_eq!(nodes.wait_for(sent), (Duration::ZERO, Ok(2)));
}

#[test]
fn without_a_line_an_order_is_refused_at_once_and_done_here() {
    let mut nodes = nodes(2);
    let mut peers = clients(&mut nodes);
    nodes.bus.cut(nodes.id(0), true);
    let node = nodes.node(0);
    let sent = node.send(Target::user("42"), *b"1");
    assert_eq!(
        nodes.wait_for(sent),
        (Duration::ZERO, Err(Refusal::INTERNAL))
    );
    assert_eq!(nodes.drivers[0].read(&mut peers[0]).len(), 2);
    assert_eq!(nodes.drivers[1].read(&mut peers[1]).len(), 1);
    // One that it does not notice by itself.
    nodes.bus.cut(nodes.id(0), false);
    nodes.pass(SECOND * 2);
    nodes.bus.part(nodes.id(0), nodes.id(0), true);
    nodes.bus.part(nodes.id(1), nodes.id(0), true);
    nodes.pass(SECOND * 10);
    let sent = node.send(Target::user("42"), *b"2");
    assert_eq!(nodes.wait_for(sent).1, Err(Refusal::INTERNAL));
}

#[test]
fn a_node_that_has_just_started_waits_until_it_knows_the_others() {
    let mut nodes = nodes(2);
    clients(&mut nodes);
    let late = nodes.add(&Setup::default(), 0);
    let node = nodes.node(late);
    let (waited, sent) = nodes.wait_for(node.send(Target::user("42"), *b"1"));
    assert_eq!(sent, Ok(2));
    assert!(waited > SECOND && waited < SECOND * 2, "{waited:?}");
}

#[test]
fn what_is_too_long_for_the_bus_is_refused_before_it_is_done() {
    let mut nodes = nodes(2);
    let mut peers = clients(&mut nodes);
    let node = nodes.node(0);
    let sent = node.send(Target::user("42"), vec![b'1'; 1024 * 1024]);
    assert_eq!(nodes.wait_for(sent).1, Err(Refusal::BAD_REQUEST));
    assert_eq!(nodes.drivers[0].read(&mut peers[0]).len(), 1);
}

#[test]
fn channels_are_those_of_all_nodes_and_who_did_not_answer_is_named() {
    let mut nodes = nodes(3);
    for (index, name) in ["chat-1", "news", "chat-2"].iter().enumerate() {
        let driver = &mut nodes.drivers[index];
        let mut peer = driver.connect(0, "42");
        for (id, channel) in [name, "chat-all"].iter().enumerate() {
            let id = id + 2;
            let subscribe = format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#);
            driver.send(&mut peer, &subscribe);
        }
    }
    let node = nodes.node(0);
    let all = nodes.wait_for(node.channels(|_: &str| true)).1.unwrap();
    let list: Vec<_> = all.channels.iter().map(|(name, n)| (&**name, *n)).collect();
    let expected = [("chat-1", 1), ("chat-2", 1), ("chat-all", 3), ("news", 1)];
    assert_eq!((list.as_slice(), all.silent.len()), (&expected[..], 0));
    let some = NameFilter::new("chat-", |name| name.ends_with('2'));
    let some = nodes.wait_for(node.channels(some)).1.unwrap();
    assert_eq!(some.channels.keys().collect::<Vec<_>>(), ["chat-2"]);
    nodes.suspend(2);
    let rest = nodes.wait_for(node.channels(|_: &str| true)).1.unwrap();
    assert_eq!(rest.channels["chat-all"], 2);
    assert_eq!(rest.silent, [nodes.id(2)]);
    nodes.bus.cut(nodes.id(0), true);
    let none = nodes.wait_for(node.channels(|_: &str| true)).1;
    assert_eq!(none, Err(Refusal::INTERNAL));
}

#[test]
fn a_list_that_takes_many_messages_is_whole() {
    let mut nodes = nodes(2);
    let name = "c".repeat(200);
    for user in 0..40 {
        let driver = &mut nodes.drivers[1];
        let mut peer = driver.connect(0, "42");
        for channel in 0..100 {
            let id = channel + 2;
            let channel = user * 100 + channel;
            let subscribe = format!(r#"{{"id":{id},"subscribe":{{"channel":"{name}{channel}"}}}}"#);
            driver.send(&mut peer, &subscribe);
        }
    }
    let node = nodes.node(0);
    let all = nodes.wait_for(node.channels(|_: &str| true)).1.unwrap();
    assert_eq!(all.channels.len(), 4000);
}

#[test]
fn a_frame_for_another_node_is_passed_on_to_it() {
    let mut nodes = nodes(3);
    let node = nodes.node(0);
    let session = ClientId::from_random([1; 16], 0).to_string();
    let frame = |node: String| EmulationRequest {
        session: session.clone(),
        node,
        data: b"frame".as_slice().into(),
    };
    let passed = nodes.wait_for(node.emulate(frame(nodes.id(2).to_string())));
    assert_eq!(passed.1, Ok(()));
    nodes.settle();
    let frames = |nodes: &Nodes, at: usize| nodes.drivers[at].workers[0].frames.len();
    assert_eq!([0, 1, 2].map(|at| frames(&nodes, at)), [0, 0, 1]);
    assert_eq!(&*nodes.drivers[2].workers[0].frames[0], b"frame");
    nodes.bus.cut(nodes.id(0), true);
    let stray = nodes.wait_for(node.emulate(frame(nodes.id(2).to_string())));
    assert_eq!(stray.1, Err(Stray::NoWay));
    for unknown in [session.clone(), String::new(), "x".into()] {
        let stray = nodes.wait_for(node.emulate(frame(unknown)));
        assert_eq!(stray.1, Err(Stray::UnknownNode));
    }
}
