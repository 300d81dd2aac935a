//! Payloads told as differences, end to end: section 10 of the client protocol.

use campanile_protocol::delta;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::server::{Server, Setup};

const CHANNEL: &str = "document";

/// A client that takes deltas as section 10.3 wants it.
struct Reader {
    client: Client,
    last: String,
}

impl Reader {
    /// Subscribes with these fields beside; gives the reader and the reply's `subscribe`.
    fn subscribe(server: &Server, fields: &Value) -> (Self, Value) {
        let mut subscribe = json!({"channel": CHANNEL, "delta": "fossil"});
        let fields = fields.as_object().expect("an object").clone();
        subscribe.as_object_mut().expect("an object").extend(fields);
        let mut client = Client::session(server);
        let reply = client.command(&json!({"id": 2, "subscribe": subscribe}));
        assert_eq!(reply["subscribe"]["delta"], true, "{reply}");
        let reader = Self {
            client,
            last: String::new(),
        };
        (reader, reply["subscribe"].clone())
    }

    /// What a publication says, and whether it came as a delta.
    fn read(&mut self, publication: &Value) -> (Value, bool) {
        let data = publication["data"].as_str().expect("always a string");
        let is_delta = publication["delta"] == true;
        self.last = if is_delta {
            let text = delta::apply(self.last.as_bytes(), data.as_bytes(), 1 << 20);
            String::from_utf8(text.expect("it is from what came last")).expect("JSON is UTF-8")
        } else {
            data.to_owned()
        };
        (serde_json::from_str(&self.last).expect("JSON"), is_delta)
    }

    fn next(&mut self) -> (Value, bool) {
        let push = self.client.reply();
        self.read(&push["push"]["pub"])
    }
}

/// A document that grows, and whose emoji change.
fn document(size: usize) -> Value {
    let lines: Vec<_> = (0..size)
        .map(|line| format!("line {line} {}", ["🙂", "🙃", "é", "e"][(size + line) % 4]))
        .collect();
    let mood = ["🙂", "🙃"][size % 2];
    json!({"mood": mood, "lines": lines, "end": "the same every time"})
}

fn server() -> Server {
    let namespace = json!({
        "history_size": 10,
        "history_ttl": "60s",
        "force_recovery": true,
        "allowed_delta_types": ["fossil"],
    });
    let channels = json!({"channel": {"without_namespace": namespace}});
    Setup::new().with(channels).start()
}

fn publish(server: &Server, data: &Value) {
    let body = json!({"channel": CHANNEL, "data": data, "delta": true});
    let answer = server.api("publish", &body).body;
    assert!(answer.contains(r#""offset""#), "{answer}");
}

#[test]
fn a_growing_document_reaches_everybody_whole_or_as_differences() {
    let server = server();
    let (mut reader, _) = Reader::subscribe(&server, &json!({}));
    let mut plain = Client::subscriber(&server, CHANNEL);
    let mut deltas = 0;
    for size in 0..30 {
        publish(&server, &document(size));
        let (read, is_delta) = reader.next();
        assert_eq!(read, document(size));
        assert!(!is_delta || size > 0, "a whole one comes first");
        deltas += usize::from(is_delta);
        plain.expect_publication(CHANNEL, &document(size));
    }
    assert!(deltas > 20, "{deltas} of 30");
    server.stop();
}

#[test]
fn who_comes_back_recovers_by_differences_and_goes_on_with_them() {
    let server = server();
    let (mut reader, reply) = Reader::subscribe(&server, &json!({}));
    publish(&server, &document(10));
    assert_eq!(reader.next(), (document(10), false));
    let since = json!({"recover": true, "epoch": reply["epoch"], "offset": 1});
    drop(reader);
    // Edits, so that each difference is shorter than the document.
    let edited = |number: usize| {
        let mut document = document(10);
        document["lines"][number] = json!("🎉");
        document
    };
    for number in 1..=3 {
        publish(&server, &edited(number));
    }
    let (mut reader, reply) = Reader::subscribe(&server, &since);
    assert_eq!(reply["recovered"], true, "{reply}");
    let missed = reply["publications"]
        .as_array()
        .expect("something is missed");
    let read: Vec<_> = missed.iter().map(|missed| reader.read(missed)).collect();
    assert_eq!(
        read,
        [(edited(1), false), (edited(2), true), (edited(3), true)]
    );
    publish(&server, &edited(4));
    assert_eq!(reader.next(), (edited(4), true));
    server.stop();
}

#[test]
fn every_way_to_publish_can_ask_for_differences() {
    let server = server();
    let (mut reader, _) = Reader::subscribe(&server, &json!({}));
    let body = |number: usize, is_delta: bool| {
        let mut document = document(10);
        document["number"] = json!(number);
        json!({"channel": CHANNEL, "channels": [CHANNEL], "data": document, "delta": is_delta})
    };
    for (number, method) in ["publish", "broadcast", "batch"].into_iter().enumerate() {
        for is_delta in [false, true] {
            let body = body(number, is_delta);
            let body = match method {
                "batch" => json!({"commands": [{"publish": body}]}),
                _ => body,
            };
            server.api(method, &body);
            assert_eq!(reader.next().1, is_delta, "{method} {is_delta}");
        }
    }
    server.stop();
}
