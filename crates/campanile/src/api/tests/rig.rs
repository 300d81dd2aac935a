//! A node with one shard whose clients have no sockets, and the API in front of it.

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix_web::App;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use campanile_engine::application::NoApplication;
use campanile_engine::authority::{Authority, Credentials, Handshake, TokenGrant, TokenRefusal};
use campanile_engine::broker::{BoxFuture, MemoryBroker};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::channel::{ChannelName, Namespaces};
use campanile_engine::delivery::{Inbox, Inboxes};
use campanile_engine::node::{Control, Node, NodeInfo, Parts};
use campanile_engine::presence::MemoryPresence;
use campanile_engine::settings::Settings;
use campanile_engine::shard::{Errand, SessionKey, Shard};
use campanile_engine::time::{Clock, Moment, Now};
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::ConnectRequest;
use campanile_protocol::wire::Encoding;
use campanile_protocol::{ClientId, UserId, Wire};

use crate::api::Gate;
use crate::config::{ErrorMode, HttpApi, Secret};

/// The Unix second in which everything happens.
pub(super) const UNIX: i64 = 1_700_000_000;

/// What a client of the API gets.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: String,
}

pub(super) struct Rig {
    pub(super) node: Arc<Node>,
    pub(super) settings: HttpApi,
    clock: Arc<ManualClock>,
    shard: Rc<RefCell<Shard>>,
    inbox: RefCell<Inbox>,
}

/// A connected client.
pub(super) struct Client {
    pub(super) id: ClientId,
    key: SessionKey,
}

struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let millis = self.0.load(Relaxed);
        Now {
            moment: Moment::from_millis(millis),
            unix_millis: UNIX * 1000 + i64::try_from(millis).unwrap(),
        }
    }
}

/// Believes that everybody is who they say.
struct Trusting;

impl Authority for Trusting {
    fn connect<'a>(
        &'a self,
        request: &'a ConnectRequest,
        _: Option<&'a Handshake>,
    ) -> BoxFuture<'a, Result<Credentials, Rejection>> {
        let credentials = Credentials {
            user: UserId::new(&request.token),
            expire_at: None,
            info: Some(br#"{"name":"x"}"#.as_slice().into()),
            meta: None,
            data: None,
            subscriptions: Vec::new(),
            considers_wishes: false,
        };
        Box::pin(async move { Ok(credentials) })
    }

    fn refresh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Credentials, TokenRefusal>> {
        Box::pin(async { Err(TokenRefusal::Invalid) })
    }

    fn subscribe<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TokenGrant, TokenRefusal>> {
        Box::pin(async { Err(TokenRefusal::Invalid) })
    }
}

/// `chat:` has history and presence; channels without a namespace have neither.
fn namespaces() -> Namespaces {
    let chat = ChannelOptions {
        presence: true,
        history_size: 10,
        history_ttl: Duration::from_mins(5),
        history_meta_ttl: Duration::from_hours(1),
        force_positioning: true,
        force_recovery: true,
        ..ChannelOptions::default()
    };
    Namespaces::new(
        NameRules::default(),
        ChannelOptions::default(),
        [("chat".to_owned(), chat)],
    )
}

impl Rig {
    pub(super) fn new() -> Self {
        let settings = Arc::new(Settings {
            version: "1.2.3".into(),
            channel_limit: 2,
            ..Settings::default()
        });
        let namespaces = Arc::new(namespaces());
        let budget = Arc::new(MemoryBudget::new(None));
        let clock = Arc::new(ManualClock(AtomicU64::new(0)));
        let (inboxes, shard_inboxes) = Inboxes::new(1);
        let (node, seats) = Node::new(Parts {
            settings: Arc::clone(&settings),
            namespaces: Arc::clone(&namespaces),
            broker: Arc::new(MemoryBroker::new(
                inboxes.clone(),
                Arc::clone(&budget),
                Arc::clone(&clock) as Arc<dyn Clock>,
                Duration::from_hours(1),
            )),
            presence: Arc::new(MemoryPresence::default()),
            authority: Arc::new(Trusting),
            application: Arc::new(NoApplication),
            budget: Arc::clone(&budget),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            inboxes,
            shard_inboxes,
            name: "here_8000".into(),
            cluster: None,
        });
        let seat = seats.into_iter().next().unwrap();
        let shard = Shard::new(
            seat.id,
            node.id(),
            settings,
            namespaces,
            budget,
            clock.now(),
        );
        let shard = Rc::new(RefCell::new(shard));
        let (inbox, controls) = (seat.inbox, seat.controls);
        let worker = Worker {
            node: Arc::clone(&node),
            shard: Rc::clone(&shard),
            clock: Arc::clone(&clock),
        };
        actix_web::rt::spawn(worker.run(controls));
        Self {
            node,
            settings: open_to_all(),
            clock,
            shard,
            inbox: RefCell::new(inbox),
        }
    }

    /// Lets time pass.
    pub(super) fn wait(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock.0.fetch_add(millis, Relaxed);
    }

    /// Connects a client of `user`; `number` makes its id.
    pub(super) async fn connect(&self, user: &str, number: u8) -> Client {
        let (now, random) = (self.clock.now(), [[number; 16]; 2]);
        let connect = format!(r#"{{"id":1,"connect":{{"token":"{user}"}}}}"#);
        let key = {
            let mut shard = self.shard.borrow_mut();
            let key = shard.open(now, Wire::WebSocket(Encoding::Json), random, None);
            shard.receive(
                now,
                key,
                Wire::WebSocket(Encoding::Json).commands(connect.as_bytes()),
            );
            key
        };
        self.worker().do_errands().await;
        let client = Client {
            id: ClientId::from_random(random[0], 0),
            key,
        };
        assert!(self.read(&client).contains("connect"), "connected");
        client
    }

    /// What the client has been sent since it was last asked, frame headers included.
    pub(super) fn read(&self, client: &Client) -> String {
        let mut shard = self.shard.borrow_mut();
        while let Ok(delivery) = self.inbox.borrow_mut().try_recv() {
            shard.deliver(self.clock.now(), &delivery);
        }
        let mut slices = [IoSlice::new(&[]); 64];
        let outbox = shard.outbox(client.key).unwrap();
        let filled = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        shard.wrote(client.key, bytes.len());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) async fn call(&self, method: &str, body: &str) -> String {
        let answer = self.post(&format!("/api/{method}"), body).await;
        assert_eq!(answer.status, super::OK, "{}", answer.body);
        assert_eq!(answer.content_type, "application/json");
        answer.body
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = TestRequest::post().uri(path);
        self.send(request.set_payload(body.to_owned())).await
    }

    pub(super) async fn send(&self, request: TestRequest) -> Answer {
        let node = Arc::clone(&self.node);
        let app = App::new().configure(|services| {
            crate::api::configure(node, Gate::new(&self.settings), &self.settings, services);
        });
        let app = init_service(app).await;
        let response = call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map_or("", |value| value.to_str().unwrap());
        let content_type = content_type.to_owned();
        let body = String::from_utf8(read_body(response).await.into()).unwrap();
        Answer {
            status,
            content_type,
            body,
        }
    }

    /// The epoch of a channel with history.
    pub(super) async fn epoch(&self, channel: &str) -> String {
        let page = self.node.history(channel, <_>::default()).await.unwrap();
        page.top.epoch.as_str().to_owned()
    }

    pub(super) async fn info(&self) -> NodeInfo {
        self.node.info().await
    }

    fn worker(&self) -> Worker {
        Worker {
            node: Arc::clone(&self.node),
            shard: Rc::clone(&self.shard),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// The settings of an API that asks for no key.
fn open_to_all() -> HttpApi {
    HttpApi {
        disabled: false,
        handler_prefix: "/api".into(),
        key: Secret::default(),
        error_mode: ErrorMode::Envelope,
        external: false,
        insecure: true,
    }
}

/// Does for the shard what a worker thread does.
struct Worker {
    node: Arc<Node>,
    shard: Rc<RefCell<Shard>>,
    clock: Arc<ManualClock>,
}

impl Worker {
    async fn run(self, mut controls: tokio::sync::mpsc::Receiver<Control>) {
        while let Some(control) = controls.recv().await {
            self.obey(control).await;
        }
    }

    async fn obey(&self, control: Control) {
        let now = self.clock.now();
        match control {
            Control::Order(target, order, done) => {
                let count = self.shard.borrow_mut().order(now, &target, &order);
                self.do_errands().await;
                done.send(count).unwrap();
            }
            Control::Report(done) => done.send(self.shard.borrow().report()).unwrap(),
            Control::Sessions(target, done) => {
                done.send(self.shard.borrow().sessions(&target)).unwrap();
            }
            Control::Channels(filter, done) => {
                let shard = self.shard.borrow();
                let chosen = shard
                    .channels()
                    .filter(|(name, _)| filter.accepts(name.as_str()));
                let chosen =
                    chosen.map(|(name, members): (&ChannelName, _)| (name.clone(), members));
                done.send(chosen.collect()).unwrap();
            }
            Control::Drain(_) | Control::Emulate(..) | Control::Follow(..) => {}
        }
    }

    async fn do_errands(&self) {
        loop {
            let mut errands = Vec::new();
            self.shard.borrow_mut().take_errands(&mut errands);
            if errands.is_empty() {
                return;
            }
            let (id, now) = (self.shard.borrow().id(), self.clock.now());
            for errand in errands {
                match errand {
                    Errand::Ask(key, ticket, ask) => {
                        let answer = self.node.ask(id, ask).await;
                        self.shard.borrow_mut().answer(now, key, ticket, answer);
                    }
                    Errand::Tell(tell) => self.node.tell(id, tell).await,
                    Errand::Repair(channel, _) => panic!("nothing is lost in {channel:?}"),
                }
            }
        }
    }
}
