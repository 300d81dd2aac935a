//! The program itself: started with a configuration of the test's, on a port of the system's
//! choice, in a directory of its own, and stopped by a signal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};

use super::http::{self, Response};
use super::log::Log;
use super::{API_KEY, PATIENCE, TOKEN_SECRET};

/// How to start a server.
#[derive(Clone)]
pub(crate) struct Setup {
    config: Value,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What a shell does before it becomes the program.
    prepare: Vec<String>,
    /// What the program is handed over instead of binding an address.
    socket: Option<Arc<TcpListener>>,
}

/// Where a server and those that follow it run; gone with the last of them.
pub(crate) struct Home(PathBuf);

/// A running server; killed when it is dropped, so that a failed test leaves nothing behind.
pub(crate) struct Server {
    child: Child,
    setup: Setup,
    pub(crate) home: Arc<Home>,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
}

impl Setup {
    /// One worker, which whoever misbehaves shares with everybody else; anyone may connect and
    /// subscribe.
    pub(crate) fn new() -> Self {
        Self {
            config: json!({
                "http_server": {"address": "127.0.0.1", "port": 0, "workers": 1},
                "shutdown": {"timeout": "5s", "drain": "0s"},
                "client": {
                    "allow_anonymous_connect_without_token": true,
                    "token": {"hmac_secret_key": TOKEN_SECRET},
                },
                "channel": {"without_namespace": {
                    "allow_subscribe_for_client": true,
                    "allow_subscribe_for_anonymous": true,
                }},
                "http_api": {"key": API_KEY},
                "health": {"enabled": true},
                "prometheus": {"enabled": true},
            }),
            arguments: Vec::new(),
            environment: Vec::new(),
            prepare: Vec::new(),
            socket: None,
        }
    }

    /// Changes the configuration: tables are merged, everything else is replaced, and nothing is
    /// left of what becomes null.
    pub(crate) fn with(mut self, changes: Value) -> Self {
        merge(&mut self.config, changes);
        self
    }

    /// Adds a command line argument.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable, beside which there is none.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Hands a socket over, as systemd does: as descriptor 3.
    pub(crate) fn socket(mut self, socket: Arc<TcpListener>) -> Self {
        self.socket = Some(socket);
        self.prepare("exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$")
    }

    /// Has a shell do this before it becomes the program.
    pub(crate) fn prepare(mut self, commands: &str) -> Self {
        self.prepare.push(commands.into());
        self
    }

    /// Writes the configuration to where the program looks for it.
    pub(crate) fn write(&self, home: &Home) -> PathBuf {
        let config = home.path().join("config.json");
        fs::write(&config, self.config.to_string()).expect("a writable directory");
        config
    }

    /// Lets the process have no more descriptors than this.
    pub(crate) fn descriptors(self, descriptors: u32) -> Self {
        self.prepare(&format!("ulimit -n {descriptors}"))
    }

    /// Lets no file of the process become longer than this many blocks, of 512 or 1,024 bytes.
    pub(crate) fn file_blocks(self, blocks: u32) -> Self {
        self.prepare(&format!("ulimit -f {blocks}"))
    }

    fn command(&self, home: &Home) -> Command {
        let program = env!("CARGO_BIN_EXE_campanile");
        let mut command = if self.prepare.is_empty() {
            Command::new(program)
        } else {
            let mut shell = Command::new("sh");
            let prepare = self.prepare.join("; ");
            shell.args(["-c", &format!("{prepare}; exec \"$0\" \"$@\"")]);
            shell.arg(program);
            shell
        };
        command.arg("serve").arg("--config").arg(self.write(home));
        command.args(&self.arguments).env_clear();
        command.envs(self.environment.iter().cloned());
        if let Some(socket) = &self.socket {
            let socket = socket.try_clone().expect("a descriptor");
            command.stdin(OwnedFd::from(socket));
        }
        command.current_dir(home.path());
        command
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        self.start_in(Arc::new(Home::new()))
    }

    /// The same where another server was, or is.
    pub(crate) fn start_in(self, home: Arc<Home>) -> Server {
        let mut child = self
            .command(&home)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        // From here on a panic ends the process.
        let mut server = Server {
            child,
            setup: self,
            home,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
        };
        let (_, line) = server.log.wait_for(" address=");
        let address = line.split(" address=").nth(1).unwrap_or_default();
        let address = address.split(' ').next().unwrap_or_default();
        server.address = address.parse().expect("the address is logged");
        if line.contains("tls=false") {
            let deadline = Instant::now() + PATIENCE;
            while server.get("/ready").status != 200 {
                assert!(Instant::now() < deadline, "never ready");
            }
        }
        server
    }

    /// Runs it to an end that it comes to by itself.
    pub(crate) fn run_to_end(self) -> Output {
        self.run_to_end_in(&Home::new())
    }

    /// The same where another server was, or is.
    pub(crate) fn run_to_end_in(self, home: &Home) -> Output {
        self.command(home).output().expect("the program runs")
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("server-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What a process of the same id left behind is not a test's to find.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a writable directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    into.remove(&key);
                    continue;
                }
                merge(into.entry(key).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes,
    }
}

impl Server {
    /// One that suits most tests.
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// A connection without a word said on it.
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// Sends bytes on a new connection and gives all that comes back until its end.
    pub(crate) fn exchange(&self, request: &[u8]) -> String {
        http::exchange(self.tcp(), request)
    }

    /// Sends bytes that may be anything, and waits until the server has done with them.
    pub(crate) fn exchange_whatever(&self, bytes: &[u8]) {
        let mut stream = self.tcp();
        stream.write_all(bytes).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("a socket");
        let mut answer = Vec::new();
        // Refused with bytes unread, it may be cut off.
        let _ = stream.read_to_end(&mut answer);
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        Response::parse(&self.exchange(&http::request("GET", path, &[], "")))
    }

    /// Calls the server API with its key.
    pub(crate) fn api(&self, method: &str, body: &Value) -> Response {
        let path = format!("/api/{method}");
        let request = http::request("POST", &path, &[("X-API-Key", API_KEY)], &body.to_string());
        Response::parse(&self.exchange(&request))
    }

    /// Publishes, which has to succeed.
    pub(crate) fn publish(&self, channel: &str, data: &Value) {
        let response = self.api("publish", &json!({"channel": channel, "data": data}));
        // With a position in it, where there is history.
        let succeeded = response.body.starts_with(r#"{"result":{"#);
        assert!(response.status == 200 && succeeded, "{response:?}");
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").body;
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let mut lines = status
            .lines()
            .filter_map(|line| line.strip_prefix("VmRSS:"));
        let line = lines.next().expect("Linux tells it");
        let number = line.trim().trim_end_matches(" kB");
        number.parse().expect("Linux tells it as a number")
    }

    /// Time on a processor so far, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("it runs");
        // Behind the name in parentheses; the times of user and system are fields 14 and 15.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let times = fields.skip(11).take(2).map(str::parse::<u64>);
        times.sum::<Result<_, _>>().expect("Linux tells it")
    }

    /// Fails when resident memory has grown by more than `most` KiB.
    pub(crate) fn assert_grown_at_most(&self, most: u64, before: u64) {
        let now = self.resident();
        assert!(now <= before + most, "grew from {before} to {now} KiB");
    }

    /// Changes the configuration and has it read again.
    pub(crate) fn reload(&mut self, changes: Value) {
        const DONE: &str = "configuration reloaded";
        merge(&mut self.setup.config, changes);
        self.setup.write(&self.home);
        let before = self.log.count(DONE);
        self.signal(Signal::HUP);
        self.log.wait_for_count(DONE, before + 1);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// The exit code, once the process has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let ended = self.log.wait_for_end();
        assert!(ended.is_some(), "still running:\n{}", self.log.text());
        self.child.wait().expect("a child").code()
    }

    /// How long a file may become from now on, in bytes; `None` for as long as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("it is our child");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends it by this signal, and starts another one in its place.
    pub(crate) fn restart(mut self, signal: Signal) -> Self {
        self.signal(signal);
        self.wait();
        let (setup, home) = (self.setup.clone(), Arc::clone(&self.home));
        drop(self);
        setup.start_in(home)
    }

    /// Stops it in good order, and gives everything it logged.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let code = self.wait();
        let text = self.log.text();
        assert_eq!(code, Some(0), "{text}");
        let (stopped, _) = self.log.wait_for(": stopped");
        let ended = self.log.wait_for_end().expect("it has ended");
        let lingered = ended - stopped;
        assert!(
            lingered < Duration::from_millis(500),
            "lived on for {lingered:?}"
        );
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
