//! A server in a thread of this process, put together by the library's public face.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use campanile::{Config, Node, RunningServer, Server};

use serde_json::{Value, json};

use super::PATIENCE;
use super::client::Client;
use super::http::Upgrade;
use super::server::merge;

/// Anyone may connect and subscribe; nothing is kept on disk.
fn base() -> Value {
    json!({
        "http_server": {"workers": 1},
        "engine": {"type": "memory"},
        "shutdown": {"drain": "0s", "timeout": "5s"},
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        }},
    })
}

/// The same with changes.
pub(crate) fn config(changes: Value) -> Config {
    let mut config = base();
    merge(&mut config, changes);
    Config::from_json(&config.to_string()).expect("it is a configuration")
}

/// A running server; stopped when it is dropped.
pub(crate) struct Embedded {
    pub(crate) server: RunningServer,
    thread: Option<thread::JoinHandle<()>>,
}

impl Embedded {
    /// One with these changes to its configuration, and what `add` adds to it.
    pub(crate) fn start(
        changes: Value,
        add: impl FnOnce(Server) -> Server + Send + 'static,
    ) -> Self {
        let config = config(changes);
        let (started, running) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let server = Server::new(config).without_signals().bind("127.0.0.1:0");
                let server = add(server).run().expect("it serves");
                started.send(server.clone()).expect("the test waits");
                server.wait().await.expect("it ends well");
            });
        });
        Self {
            server: running.recv_timeout(PATIENCE).expect("it starts"),
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        self.server.node()
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    pub(crate) fn client(&self, path: &str) -> Client {
        Client::upgrade(self.tcp(), &Upgrade::new(path).bytes())
    }

    /// Waits for a future that needs nothing of the runtime.
    pub(crate) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let patient = async { tokio::time::timeout(PATIENCE, future).await };
        runtime.block_on(patient).expect("it comes in time")
    }

    /// Stops it, and waits for that.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let ended = self.wait_for(self.server.stop());
            if !thread::panicking() {
                ended.expect("it ends well");
                thread.join().expect("it ends well");
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.end();
    }
}
