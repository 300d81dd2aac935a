//! Connections that have to wait, without sockets.

use std::sync::Arc;

use campanile_engine::ask::Answer;
use campanile_engine::authority::Credentials;
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::delivery::ShardId;
use campanile_engine::settings::Settings;
use campanile_engine::shard::Errand;
use campanile_engine::time::{Clock as _, MachineClock};
use campanile_protocol::UserId;
use campanile_protocol::ws::deflate::{Deflater, Window};

use super::*;

const WIRE: Wire = Wire::Stream(Encoding::Json);

/// A session whose connect command waits for its answer.
struct Waiting {
    shard: Shard,
    connection: Connection,
    now: Now,
}

impl Waiting {
    fn new() -> Self {
        Self::over(WIRE)
    }

    fn over(wire: Wire) -> Self {
        let now = MachineClock::start().now();
        let namespaces = Namespaces::new(NameRules::default(), ChannelOptions::default(), []);
        let mut shard = Shard::new(
            ShardId::new(0).unwrap(),
            "node",
            Arc::new(Settings::default()),
            Arc::new(namespaces),
            Arc::new(MemoryBudget::new(None)),
            now,
        );
        let key = shard.open(now, wire, [[1; 16], [2; 16]], None);
        let mut waiting = Self {
            connection: Connection::new(key, Speech::Session(wire), true),
            shard,
            now,
        };
        waiting.hear(r#"{"id":1,"connect":{}}"#);
        waiting
    }

    fn hear(&mut self, frame: &str) {
        let frame = frame.as_bytes();
        self.connection.hear_frame(&mut self.shard, self.now, frame);
    }

    fn answer(&mut self) {
        let mut errands = Vec::new();
        self.shard.take_errands(&mut errands);
        let Some(Errand::Ask(key, ticket, _)) = errands.pop() else {
            panic!("nothing is asked")
        };
        let credentials = Credentials {
            user: UserId::new("42"),
            expire_at: None,
            info: None,
            meta: None,
            data: None,
            subscriptions: Vec::new(),
            considers_wishes: false,
        };
        let answer = Answer::Connect(Ok((credentials, None)));
        self.shard.answer(self.now, key, ticket, answer);
        self.connection.resume(
            &mut self.shard,
            self.now,
            &mut Input::new(ws::Limits::default()),
        );
    }

    fn said(&self) -> String {
        let outbox = self.shard.outbox(self.connection.key).unwrap();
        let mut slices = [std::io::IoSlice::new(&[]); 64];
        let filled = outbox.slices(&mut slices);
        let bytes: Vec<_> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        // Headers of frames are no text.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn an_idle_connection_is_five_words() {
    assert_eq!(size_of::<Connection>(), 40);
}

#[test]
fn commands_behind_one_that_waits_are_carried_out_in_order() {
    let mut waiting = Waiting::new();
    for id in 2..10 {
        waiting.hear(&format!(r#"{{"id":{id},"rpc":{{}}}}"#));
    }
    assert_eq!(waiting.said(), "");
    waiting.answer();
    let said = waiting.said();
    let ids: Vec<_> = said.lines().map(|line| line.as_bytes()[6] - b'0').collect();
    assert_eq!(ids, (1..10).collect::<Vec<_>>(), "{said}");
    waiting.hear(r#"{"id":5,"rpc":{}}"#);
    assert!(waiting.said().ends_with("\"not available\"}}\n"));
}

#[test]
fn a_client_that_goes_on_while_it_is_kept_waiting_is_sent_away() {
    let mut waiting = Waiting::new();
    let frame = format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(60_000));
    let mut frames = 0;
    while waiting.shard.is_open(waiting.connection.key) {
        assert!(frames * frame.len() < 2 * WAITING_BYTES_MAX, "never closed");
        waiting.hear(&frame);
        frames += 1;
    }
    assert!(frames * frame.len() > WAITING_BYTES_MAX);
    let push = r#"{"push":{"disconnect":{"code":3013,"reason":"too many requests"}}}"#;
    assert_eq!(waiting.said().trim_end(), push);
}

#[test]
fn little_that_inflates_to_much_is_taken_in_many_turns() {
    const COMMANDS: usize = 30;
    let mut flood = Waiting::over(Wire::WebSocket(Encoding::Json));
    flood.answer();
    let mut deflater = Deflater::new(9, 0);
    let mut bytes = Vec::new();
    for id in 10..10 + COMMANDS {
        let data = "x".repeat(65_000);
        let command = format!(r#"{{"id":{id},"rpc":{{"data":"{data}"}}}}"#);
        let small = deflater.deflate(Window::Full, command.as_bytes()).unwrap();
        let begin = bytes.len();
        ws::encode_masked(ws::Opcode::Text, [1, 2, 3, 4], small, &mut bytes);
        bytes[begin] |= 0x40;
    }
    assert!(bytes.len() < COMMANDS * 200, "{}", bytes.len());
    let answered = |flood: &Waiting| -> Vec<usize> {
        let said = flood.said();
        let ids = said.split(r#"{"id":"#).skip(1);
        ids.filter_map(|reply| reply.get(..2)?.parse().ok())
            .collect()
    };
    let mut input = Input::new(ws::Limits::default());
    let Waiting {
        shard,
        connection,
        now,
    } = &mut flood;
    connection.receive(shard, *now, &mut input, &mut bytes);
    let most = TAKEN_BYTES_MAX / 65_000 + 1;
    let mut turns = 1;
    while flood.connection.is_paused(&flood.shard) {
        assert!(!flood.connection.reads());
        assert!(answered(&flood).len() <= turns * most);
        let Waiting {
            shard,
            connection,
            now,
        } = &mut flood;
        connection.resume(shard, *now, &mut input);
        turns += 1;
    }
    assert_eq!(turns, COMMANDS / most + 1);
    assert!(flood.connection.reads());
    assert_eq!(answered(&flood), (10..10 + COMMANDS).collect::<Vec<_>>());
}
