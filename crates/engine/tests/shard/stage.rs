//! An application that does as it is told by whom it is asked about, and a driver that goes on as far
//! as that lets it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use campanile_engine::application::{
    Application, Arrival, Caller, Decision, Interests, Lapse, Renewal, Revision, Verdict,
};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::broker::BoxFuture;
use campanile_engine::testkit::{Driver, Peer, Setup};
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload, Refusal, UserId};

/// What is slow in it waits until its gate is opened.
pub(crate) struct Stub {
    interests: Interests,
    pub(crate) is_open: AtomicBool,
    /// Questions that wait at the gate.
    pub(crate) waiting: AtomicUsize,
    told: Mutex<Vec<String>>,
}

impl Stub {
    fn with(interests: Interests) -> Arc<Self> {
        Arc::new(Self {
            interests,
            is_open: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            told: Mutex::default(),
        })
    }

    async fn gate(&self) {
        self.waiting.fetch_add(1, Relaxed);
        let _waits = Leaving(&self.waiting);
        poll_fn(|_| match self.is_open.load(Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    fn tell(&self, what: String) {
        self.told.lock().expect("nobody panics with it").push(what);
    }

    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().expect("nobody panics with it"))
    }
}

struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn bytes(text: &str) -> Payload {
    text.as_bytes().into()
}

impl Application for Stub {
    fn interests(&self) -> Interests {
        self.interests
    }

    /// The client's library names the behaviour.
    fn connecting<'a>(&'a self, arrival: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        Box::pin(async move {
            match arrival.request.name.as_str() {
                "slow" => self.gate().await,
                "curious" => {
                    // Only in one place, so that nobody takes those that are not wanted.
                    assert!(arrival.request.headers.is_empty());
                    let theme = arrival.headers.text("x-theme");
                    self.tell(format!("it comes with {theme:?}"));
                }
                "no code" => return Err(Refusal::new(0, "no").into()),
                "no json" => {
                    let mut credentials = Credentials::of("42");
                    credentials.data = Some(bytes("\0"));
                    return Ok(Verdict::Allowed(credentials));
                }
                "refused" => return Err(Disconnect::FORCE_DISCONNECT.into()),
                "ours" | "short" => {
                    let credentials = Credentials {
                        user: UserId::new("ours"),
                        expire_at: (arrival.request.name == "short").then_some(1_700_000_005),
                        info: None,
                        meta: Some(bytes(r#"{"m":1}"#)),
                        data: Some(bytes(r#"{"d":1}"#)),
                        subscriptions: Vec::new(),
                        considers_wishes: false,
                    };
                    return Ok(Verdict::Allowed(credentials));
                }
                "wishful" => return Ok(Verdict::Allowed(Credentials::of("wishful"))),
                "panic" => panic!("as told"),
                _ => {}
            }
            Ok(Verdict::AsConfigured)
        })
    }

    fn connected<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if caller.user.as_str() == "slow" {
                self.gate().await;
            }
            self.tell(format!("{} came", caller.user.as_str()));
        })
    }

    fn refresh<'a>(&'a self, _: &'a Arc<Caller>) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(async { Err(Lapse::Ended) })
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        request: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        Box::pin(async {
            match request.channel.as_str() {
                "slow" => {
                    self.gate().await;
                    Ok(Verdict::AsConfigured)
                }
                "panic" => panic!("as told"),
                "open" => Ok(Verdict::Allowed(Grant::default())),
                "no json" => Ok(Verdict::Allowed(Grant {
                    info: Some(bytes("\0")),
                    ..Grant::default()
                })),
                _ => Ok(Verdict::AsConfigured),
            }
        })
    }

    /// The payload names the behaviour.
    fn publish<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _: &'a str,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        Box::pin(async move {
            let revision = match payload {
                br#""replace""# => Revision {
                    data: Some(bytes(r#""replaced""#)),
                    tags: Some(Box::new([("k".into(), "v".into())].into())),
                    ..Revision::default()
                },
                br#""skip""# => Revision {
                    skips_history: true,
                    ..Revision::default()
                },
                br#""once""# => Revision {
                    idempotency_key: Some("once".into()),
                    ..Revision::default()
                },
                _ => return Err(Refusal::PERMISSION_DENIED.into()),
            };
            Ok(Verdict::Allowed(revision))
        })
    }

    /// The method names the behaviour.
    fn rpc<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        method: &'a str,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Payload>> {
        if method == "panic at once" {
            panic!("as told");
        }
        Box::pin(async move {
            match method {
                "slow" => self.gate().await,
                "no code" => return Err(Refusal::new(0, "no").into()),
                "no json" => return Ok(Verdict::Allowed(bytes("\0"))),
                "nothing" => return Ok(Verdict::Allowed(bytes(""))),
                "no close code" => return Err(Disconnect::new(1005, "no").into()),
                "panic" => panic!("as told"),
                "panic later" => {
                    self.gate().await;
                    panic!("as told");
                }
                "who" => {
                    let meta = caller.meta.as_deref().map(String::from_utf8_lossy);
                    let who = format!(
                        r#""{} {:?} {} {} {}""#,
                        caller.user.as_str(),
                        caller.wire,
                        caller.name,
                        caller.version,
                        meta.unwrap_or_default().len()
                    );
                    return Ok(Verdict::Allowed(bytes(&who)));
                }
                "theme" => {
                    let headers = caller.headers.as_deref();
                    let theme = headers.and_then(|headers| headers.text("x-theme"));
                    let theme = format!("{:?}", theme.unwrap_or_default());
                    return Ok(Verdict::Allowed(bytes(&theme)));
                }
                _ => {}
            }
            Ok(Verdict::Allowed(payload.into()))
        })
    }

    fn message<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Result<Verdict<()>, Disconnect>> {
        Box::pin(async move {
            self.tell(String::from_utf8_lossy(payload).into());
            if payload == br#""no reason""# {
                return Err(Disconnect::new(4000, ""));
            }
            Ok(Verdict::Allowed(()))
        })
    }

    fn disconnected<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        disconnect: &'a Disconnect,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if caller.user.as_str() == "mourned" {
                self.gate().await;
            }
            self.tell(format!("{} left {}", caller.user.as_str(), disconnect.code));
        })
    }
}

/// A driver whose application may wait: settled as far as that lets it be.
pub(crate) struct Stage {
    pub(crate) driver: Driver,
    pub(crate) stub: Arc<Stub>,
}

impl Stage {
    pub(crate) fn with(interests: Interests, setup: Setup) -> Self {
        let stub = Stub::with(interests);
        let mut driver = Driver::with(setup, stub.clone());
        driver.manual = true;
        Self { driver, stub }
    }

    pub(crate) fn new(interests: Interests) -> Self {
        Self::with(interests, Setup::default())
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..4 {
            while self.driver.workers[0].waiting_count() > 0 {
                self.driver.begin(0);
            }
            for running in (0..self.running()).rev() {
                self.driver.poll(0, running);
            }
            for _ in 0..8 {
                self.driver.deliver(0);
            }
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.driver.workers[0].running_count()
    }

    pub(crate) fn open_gate(&mut self) {
        self.stub.is_open.store(true, Relaxed);
        self.run();
    }

    pub(crate) fn connect(&mut self, token: &str) -> Peer {
        let peer = self.driver.connect(0, token);
        self.run();
        peer
    }

    /// A connection of this client library, which has no token.
    pub(crate) fn arrive(&mut self, name: &str) -> Peer {
        let mut peer = self.driver.open(0);
        let connect = format!(r#"{{"id":1,"connect":{{"name":"{name}","version":"7"}}}}"#);
        self.driver.send(&mut peer, &connect);
        self.run();
        peer
    }

    /// What is said to these commands, as far as it can be said already.
    pub(crate) fn ask(&mut self, peer: &mut Peer, commands: &str) -> Vec<String> {
        self.driver.send(peer, commands);
        self.go_on(peer)
    }

    pub(crate) fn go_on(&mut self, peer: &mut Peer) -> Vec<String> {
        for _ in 0..4 {
            self.run();
            self.driver.resume(peer);
        }
        self.run();
        self.driver.read(peer)
    }

    pub(crate) fn release(&mut self, peer: &Peer) {
        self.driver.release(peer);
        self.run();
    }
}
