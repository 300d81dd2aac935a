//! Several servers that know each other over a bus of the application's own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use campanile::Target;
use campanile::engine::broker::{BoxFuture, BrokerError};
use campanile::engine::cluster::{Bus, ClusterEar, NodeId, Recipient};
use campanile::protocol::Refusal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, Received};
use crate::support::embedded::Embedded;
use crate::support::http::{self, Response, exchange};
use crate::support::stream::{HTTP_STREAM, Stream, emulation, transports};

/// Carries messages within this process.
#[derive(Default)]
struct Hub(Mutex<BTreeMap<NodeId, Ear>>);

struct Ear {
    ear: ClusterEar,
    is_deaf: bool,
}

struct Line(Arc<Hub>);

impl Hub {
    /// A server of this hub.
    fn server(self: &Arc<Self>, changes: Value) -> Embedded {
        let hub = Arc::clone(self);
        Embedded::start(changes, move |server| {
            server.bus(move |id, ear| {
                hub.ears().insert(
                    id,
                    Ear {
                        ear,
                        is_deaf: false,
                    },
                );
                Ok::<_, std::io::Error>(Arc::new(Line(hub)))
            })
        })
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Ear>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing comes to this server, or everything does.
    fn set_deaf(&self, server: &Embedded, is_deaf: bool) {
        let id = NodeId::parse(server.node().id()).expect("it is one");
        if let Some(ear) = self.ears().get_mut(&id) {
            ear.is_deaf = is_deaf;
        }
    }
}

impl Bus for Line {
    fn tell(&self, to: Recipient, message: Vec<u8>) -> BoxFuture<'_, Result<(), BrokerError>> {
        for (id, ear) in &*self.0.ears() {
            let is_meant = to == Recipient::All || to == Recipient::Node(*id);
            if is_meant && !ear.is_deaf {
                ear.ear.hear(&message);
            }
        }
        Box::pin(async { Ok(()) })
    }
}

/// Two that know each other, whose clients are user 42.
fn two(changes: &Value) -> (Arc<Hub>, [Embedded; 2]) {
    let hub = Arc::<Hub>::default();
    let mut all = json!({
        "http_api": {"insecure": true},
        "prometheus": {"enabled": true},
        "client": {"user_id_http_header": "X-User"},
        "channel": {"without_namespace": {"presence": true}},
    });
    all.as_object_mut()
        .expect("an object")
        .extend(changes.as_object().expect("an object").clone());
    let servers = [hub.server(all.clone()), hub.server(all)];
    for server in &servers {
        wait_until(|| nodes(server) == 2);
    }
    (hub, servers)
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never comes");
    }
}

fn call(server: &Embedded, method: &str, body: &Value) -> Value {
    let json = [("Content-Type", "application/json")];
    let request = http::request("POST", &format!("/api/{method}"), &json, &body.to_string());
    let response = Response::parse(&exchange(server.tcp(), &request));
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).expect("the API speaks JSON")
}

fn nodes(server: &Embedded) -> usize {
    let info = call(server, "info", &json!({}));
    info["result"]["nodes"].as_array().expect("a list").len()
}

/// A client that is subscribed to `channel`.
fn subscriber(server: &Embedded, channel: &str) -> Client {
    let upgrade = http::Upgrade::new("/connection/websocket").header("X-User", "42");
    let mut client = Client::upgrade(server.tcp(), &upgrade.bytes());
    client.log_in();
    client.subscribe(channel);
    client
}

fn ready(server: &Embedded) -> Response {
    let request = http::request("GET", "/ready", &[], "");
    Response::parse(&exchange(server.tcp(), &request))
}

#[test]
fn the_api_of_one_node_reaches_the_clients_of_all() {
    let (_hub, [here, there]) = two(&json!({}));
    let mut clients = [subscriber(&here, "news"), subscriber(&there, "news")];
    let _other = subscriber(&there, "chat");
    let channels = call(&here, "channels", &json!({}));
    let expected = json!({"news": {"num_clients": 2}, "chat": {"num_clients": 1}});
    assert_eq!(channels["result"], json!({"channels": expected}));
    let news = json!({"pattern": "ne*"});
    let channels = call(&here, "channels", &news);
    let expected = json!({"news": {"num_clients": 2}});
    assert_eq!(channels["result"], json!({"channels": expected}));
    let stats = call(&there, "presence_stats", &json!({"channel": "news"}));
    assert_eq!(stats["result"], json!({"num_clients": 2, "num_users": 1}));
    let info = call(&here, "info", &json!({}))["result"].clone();
    assert_eq!(info["nodes"][0]["uid"], here.node().id());
    assert_eq!(info["nodes"][1]["uid"], there.node().id());
    assert_eq!(info.get("silent_nodes"), None);
    let ended = call(&here, "disconnect", &json!({"user": "42"}));
    assert_eq!(ended, json!({"result": {}}));
    for client in &mut clients {
        client.expect_close(3503);
    }
    let page = http::request("GET", "/metrics", &[], "");
    let page = Response::parse(&exchange(here.tcp(), &page)).body;
    assert!(page.contains("centrifugo_node_num_nodes 2\n"), "{page}");
    let sent = page.lines().find_map(|line| {
        let count = line.strip_prefix("centrifugo_node_control_messages_sent ")?;
        count.parse().ok()
    });
    assert!(sent > Some(3_u64), "{page}");
}

#[test]
fn a_node_that_does_not_answer_is_named_and_nothing_is_taken_for_done() {
    let (hub, [here, there]) = two(&json!({}));
    let mut client = subscriber(&there, "news");
    hub.set_deaf(&there, true);
    let told = call(&here, "disconnect", &json!({"user": "42"}));
    assert_eq!(told["error"]["code"], 100);
    let list = call(&here, "channels", &json!({}))["result"].clone();
    let expected = json!({"channels": {}, "silent_nodes": [there.node().id()]});
    assert_eq!(list, expected);
    // It does not hear itself either, which it has noticed by now.
    wait_until(|| ready(&there).status == 503);
    let body = ready(&there).body;
    assert!(body.contains("the other nodes cannot be reached"), "{body}");
    let refused = there.wait_for(there.node().send(Target::user("42"), *b"1"));
    assert_eq!(refused, Err(Refusal::INTERNAL));
    hub.set_deaf(&there, false);
    wait_until(|| ready(&there).status == 200);
    wait_until(|| {
        let told = call(&here, "disconnect", &json!({"user": "42"}));
        told == json!({"result": {}})
    });
    while !matches!(client.receive(), Received::Close(_)) {}
}

#[test]
fn a_node_that_stops_is_gone_at_once() {
    let (_hub, [here, there]) = two(&json!({}));
    there.stop();
    assert_eq!(nodes(&here), 1);
    let told = call(&here, "disconnect", &json!({"user": "42"}));
    assert_eq!(told, json!({"result": {}}));
}

#[test]
fn commands_that_come_to_another_node_find_their_session() {
    let (_hub, [here, there]) = two(&transports());
    let mut stream = there.tcp();
    let connect = http::request("POST", HTTP_STREAM, &[], r#"{"id":1,"connect":{}}"#);
    stream.write_all(&connect).expect("the server reads");
    let mut stream = Stream::begun(stream);
    let told = stream.message()["connect"].clone();
    for id in 2..12 {
        let subscribe = json!({"id": id, "subscribe": {"channel": format!("news{id}")}});
        let body = emulation(&told, &subscribe.to_string());
        let request = http::request("POST", "/emulation", &[], &body);
        let response = Response::parse(&exchange(here.tcp(), &request));
        assert_eq!(response.status, 204);
    }
    for id in 2..12 {
        let reply = stream.message();
        assert_eq!(reply["id"], id, "in their order");
        assert!(reply["subscribe"].is_object(), "{reply}");
    }
}

#[test]
fn a_bus_that_cannot_be_made_is_told() {
    let config = campanile::Config::from_toml("[engine]\ntype = 'memory'").expect("it is one");
    let system = actix_rt::System::new();
    let told = system.block_on(async {
        let server = campanile::Server::new(config).without_signals();
        let server = server.bind("127.0.0.1:0");
        server.bus(|_, _| Err::<Arc<Line>, _>("no cable")).run()
    });
    let told = told.expect_err("there is none");
    assert_eq!(
        told.to_string(),
        "the bus between nodes cannot be made: no cable"
    );
}
