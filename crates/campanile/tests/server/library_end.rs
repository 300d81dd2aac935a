//! What is left of a server in a process that goes on without it.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::{env, io};

use campanile::engine::broker::MemoryBroker;
use campanile::handlers::{Handlers, SessionHandle};
use campanile::protocol::{Disconnect, Refusal};
use campanile::{Node, RunningServer, ServeError, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, WEBSOCKET};
use crate::support::embedded::{Embedded, config};
use crate::support::http::Upgrade;
use crate::support::log::Log;
use crate::support::server::Home;

/// Which part a process of this test plays.
const PART: &str = "CAMPANILE_TEST_PART";

/// An application that has come to the point that a test waits for.
struct Application {
    child: Child,
    log: Log,
}

impl Application {
    fn start(part: &str) -> Self {
        let name = concat!(module_path!(), "::application");
        let (_, name) = name.split_once("::").expect("the name of the crate");
        let mut child = Command::new(env::current_exe().expect("it has a path"))
            .args(["--exact", name, "--ignored"])
            .env(PART, part)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        let application = Self { child, log };
        application.log.wait_for("now");
        application
    }

    /// How it ends by this signal.
    fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        let ended = self.log.wait_for_end();
        assert!(ended.is_some(), "still running: {}", self.log.text());
        self.child.wait().expect("a child")
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server() -> Server {
    Server::new(config(json!({}))).bind("127.0.0.1:0")
}

fn tell() {
    io::stderr().write_all(b"now\n").expect("somebody reads");
}

fn on_disk(home: &Home) -> Value {
    json!({
        "engine": {"type": "disk", "disk": {"path": home.path().join("kept")}},
        "channel": {"without_namespace": {"history_size": 10, "history_ttl": "1h"}},
    })
}

#[test]
fn a_data_directory_is_free_for_the_next_server_of_the_process() {
    let home = Home::new();
    let first = Embedded::start(on_disk(&home), |server| server);
    let publish = |embedded: &Embedded, node: &Node| {
        let published = embedded.wait_for(node.publish("news", *b"1"));
        published.map(|done| done.position.map(|at| at.offset))
    };
    assert_eq!(publish(&first, first.node()), Ok(Some(1)));
    let refused = actix_rt::System::new().block_on(async {
        let another = Server::new(config(on_disk(&home))).without_signals();
        another.bind("127.0.0.1:0").run()
    });
    let told = refused.expect_err("it is taken").to_string();
    let reason = "is in use by another process, or by another server of this one";
    assert!(told.contains(reason), "{told}");
    let (held, node) = (first.server.clone(), Arc::clone(first.node()));
    first.stop();
    let second = Embedded::start(on_disk(&home), |server| server);
    assert_eq!(publish(&second, &node), Err(Refusal::INTERNAL));
    assert_eq!(publish(&second, second.node()), Ok(Some(2)));
    drop(held);
    second.stop();
}

#[test]
fn servers_of_one_process_know_nothing_of_each_other() {
    let [one, other] = [(); 2].map(|()| Embedded::start(json!({}), |server| server));
    let subscriber = |embedded: &Embedded| {
        let mut client = embedded.client(WEBSOCKET);
        client.log_in();
        client.subscribe("news");
        client
    };
    let (mut its, mut others) = (subscriber(&one), subscriber(&other));
    let publish = |embedded: &Embedded, data: &str| {
        let published = embedded.node().publish("news", data.as_bytes());
        embedded.wait_for(published).expect("it is");
    };
    publish(&one, "1");
    publish(&other, "2");
    its.expect_publication("news", &json!(1));
    others.expect_publication("news", &json!(2));
    one.stop();
    its.expect_close(3001);
    publish(&other, "3");
    others.expect_publication("news", &json!(3));
    other.stop();
}

/// A session, opened while the runtime goes on.
async fn visitor(server: &RunningServer) -> Client {
    let stream = TcpStream::connect(server.local_addr()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let come = move || {
        let mut client = Client::upgrade(stream, &Upgrade::new(WEBSOCKET).bytes());
        client.log_in();
        client
    };
    let client = tokio::task::spawn_blocking(come).await;
    client.expect("it is let in")
}

/// Never comes to an end with anybody.
struct Endless;

impl Handlers for Endless {
    async fn disconnected(&self, _: &SessionHandle, _: &Disconnect) {
        std::future::pending::<()>().await;
    }
}

#[test]
fn a_stop_that_was_cut_off_says_so_and_leaves_the_port_free() {
    let changes = json!({"shutdown": {"timeout": "200ms"}});
    let server = Server::new(config(changes)).handlers(Endless);
    actix_rt::System::new().block_on(async {
        let server = server.without_signals().bind("127.0.0.1:0").run();
        let server = server.expect("it serves");
        let mut client = visitor(&server).await;
        for ended in [server.stop().await, server.wait().await] {
            assert!(matches!(ended, Err(ServeError::Unfinished)), "{ended:?}");
        }
        client.expect_close(3001);
        assert!(TcpStream::connect(server.local_addr()).is_err());
    });
}

#[test]
fn a_server_whose_runtime_has_ended_says_so_and_leaves_the_port_free() {
    let system = actix_rt::System::new();
    let server = system.block_on(async {
        let server = Server::new(config(json!({}))).without_signals();
        let server = server.bind("127.0.0.1:0").run().expect("it serves");
        visitor(&server).await;
        server
    });
    drop(system);
    assert!(TcpStream::connect(server.local_addr()).is_err());
    let ended = actix_rt::System::new().block_on(server.stop());
    assert!(matches!(ended, Err(ServeError::RuntimeEnded)), "{ended:?}");
}

#[test]
#[ignore = "the application in the tests below"]
fn application() {
    let Ok(part) = env::var(PART) else { return };
    let system = actix_rt::System::new();
    let stopped = async {
        let server = server().run().expect("it serves");
        server.stop().await.expect("well");
    };
    match part.as_str() {
        "stopped" => system.block_on(stopped),
        "refused" => system.block_on(async {
            let server = server().broker(|_| Err::<Arc<MemoryBroker>, _>("no cable"));
            server.run().expect_err("there is no broker");
        }),
        "without a runtime" => {
            let run = async { server().run().expect("it serves") };
            let _: RunningServer = system.block_on(run);
            drop(system);
        }
        "with another server" => {
            return system.block_on(async {
                let other = server().run().expect("it serves");
                stopped.await;
                tell();
                other.wait().await.expect("well");
            });
        }
        _ => panic!("no such part: {part}"),
    }
    tell();
    loop {
        std::thread::park();
    }
}

#[test]
fn signals_end_a_process_in_which_no_server_heeds_them_any_more() {
    for part in ["stopped", "refused", "without a runtime"] {
        for signal in [Signal::TERM, Signal::INT] {
            let status = Application::start(part).end(signal);
            assert_eq!(status.signal(), Some(signal.as_raw()), "{part}: {status}");
        }
    }
}

#[test]
fn a_signal_is_for_the_servers_that_are_left() {
    let status = Application::start("with another server").end(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{status}");
}
