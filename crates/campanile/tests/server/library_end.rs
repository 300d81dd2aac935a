//! What is left of a server in a process that goes on without it.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::{env, io};

use campanile::engine::broker::MemoryBroker;
use campanile::{RunningServer, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::embedded::config;
use crate::support::log::Log;

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
