//! An application that takes its time, panics, and is told who came and left.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use campanile_engine::application::Interests;
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::limits::NOTICES_MAX;
use campanile_engine::shard::Target;
use campanile_engine::testkit::{Peer, Setup};
use campanile_protocol::Disconnect;
use futures_util::FutureExt;

use super::offsets;
use super::stage::Stage;

fn rpc(id: u32, method: &str) -> String {
    format!(r#"{{"id":{id},"rpc":{{"method":"{method}","data":{id}}}}}"#)
}

fn reply(id: u32) -> String {
    format!(r#"{{"id":{id},"rpc":{{"data":{id}}}}}"#)
}

#[test]
fn a_slow_answer_keeps_only_its_own_session_waiting() {
    let mut stage = Stage::new(Interests::RPC);
    let (mut slow, mut quick) = (stage.connect("42"), stage.connect("43"));
    stage.driver.read(&mut slow);
    stage.driver.read(&mut quick);
    let commands = [rpc(2, "slow"), rpc(3, "echo")].join("\n");
    assert!(stage.ask(&mut slow, &commands).is_empty());
    assert!(slow.is_held_up(), "one command at a time");
    for id in 2..20 {
        assert_eq!(stage.ask(&mut quick, &rpc(id, "echo")), [reply(id)]);
    }
    stage.open_gate();
    assert_eq!(stage.go_on(&mut slow), [reply(2), reply(3)]);
}

#[test]
fn as_many_answers_of_one_session_may_be_slow_as_configured() {
    let mut setup = Setup::default();
    setup.settings.concurrency = 2;
    let mut stage = Stage::with(Interests::RPC, setup);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let commands = [
        rpc(2, "slow"),
        rpc(3, "echo"),
        rpc(4, "slow"),
        rpc(5, "echo"),
    ];
    assert_eq!(stage.ask(&mut peer, &commands.join("\n")), [reply(3)]);
    assert!(peer.is_held_up());
    assert_eq!(stage.stub.waiting.load(Relaxed), 2);
    stage.open_gate();
    let mut said = stage.go_on(&mut peer);
    said.sort_unstable();
    assert_eq!(said, [reply(2), reply(4), reply(5)]);
}

#[test]
fn the_application_sees_headers_when_a_client_comes_and_later() {
    let mut setup = Setup::default();
    setup.settings.emulated_headers = ["x-theme".into()].into();
    setup.settings.keeps_headers = true;
    let mut stage = Stage::with(Interests::RPC | Interests::CONNECTING, setup);
    let mut peer = stage.driver.open(0);
    let connect = r#"{"token":"42","name":"curious","headers":{"X-Theme":"dark","x-other":"1"}}"#;
    stage
        .driver
        .send(&mut peer, &format!(r#"{{"id":1,"connect":{connect}}}"#));
    stage.run();
    assert_eq!(stage.stub.told(), [r#"it comes with Some("dark")"#]);
    stage.driver.read(&mut peer);
    let said = stage.ask(&mut peer, &rpc(2, "theme"));
    assert_eq!(said, [r#"{"id":2,"rpc":{"data":"dark"}}"#]);
}

#[test]
fn a_panic_costs_one_command() {
    let mut stage = Stage::new(Interests::RPC | Interests::CONNECTING);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    for method in ["panic at once", "panic", "panic later"] {
        stage.stub.is_open.store(false, Relaxed);
        let before = stage.ask(&mut peer, &rpc(2, method));
        assert_eq!(before.is_empty(), method == "panic later");
        stage.open_gate();
        let said = [before, stage.go_on(&mut peer)].concat();
        assert_eq!(
            said,
            [r#"{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}"#]
        );
        assert_eq!(stage.ask(&mut peer, &rpc(3, "echo")), [reply(3)]);
    }
    let mut other = stage.arrive("panic");
    let said = stage.driver.read(&mut other);
    assert!(said[0].contains(r#""code":100"#), "{said:?}");
    assert_eq!(stage.driver.workers[0].shard.totals().panics, 0);
}

#[test]
fn what_no_client_may_be_told_is_a_failure_of_ours() {
    let mut stage = Stage::new(Interests::RPC | Interests::CONNECTING | Interests::MESSAGE);
    let mut refused = stage.arrive("no code");
    let said = stage.driver.read(&mut refused);
    assert!(said[0].contains(r#""code":100"#), "{said:?}");
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let said = stage.ask(&mut peer, &rpc(2, "no code"));
    assert!(said[0].contains(r#""code":100"#), "{said:?}");
    let said = stage.ask(&mut peer, &rpc(3, "no close code"));
    assert_eq!(said, ["close 3004"]);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let said = stage.ask(&mut peer, r#"{"send":{"data":"no reason"}}"#);
    assert_eq!(said, ["close 3004"]);
}

#[test]
fn what_a_client_of_json_cannot_be_told_is_a_failure_of_ours() {
    let interests = Interests::RPC | Interests::CONNECTING | Interests::SUBSCRIBE;
    let mut stage = Stage::new(interests);
    let mut refused = stage.arrive("no json");
    let said = stage.driver.read(&mut refused);
    assert!(said[0].contains(r#""code":100"#), "{said:?}");
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let subscribe = r#"{"id":3,"subscribe":{"channel":"no json"}}"#;
    for command in [rpc(2, "no json"), subscribe.into()] {
        let said = stage.ask(&mut peer, &command);
        assert!(said[0].contains(r#""code":100"#), "{said:?}");
    }
    let said = stage.ask(&mut peer, &rpc(4, "nothing"));
    assert_eq!(said, [r#"{"id":4,"rpc":{}}"#], "and the session goes on");
}

#[test]
fn an_order_with_a_code_that_ends_no_session_ends_it_as_a_failure_of_ours() {
    let mut stage = Stage::new(Interests::NONE);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let node = Arc::clone(&stage.driver.node);
    let end = node.disconnect(Target::user("42"), Disconnect::new(200, "no"));
    let mut end = std::pin::pin!(end);
    assert!(end.as_mut().now_or_never().is_none());
    stage.driver.obey(0);
    assert_eq!(end.now_or_never(), Some(Ok(1)));
    assert_eq!(stage.driver.read(&mut peer), ["close 3004"]);
}

#[test]
fn what_a_session_tells_anew_is_what_those_see_who_ask_who_is_there() {
    let mut stage = Stage::new(Interests::NONE);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    stage.ask(&mut peer, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    let node = Arc::clone(&stage.driver.node);
    let refresh = node.refresh(Target::user("42"), None, Some(Box::from(*b"[7]")));
    let mut refresh = std::pin::pin!(refresh);
    assert!(refresh.as_mut().now_or_never().is_none());
    stage.driver.obey(0);
    assert_eq!(refresh.now_or_never(), Some(Ok(1)));
    stage.go_on(&mut peer);
    let said = stage.ask(&mut peer, r#"{"id":3,"presence":{"channel":"c"}}"#);
    assert!(said[0].contains(r#""conn_info":[7]"#), "{said:?}");
    stage.release(&peer);
    assert!(stage.driver.presence.is_empty());
}

#[test]
fn the_end_of_a_session_ends_what_is_asked_about_it() {
    let mut stage = Stage::new(Interests::RPC | Interests::CONNECTING);
    let mut live = stage.connect("42");
    stage.ask(&mut live, &rpc(2, "slow"));
    let arriving = stage.arrive("slow");
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (2, 2));
    stage.release(&live);
    stage.release(&arriving);
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (0, 0));
    assert_eq!(stage.driver.workers[0].shard.connection_count(), 0);
}

#[test]
fn the_application_may_say_who_connects_or_leave_it_to_the_configuration() {
    let mut stage = Stage::new(Interests::CONNECTING | Interests::RPC);
    let mut ours = stage.arrive("ours");
    let said = stage.driver.read(&mut ours);
    assert!(said[0].contains(r#""data":{"d":1}"#), "{said:?}");
    let who = stage.ask(&mut ours, &rpc(2, "who"));
    let expected = r#"{"id":2,"rpc":{"data":"ours WebSocket(Json) ours 7 7"}}"#;
    assert_eq!(who, [expected]);
    let mut refused = stage.arrive("refused");
    assert_eq!(stage.driver.read(&mut refused), ["close 3503"]);
    let mut theirs = stage.connect("42");
    stage.driver.read(&mut theirs);
    let who = stage.ask(&mut theirs, &rpc(2, "who"));
    let expected = r#"{"id":2,"rpc":{"data":"42 WebSocket(Json)   0"}}"#;
    assert_eq!(who, [expected]);
}

#[test]
fn of_a_long_name_of_a_client_the_application_gets_the_beginning() {
    let mut stage = Stage::new(Interests::RPC);
    let mut peer = stage.arrive(&"é".repeat(1000));
    stage.driver.read(&mut peer);
    let who = stage.ask(&mut peer, &rpc(2, "who"));
    assert!(
        who[0].contains(&format!(" {} 7 ", "é".repeat(32))),
        "{who:?}"
    );
}

#[test]
fn what_the_application_makes_of_a_publication_is_what_is_published() {
    let mut stage = Stage::new(Interests::PUBLISH);
    let mut peer = stage.connect("42");
    stage.ask(&mut peer, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    let mut publish = |payload: &str| {
        let publish = format!(r#"{{"id":3,"publish":{{"channel":"c","data":"{payload}"}}}}"#);
        stage.ask(&mut peer, &publish)
    };
    let replaced = publish("replace");
    assert!(replaced[1].contains(r#""data":"replaced""#), "{replaced:?}");
    assert!(replaced[1].contains(r#""tags":{"k":"v"}"#), "{replaced:?}");
    assert!(replaced[1].contains(r#""info":{"user":"42""#));
    assert_eq!(offsets(&replaced), [1]);
    let skipped = publish("skip");
    assert!(skipped[1].contains(r#""data":"skip""#) && offsets(&skipped).is_empty());
    assert_eq!(offsets(&publish("once")), [2]);
    assert_eq!(publish("once"), [r#"{"id":3,"publish":{}}"#]);
    let denied = publish("else");
    assert!(denied[0].contains(r#""code":103"#) && denied.len() == 1);
}

#[test]
fn who_the_application_lets_in_is_subscribed() {
    let setup = Setup {
        options: ChannelOptions::default(),
        ..Setup::default()
    };
    let mut stage = Stage::with(Interests::SUBSCRIBE, setup);
    let mut peer = stage.connect("42");
    stage.driver.read(&mut peer);
    let said = stage.ask(&mut peer, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    assert!(said[0].contains(r#""code":103"#), "{said:?}");
    let said = stage.ask(&mut peer, r#"{"id":3,"subscribe":{"channel":"open"}}"#);
    assert_eq!(said, [r#"{"id":3,"subscribe":{}}"#]);
    stage.driver.publish("open", "1");
    stage.run();
    assert_eq!(stage.driver.read(&mut peer).len(), 1);
}

#[test]
fn what_clients_wish_for_is_asked_about_all_at_the_same_time() {
    let setup = Setup {
        options: ChannelOptions::default(),
        ..Setup::default()
    };
    let mut stage = Stage::with(Interests::SUBSCRIBE | Interests::CONNECTING, setup);
    let connect = |stage: &mut Stage, subs: &str| {
        let mut peer = stage.driver.open(0);
        let connect = format!(r#"{{"id":1,"connect":{{"name":"wishful","subs":{{{subs}}}}}}}"#);
        stage.driver.send(&mut peer, &connect);
        stage.run();
        (stage.driver.read(&mut peer), peer)
    };
    let (said, _) = connect(&mut stage, r#""c":{},"open":{}"#);
    assert!(said[0].contains(r#""subs":{"open":{}}"#), "{said:?}");
    let (said, _) = connect(&mut stage, r#""open":{},"panic":{}"#);
    assert!(said[0].contains(r#""code":100"#), "{said:?}");
    let (said, slow) = connect(&mut stage, r#""slow":{},"open":{}"#);
    assert!(said.is_empty());
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (1, 1));
    stage.release(&slow);
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (0, 0));
}

#[test]
fn a_connection_that_has_run_out_is_the_applications_to_end() {
    let mut stage = Stage::new(Interests::CONNECTING | Interests::REFRESH);
    let mut peer = stage.arrive("short");
    let said = stage.driver.read(&mut peer);
    assert!(!said[0].contains("expires"), "{said:?}");
    stage.driver.pass(Duration::from_secs(6));
    stage.run();
    assert_eq!(stage.driver.read(&mut peer), ["close 3005"]);
}

#[test]
fn messages_come_in_order() {
    let mut stage = Stage::new(Interests::MESSAGE);
    let mut peer = stage.connect("42");
    let send = |number| format!(r#"{{"send":{{"data":{number}}}}}"#);
    let all: Vec<_> = (0..5).map(send).collect();
    stage.ask(&mut peer, &all.join("\n"));
    for _ in 0..5 {
        stage.go_on(&mut peer);
    }
    assert_eq!(stage.stub.told(), ["0", "1", "2", "3", "4"]);
}

fn notices() -> Interests {
    Interests::CONNECTED | Interests::DISCONNECTED
}

#[test]
fn who_left_is_told_behind_who_came_and_waits_for_nobody_else() {
    let mut stage = Stage::new(notices());
    let mourned = stage.connect("mourned");
    let quick = stage.connect("quick");
    stage.release(&mourned);
    stage.driver.close(&quick, Disconnect::FORCE_RECONNECT);
    stage.run();
    let told = ["mourned came", "quick came", "quick left 3011"];
    assert_eq!(stage.stub.told(), told);
    let node = Arc::clone(&stage.driver.node);
    let mut finish = std::pin::pin!(node.finish_telling());
    assert!(finish.as_mut().now_or_never().is_none());
    stage.open_gate();
    assert!(finish.as_mut().now_or_never().is_some());
    assert_eq!(stage.stub.told(), ["mourned left 3000"]);
    assert_eq!(stage.running(), 0);
}

#[test]
fn what_is_told_of_a_beginning_is_dropped_at_the_end() {
    let mut stage = Stage::new(notices());
    let mut slow = stage.connect("slow");
    stage.driver.read(&mut slow);
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (1, 1));
    let publish = r#"{"id":2,"publish":{"channel":"c","data":1}}"#;
    let said = stage.ask(&mut slow, publish);
    assert_eq!(said, [r#"{"id":2,"publish":{}}"#], "its commands go on");
    stage.release(&slow);
    assert_eq!((stage.running(), stage.stub.waiting.load(Relaxed)), (0, 0));
    assert_eq!(stage.stub.told(), ["slow left 3000"]);
}

#[test]
fn beginnings_that_are_slow_to_be_told_keep_nobody_out() {
    let mut stage = Stage::new(notices());
    let _peers = connect_many(&mut stage, "slow", NOTICES_MAX + 1);
    assert_eq!(stage.stub.waiting.load(Relaxed), NOTICES_MAX + 1);
    let mut next = stage.connect("42");
    assert_eq!(stage.driver.read(&mut next).len(), 1);
    assert_eq!(stage.stub.told(), ["42 came"]);
}

fn connect_many(stage: &mut Stage, token: &str, count: usize) -> Vec<Peer> {
    let connect = |_| {
        let peer = stage.driver.connect(0, token);
        while stage.driver.workers[0].waiting_count() > 0 {
            stage.driver.begin(0);
        }
        peer
    };
    (0..count).map(connect).collect()
}

#[test]
fn nobody_is_let_in_while_too_many_ends_wait_and_none_is_lost() {
    let mut stage = Stage::new(notices());
    for peer in connect_many(&mut stage, "mourned", NOTICES_MAX + 1) {
        stage.driver.release(&peer);
    }
    stage.run();
    let running = stage.running();
    let (mut patient, impatient) = (stage.connect("42"), stage.connect("43"));
    assert!(stage.driver.read(&mut patient).is_empty());
    stage.release(&impatient);
    assert_eq!(stage.running(), running + 1, "who went waits no longer");
    stage.open_gate();
    assert_eq!(stage.go_on(&mut patient).len(), 1);
    let told = stage.stub.told();
    let count = |what: &str| told.iter().filter(|told| told.as_str() == what).count();
    assert_eq!(count("mourned came"), NOTICES_MAX + 1);
    assert_eq!(count("mourned left 3000"), NOTICES_MAX + 1);
    assert_eq!(count("42 came"), 1);
    assert_eq!(told.len(), 2 * NOTICES_MAX + 3);
}
