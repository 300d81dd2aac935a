//! Redis servers that die with the test, and nodes that share them.

use std::convert::Infallible;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use campanile::background::Background;
use campanile::redis::{Access, Address, Redis, RedisLink, Servers, Settings};
use campanile::vitals::Vitals as _;
use campanile_engine::broker::remote::RemoteBroker;
use campanile_engine::broker::{Broker, BrokerError, HistoryQuery, NewPublication, Published};
use campanile_engine::delivery::{Delivery, Event, Inbox, Inboxes, ShardId};
use campanile_engine::testkit::channel;
use campanile_engine::testkit::contract::{EVERYTHING, Fixture, RETENTION, kept};
use campanile_engine::time::{Clock, MachineClock};
use campanile_protocol::{Position, Publication};
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, eventually};

static BACKGROUND: LazyLock<Background> = LazyLock::new(|| Background::start().expect("a thread"));

/// A server with a directory and a port of its own, which it keeps when it is started again.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    directory: PathBuf,
    program: &'static str,
    arguments: Vec<String>,
    password: String,
    running: Option<Running>,
}

/// A shell that waits for the end of its input, and then kills the server: so that it does not
/// outlive a test that dies.
struct Running {
    shell: Child,
    _input: ChildStdin,
    pid: Pid,
}

impl RedisServer {
    /// One that keeps nothing.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One with these arguments beside its own, or instead of them.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut server = Self::prepare("redis-server", arguments);
        server.run();
        server
    }

    /// One that wants this password.
    pub(crate) fn with_password(password: &str) -> Self {
        let mut server = Self::prepare("redis-server", &["--requirepass", password]);
        server.password = password.to_owned();
        server.run();
        server
    }

    /// One that speaks TLS at another port.
    pub(crate) fn with_tls(options: &[(&str, &str)]) -> Self {
        let port = free_port().to_string();
        let options = options.iter().flat_map(|(name, value)| [*name, *value]);
        let arguments: Vec<&str> = ["--tls-port", &port].into_iter().chain(options).collect();
        Self::with(&arguments)
    }

    pub(crate) fn tls_port(&self) -> u16 {
        let at = self
            .arguments
            .iter()
            .position(|argument| argument == "--tls-port");
        let port = at.and_then(|at| self.arguments[at + 1].parse().ok());
        port.expect("it was started with one")
    }

    /// A sentinel that watches `primary` under the name `main`, and is content with itself alone.
    pub(crate) fn sentinel(primary: u16, after: Duration) -> Self {
        let mut server = Self::prepare("redis-sentinel", &[]);
        let file = server.directory.join("sentinel.conf");
        let after = after.as_millis();
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nlogfile log\n\
             sentinel monitor main 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds main {after}\n\
             sentinel failover-timeout main 3000\n",
            server.port,
            server.directory.display(),
        );
        fs::write(&file, text).expect("a new file");
        server.arguments = vec![file.display().to_string()];
        server.run();
        server
    }

    fn prepare(program: &'static str, arguments: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("redis-{}-{count}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).expect("a new directory");
        let port = free_port();
        let text = directory.display().to_string();
        let number = port.to_string();
        let own = [
            ("--port", &*number),
            ("--bind", "127.0.0.1"),
            ("--save", ""),
            ("--repl-diskless-sync-delay", "0"),
            ("--dir", &*text),
            ("--logfile", "log"),
        ];
        let own = own
            .into_iter()
            .filter(|(name, _)| !arguments.contains(name));
        let own = own.flat_map(|(name, value)| [name, value]);
        Self {
            arguments: own
                .chain(arguments.iter().copied())
                .map(Into::into)
                .collect(),
            port,
            directory,
            program,
            password: String::new(),
            running: None,
        }
    }

    /// Starts it, again if it was killed; returns when it answers.
    pub(crate) fn run(&mut self) {
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(r#""$@" >/dev/null & server=$!; echo $server; cat >/dev/null; kill -9 $server"#)
            .arg("redis-tests")
            .arg(self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let output = shell.stdout.take().expect("it is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("it says so first");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        self.running = Some(Running {
            _input: shell.stdin.take().expect("it is piped"),
            shell,
            pid: pid.expect("a process has a number"),
        });
        let what = format!(
            "{} does not start: apt-get install redis-server redis-sentinel",
            self.program
        );
        eventually(&what, || {
            self.try_ask(&["PING"])
                .is_ok_and(|answer| answer.contains("PONG"))
        });
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = kill_process(running.pid, Signal::KILL);
            drop(running._input);
            let _ = running.shell.wait();
        }
    }

    /// Has it stand still, or go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let running = self.running.as_ref().expect("it runs");
        let signal = if is_frozen {
            Signal::STOP
        } else {
            Signal::CONT
        };
        kill_process(running.pid, signal).expect("it runs");
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
        if !self.password.is_empty() {
            output += &encode(&["AUTH", &self.password]);
        }
        output += &encode(parts);
        stream.write_all(output.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that nobody has, nor the one 10,000 above, at which a server of a cluster speaks to others.
/// Below those that the system gives away itself.
fn free_port() -> u16 {
    // Each process begins elsewhere, so that two that run at once seldom want the same.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let random = RandomState::new().hash_one(std::process::id());
        AtomicU16::new(u16::try_from(random % 4_500).expect("it is small"))
    });
    loop {
        let port = 18_100 + NEXT.fetch_add(1, Ordering::Relaxed) % 4_500;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

fn encode(parts: &[&str]) -> String {
    let mut output = format!("*{}\r\n", parts.len());
    for part in parts {
        output += &format!("${}\r\n{part}\r\n", part.len());
    }
    output
}

pub(crate) fn address(port: u16) -> Address {
    Address {
        host: "127.0.0.1".into(),
        port,
    }
}

/// A prefix that no other test has.
pub(crate) fn fresh_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What a test usually wants.
pub(crate) fn settings(servers: Servers) -> Settings {
    Settings {
        servers,
        access: Access::default(),
        prefix: fresh_prefix(),
        connect_timeout: Duration::from_secs(1),
        io_timeout: Duration::from_secs(2),
        probe_interval: Duration::from_millis(200),
        replicas: None,
    }
}

/// A node's part in a store that others share.
pub(crate) struct RedisNode {
    pub(crate) link: Arc<RedisLink>,
    pub(crate) broker: RemoteBroker,
}

impl RedisNode {
    /// One that may not be connected yet.
    pub(crate) fn begin(settings: Settings, inboxes: Inboxes, clock: Arc<dyn Clock>) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer();
        // Only the first test is the first.
        let _ = log.try_init();
        let redis = Redis::start(settings, &BACKGROUND.spawner());
        let mut link = None;
        let connect = |hearing| {
            let made = Arc::new(RedisLink::open(&redis, hearing, RETENTION.meta_ttl));
            Ok::<_, Infallible>(Arc::clone(link.insert(made)))
        };
        let Ok(broker) = RemoteBroker::new(inboxes, clock, connect);
        Self {
            link: link.expect("the broker was made with it"),
            broker,
        }
    }

    /// Waits until it works.
    pub(crate) fn wait(&self) {
        eventually("it works", || self.link.obstacle().is_none());
    }

    /// The counter or gauge with this name.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let all = [self.link.gauges(), self.link.counters()].concat();
        let found = all.iter().find(|(found, _, _)| *found == name);
        found.expect("there is one").2
    }
}

/// A broker for the contract.
pub(crate) fn broker(fixture: &Fixture, settings: Settings) -> Arc<dyn Broker> {
    let node = RedisNode::begin(settings, fixture.inboxes.clone(), fixture.clock.clone());
    node.wait();
    Arc::new(node.broker)
}

/// A node with one shard.
pub(crate) struct Peer {
    pub(crate) node: RedisNode,
    inbox: Inbox,
}

impl Peer {
    /// One that works.
    pub(crate) fn start(settings: Settings) -> Self {
        let peer = Self::begin(settings);
        peer.node.wait();
        peer
    }

    pub(crate) fn begin(settings: Settings) -> Self {
        let (inboxes, mut shards) = Inboxes::new(1);
        let clock = Arc::new(MachineClock::start());
        Self {
            node: RedisNode::begin(settings, inboxes, clock),
            inbox: shards.pop().expect("there is one"),
        }
    }

    pub(crate) async fn subscribe(&self, name: &str) -> Result<Position, BrokerError> {
        let shard = ShardId::new(0).expect("the first one");
        self.node.broker.subscribe(shard, &channel(name)).await
    }

    pub(crate) async fn publish(&self, new: NewPublication) -> Result<Published, BrokerError> {
        self.node.broker.publish(new).await
    }

    /// Publishes into a history; where it is.
    pub(crate) async fn keep(&self, name: &str, text: &str) -> Result<Position, BrokerError> {
        let published = self.publish(kept(name, text)).await?;
        Ok(published.position.expect("history is kept"))
    }

    pub(crate) async fn history(&self, name: &str) -> (Vec<u64>, Position) {
        self.try_history(name, EVERYTHING)
            .await
            .expect("it can be read")
    }

    pub(crate) async fn try_history(
        &self,
        name: &str,
        query: HistoryQuery,
    ) -> Result<(Vec<u64>, Position), BrokerError> {
        let page = self.node.broker.history(&channel(name), query).await?;
        let publications = page.publications.iter();
        let offsets = publications.map(|publication| publication.offset);
        Ok((offsets.collect(), page.top))
    }

    pub(crate) async fn delivery(&mut self) -> Arc<Delivery> {
        self.inbox
            .recv()
            .await
            .expect("the broker keeps its inboxes")
    }

    /// The next publication, whatever else comes before.
    pub(crate) async fn publication(&mut self) -> Arc<Publication> {
        loop {
            if let Event::Publication { publication, .. } = &self.delivery().await.event {
                return Arc::clone(publication);
            }
        }
    }

    /// Waits until it is told that something may be missing in the channel.
    pub(crate) async fn lapse(&mut self, name: &str) {
        loop {
            let delivery = self.delivery().await;
            if matches!(delivery.event, Event::Lapse) && delivery.channel.as_str() == name {
                return;
            }
        }
    }
}

/// Waits until the channel can be published to again; where that came.
pub(crate) async fn keep_soon(peer: &Peer, name: &str, text: &str) -> Position {
    let end = Instant::now() + PATIENCE;
    loop {
        match peer.keep(name, text).await {
            Ok(position) => return position,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        // A server that takes publications again tells nobody but who tries.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
