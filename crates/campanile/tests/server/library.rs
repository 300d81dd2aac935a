//! The life of a server that an application runs in its own process.

use std::error::Error as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use actix_web::dev::Service as _;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web;
use campanile::engine::broker::{Attendance, HistoryPage, HistoryQuery, NewPublication, Published};
use campanile::engine::broker::{BoxFuture, Broker, BrokerError, MemoryBroker};
use campanile::engine::channel::ChannelName;
use campanile::engine::delivery::{Admission, ShardId};
use campanile::engine::node::{HistoryRequest, PublishRequest};
use campanile::protocol::{Position, Refusal};
use campanile::server::BrokerParts;
use campanile::{Config, Node, ServeError, Server};
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::embedded::Embedded;
use crate::support::http::{Response, Upgrade, exchange, request};

fn subscriber(embedded: &Embedded, channel: &str) -> Client {
    let mut client = embedded.client(WEBSOCKET);
    client.log_in();
    client.subscribe(channel);
    client
}

fn get(embedded: &Embedded, path: &str) -> Response {
    Response::parse(&exchange(embedded.tcp(), &request("GET", path, &[], "")))
}

async fn announce(node: web::Data<Node>, what: web::Path<String>) -> Result<String, Refused> {
    let published = node.publish("news", what.as_bytes()).await;
    published.map(|_| "said\n".into()).map_err(Refused)
}

#[derive(Debug)]
struct Refused(Refusal);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl actix_web::ResponseError for Refused {}

#[test]
fn routes_of_the_application_have_the_node_and_their_own_middleware() {
    let embedded = Embedded::start(json!({}), |server| {
        server.routes(|services| {
            let marked = web::scope("/app").wrap_fn(|request, next| {
                let response = next.call(request);
                async move {
                    let mut response = response.await?;
                    let name = HeaderName::from_static("x-app");
                    let headers = response.headers_mut();
                    headers.insert(name, HeaderValue::from_static("here"));
                    Ok(response)
                }
            });
            services.service(marked.route("/say/{what}", web::get().to(announce)));
        })
    });
    let mut client = subscriber(&embedded, "news");
    let said = get(&embedded, "/app/say/42");
    assert_eq!((said.status, said.header("x-app")), (200, Some("here")));
    client.expect_publication("news", &json!(42));
    assert_eq!(get(&embedded, "/ready").header("x-app"), None);
    assert_eq!(get(&embedded, "/nothing").status, 404);
    embedded.stop();
}

#[test]
fn the_node_publishes_broadcasts_and_tells_what_is_there() {
    let with_history = json!({"history_size": 10, "history_ttl": "1m", "presence": true});
    let changes = json!({"channel": {"without_namespace": with_history}});
    let embedded = Embedded::start(changes, |server| server);
    let (mut a, mut b) = (subscriber(&embedded, "a"), subscriber(&embedded, "b"));
    let node = embedded.node();
    let all = embedded.wait_for(node.broadcast(&["a", "b", "no:where"], *b"1"));
    let offsets: Vec<_> = all
        .iter()
        .map(|one| one.as_ref().map(|done| done.position.map(|at| at.offset)))
        .collect();
    assert_eq!(
        offsets,
        [Ok(Some(1)), Ok(Some(1)), Err(&Refusal::UNKNOWN_CHANNEL)]
    );
    a.expect_publication("a", &json!(1));
    b.expect_publication("b", &json!(1));
    let mut keyed = PublishRequest::from(*b"2");
    keyed.idempotency_key = Some("once".into());
    for is_suppressed in [false, true] {
        let published = embedded
            .wait_for(node.publish("a", keyed.clone()))
            .expect("it is");
        assert_eq!(published.is_suppressed, is_suppressed);
    }
    let request = HistoryRequest {
        limit: Some(10),
        ..HistoryRequest::default()
    };
    let page = embedded
        .wait_for(node.history("a", request))
        .expect("it is kept");
    assert_eq!(page.publications.len(), 2);
    assert_eq!(
        embedded.wait_for(node.presence("a")).map(|all| all.len()),
        Ok(1)
    );
    let info = embedded.wait_for(node.info());
    assert_eq!((info.stats.clients, info.stats.channels), (2, 2));
    embedded.stop();
}

/// From a thread that has no runtime, and never polls it twice.
#[test]
fn a_drain_closes_sessions_and_leaves_the_rest() {
    let embedded = Embedded::start(json!({}), |server| {
        server.routes(|services| {
            services.route("/page", web::get().to(|| async { "a page" }));
        })
    });
    let mut client = subscriber(&embedded, "news");
    assert_eq!(get(&embedded, "/ready").status, 200);
    embedded.wait_for(embedded.server.drain());
    client.expect_close(3001);
    assert_eq!(get(&embedded, "/ready").status, 503);
    assert_eq!(get(&embedded, "/page").status, 200);
    let refused = exchange(embedded.tcp(), &Upgrade::new(WEBSOCKET).bytes());
    assert_eq!(Response::parse(&refused).status, 503);
    embedded.stop();
}

#[test]
fn a_stop_may_be_asked_for_by_several_and_is_seen_by_all() {
    let embedded = Embedded::start(json!({}), |server| server);
    let mut client = subscriber(&embedded, "news");
    let server = embedded.server.clone();
    let other = server.clone();
    let ended =
        embedded.wait_for(async { tokio::join!(server.stop(), other.stop(), server.wait()) });
    assert!(matches!(ended, (Ok(()), Ok(()), Ok(()))), "{ended:?}");
    client.expect_close(3001);
    assert!(std::net::TcpStream::connect(embedded.address()).is_err());
    embedded.stop();
}

#[test]
fn any_tokio_runtime_will_do_and_none_is_told() {
    let config = || Config::from_toml("engine.type = 'memory'").expect("it is one");
    let server = || Server::new(config()).without_signals().bind("127.0.0.1:0");
    let refused = server().run().expect_err("there is no runtime");
    assert!(matches!(refused, ServeError::NoRuntime), "{refused:?}");
    assert!(refused.to_string().contains("#[actix_web::main]"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let server = server().run().expect("it serves");
        let stream = std::net::TcpStream::connect(server.local_addr()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let echo = || Client::upgrade(stream, &Upgrade::new("/connection/echo").bytes());
        let echo = tokio::task::spawn_blocking(echo);
        drop(echo.await.expect("it answers"));
        tokio::time::timeout(PATIENCE, server.stop())
            .await
            .expect("in time")
            .expect("well");
    });
}

#[actix_web::test]
async fn what_hinders_it_is_told_when_it_is_to_run() {
    let run = |text: &str, add: fn(Server) -> Server| {
        let config = Config::from_toml(text).expect("it is one");
        add(Server::new(config).without_signals())
            .run()
            .expect_err("it cannot run")
    };
    let memory = "engine.type = 'memory'\n";
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let text = format!("{memory}http_server.address = '127.0.0.1'\nhttp_server.port = {port}");
    let told = run(&text, |server| server).to_string();
    assert!(
        told.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{told}"
    );
    let told = run(memory, |server| server.bind("no such host")).to_string();
    assert!(
        told.starts_with("cannot listen where bind() says: "),
        "{told}"
    );
    let broken = |server: Server| {
        server
            .bind("127.0.0.1:0")
            .broker(|_| Err::<Arc<MemoryBroker>, _>("no cable"))
    };
    let told = run(memory, broken);
    assert_eq!(told.to_string(), "the broker cannot be made: no cable");
    let cause = told.source().map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("no cable"));
    let mut by_hand = Config::from_toml(memory).expect("it is one");
    by_hand.client.allowed_origins.push("[".into());
    let server = Server::new(by_hand).without_signals().bind("127.0.0.1:0");
    let told = server.run().expect_err("it is no pattern");
    assert!(told.is_configuration(), "{told}");
    assert!(told.source().is_some(), "{told}");
}

#[test]
fn a_configuration_in_code_has_to_be_right() {
    let told = Config::from_toml("[client]\nallowed_origin = []").expect_err("no such key");
    let told = told.to_string();
    assert!(told.contains("configuration:2:1"), "{told}");
    assert!(told.contains("allowed_origins"), "{told}");
    assert!(Config::from_json("{\"client\": {\"insecure\": true}}").is_ok());
    assert!(Config::from_file("/nowhere/campanile.toml").is_err());
}

/// A memory broker that counts what is published.
struct Counting {
    inner: MemoryBroker,
    published: Arc<AtomicUsize>,
}

impl Broker for Counting {
    fn publish(&self, new: NewPublication) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.published.fetch_add(1, SeqCst);
        self.inner.publish(new)
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.inner.announce(channel, attendance, admission)
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        self.inner.subscribe(shard, channel)
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        self.inner.unsubscribe(shard, channel)
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        self.inner.history(channel, query)
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.inner.remove_history(channel)
    }
}

#[test]
fn a_broker_of_the_application_carries_what_is_published() {
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    let embedded = Embedded::start(json!({}), move |server| {
        server.broker(move |parts: BrokerParts| {
            let (budget, clock) = (parts.budget, parts.clock);
            let inner = MemoryBroker::new(parts.inboxes, budget, clock, Duration::from_secs(60));
            let published = counted;
            Ok::<_, ServeError>(Arc::new(Counting { inner, published }))
        })
    });
    let mut client = subscriber(&embedded, "news");
    embedded
        .wait_for(embedded.node().publish("news", *b"1"))
        .expect("it is");
    client.expect_publication("news", &json!(1));
    assert_eq!(published.load(SeqCst), 1);
    embedded.stop();
}
