//! `redis-server` processes in directories of their own, which end with the tests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use campanile::config::Secret;
use campanile::redis::{Access, Address, Servers, Settings};
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, free_port};

/// A `redis-server`.
pub(crate) struct RedisServer {
    child: Option<Child>,
    pub port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    password: Option<String>,
    /// Where its clock is kept, if it is moved.
    clock: Option<PathBuf>,
}

impl RedisServer {
    /// One that keeps nothing.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One with more options: pairs of `--name`, `value`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut server = Self::prepare(options);
        server.resume();
        server
    }

    /// One that lives by [`RedisServer::advance`].
    pub(crate) fn start_with_clock() -> Self {
        let mut server = Self::prepare(&[]);
        server.clock = Some(server.directory.join("clock"));
        server.set_clock(Duration::ZERO);
        server.resume();
        server
    }

    fn prepare(options: &[&str]) -> Self {
        let port = free_port();
        let directory = scratch(&format!("redis-{port}"));
        let mut arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
        let mut option = |name: &str, value: &str| {
            if !options.contains(&name) {
                arguments.extend([name.to_owned(), value.to_owned()]);
            }
        };
        option("--port", &port.to_string());
        option("--bind", "127.0.0.1");
        option("--save", "");
        option("--repl-diskless-sync-delay", "0");
        option("--dir", directory.to_str().expect("a path of ours is text"));
        option("--logfile", "redis.log");
        let password = arguments
            .iter()
            .position(|argument| argument == "--requirepass");
        let password = password.map(|at| arguments[at + 1].clone());
        Self {
            child: None,
            port,
            directory,
            arguments,
            password,
            clock: None,
        }
    }

    /// Starts it again, as it was.
    pub(crate) fn resume(&mut self) {
        let mut command = match &self.clock {
            None => Command::new("redis-server"),
            Some(clock) => {
                let mut command = Command::new("faketime");
                command.env("FAKETIME_TIMESTAMP_FILE", clock);
                command.env("FAKETIME_NO_CACHE", "1");
                command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
                command.args(["-f", "+0s", "redis-server"]);
                command
            }
        };
        let child = command
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server has to be installed (and faketime): apt-get install redis-server faketime");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self
            .try_ask(&["PING"])
            .is_ok_and(|answer| answer.contains("PONG"))
        {
            assert!(Instant::now() < deadline, "redis-server does not start");
            sleep(Duration::from_millis(5));
        }
    }

    /// Moves its clock.
    pub(crate) fn advance(&self, time: Duration) {
        let path = self.clock.as_ref().expect("it was started with a clock");
        let text = fs::read_to_string(path).expect("it is ours");
        let before: f64 = text
            .trim()
            .trim_end_matches('s')
            .parse()
            .expect("it is ours");
        self.set_clock(Duration::from_secs_f64(before) + time);
    }

    fn set_clock(&self, ahead: Duration) {
        let path = self.clock.as_ref().expect("it was started with a clock");
        let new = path.with_extension("new");
        fs::write(&new, format!("+{:.3}s", ahead.as_secs_f64())).expect("it is ours");
        fs::rename(new, path).expect("it is ours");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without ending it, or lets it go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_child(child);
        let signal = if is_frozen {
            Signal::STOP
        } else {
            Signal::CONT
        };
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn address(&self) -> Address {
        address(self.port)
    }

    /// Asks it something; the answer as it comes over the line.
    pub(crate) fn ask(&self, parts: &[&str]) -> String {
        self.try_ask(parts).expect("it answers")
    }

    fn try_ask(&self, parts: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut output = String::new();
        if let Some(password) = &self.password {
            output += &encode(&["AUTH", password]);
        }
        output += &encode(parts);
        output += &encode(&["QUIT"]);
        stream.write_all(output.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn encode(parts: &[&str]) -> String {
    let mut output = format!("*{}\r\n", parts.len());
    for part in parts {
        output += &format!("${}\r\n{part}\r\n", part.len());
    }
    output
}

/// An empty directory.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let unique = format!("campanile-{}-{count}-{name}", std::process::id());
    let directory = std::env::temp_dir().join(unique);
    fs::create_dir_all(&directory).expect("the temporary directory can be written");
    directory
}

pub(crate) fn address(port: u16) -> Address {
    Address {
        host: "127.0.0.1".into(),
        port,
    }
}

/// Settings for one server.
pub(crate) fn settings(servers: Servers) -> Settings {
    Settings {
        servers,
        access: Access::default(),
        prefix: "campanile".into(),
        connect_timeout: Duration::from_secs(1),
        io_timeout: Duration::from_secs(2),
        probe_interval: Duration::from_millis(200),
    }
}

/// The same for who has to say a password.
pub(crate) fn with_password(settings: Settings, password: &str) -> Settings {
    Settings {
        access: Access {
            password: Secret::new(password),
            ..settings.access
        },
        ..settings
    }
}
