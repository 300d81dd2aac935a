//! A server in a thread of this process, as an embedding application has it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use actix_server::ServerHandle;
use campanile::transport::{
    Admission, HandshakeRules, Listener, Origins, StreamEndpoints, WorkerPool, listen,
};
use campanile_engine::application::Application;
use campanile_engine::budget::MemoryBudget;
use campanile_engine::settings::Settings;
use campanile_protocol::ws;

use super::PATIENCE;
use super::client::{Client, ECHO};
use super::http::Upgrade;
use super::node::node;

/// What a test has decided for itself.
struct Plan<F> {
    settings: Settings,
    application: Arc<dyn Application>,
    change: F,
}

pub(crate) struct Embedded {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Embedded {
    /// A server with nothing but the echo endpoint, unless `change` adds something.
    pub(crate) fn start(
        settings: Settings,
        application: Arc<dyn Application>,
        change: impl FnOnce(&mut Listener) + Send + 'static,
    ) -> Self {
        let (started, address) = mpsc::channel();
        let plan = Plan {
            settings,
            application,
            change,
        };
        let thread = thread::spawn(move || actix_rt::System::new().block_on(serve(plan, started)));
        let (address, handle) = address.recv_timeout(PATIENCE).expect("it starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    pub(crate) fn client(&self, path: &str) -> Client {
        Client::upgrade(self.tcp(), &Upgrade::new(path).bytes())
    }

    pub(crate) fn stop(mut self) {
        drop(self.handle.stop(true));
        let thread = self.thread.take().expect("it was started");
        thread.join().expect("it ends well");
    }
}

async fn serve(
    plan: Plan<impl FnOnce(&mut Listener)>,
    started: Sender<(SocketAddr, ServerHandle)>,
) {
    let budget = Arc::new(MemoryBudget::new(None));
    let (node, seats) = node(1, &budget, plan.settings, plan.application);
    let mut listener = Listener {
        workers: Arc::new(WorkerPool::new(node, seats, ws::Limits::default())),
        compresses: false,
        worker_count: 1,
        websocket_path: None,
        uni_websocket_path: None,
        plain_prefix: None,
        streams: StreamEndpoints::default(),
        echo_path: ECHO.into(),
        requests_max: 64,
        origins: Origins::new::<&str>(&[]).expect("no pattern is a bad one"),
        handshakes: HandshakeRules::default(),
        admission: Arc::new(Admission::new(100, None, budget)),
        tls: None,
        routes: Arc::new(|_| {}),
        shutdown_timeout: Duration::from_secs(2),
    };
    (plan.change)(&mut listener);
    let (server, handle, address) =
        listen(listener, ([127, 0, 0, 1], 0).into()).expect("a port is free");
    started.send((address, handle)).expect("the test waits");
    server.await.expect("it serves");
}
