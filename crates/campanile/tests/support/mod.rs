//! A server of its own for each test, its commands, and a wire between them that can be cut.
//!
//! Every wait has an end, and none is for time to pass.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own, gone with it.
pub(crate) struct Directory {
    path: PathBuf,
    /// What the environment is of programs that run in it.
    environment: Vec<(&'static str, String)>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("messages-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a new directory");
        Self {
            path,
            environment: Vec::new(),
        }
    }

    pub(crate) fn with_variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    pub(crate) fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.path.join(file), text).expect("a writable directory");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().expect("it is piped");
        // What does not read its input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program runs");
        let text = |stream| String::from_utf8(stream).expect("the program prints text");
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_campanile"))
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command where there is no configuration.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Directory::new().run(arguments)
}

/// A command that goes on until it is told to stop.
pub(crate) struct Running {
    child: Child,
    stdout: Option<Receiver<String>>,
    notices: Receiver<String>,
    directory: Directory,
}

impl Running {
    fn start(directory: Directory, arguments: &[&str]) -> Self {
        let mut child = directory.spawn(arguments);
        Self {
            stdout: child.stdout.take().map(lines),
            notices: lines(child.stderr.take().expect("it is piped")),
            child,
            directory,
        }
    }

    /// A subscriber that got as far as being one.
    pub(crate) fn subscriber(url: &str, arguments: &[&str]) -> Self {
        Self::subscriber_in(Directory::new(), url, arguments)
    }

    pub(crate) fn subscriber_in(directory: Directory, url: &str, arguments: &[&str]) -> Self {
        let arguments = [&["subscribe", "--url", url], arguments].concat();
        let subscriber = Self::start(directory, &arguments);
        let is_channel = |argument: &&&str| !argument.starts_with('-');
        for _ in arguments[3..].iter().filter(is_channel) {
            subscriber.wait_for_notice("subscribed to ");
        }
        subscriber
    }

    /// The same, with nobody to read what it prints.
    pub(crate) fn unread_subscriber(url: &str, channel: &str) -> Self {
        let directory = Directory::new();
        let mut child = directory.spawn(&["subscribe", "--url", url, channel]);
        drop(child.stdout.take());
        let notices = lines(child.stderr.take().expect("it is piped"));
        let subscriber = Self {
            child,
            stdout: None,
            notices,
            directory,
        };
        subscriber.wait_for_notice("subscribed to ");
        subscriber
    }

    pub(crate) fn next_line(&self) -> String {
        let lines = self.stdout.as_ref().expect("its output is read");
        lines.recv_timeout(PATIENCE).expect("a line of output")
    }

    /// The next line of standard error that has this text in it.
    pub(crate) fn wait_for_notice(&self, text: &str) -> String {
        let mut heard = Vec::new();
        while let Ok(line) = self.notices.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return line;
            }
            heard.push(line);
        }
        panic!("no {text:?} in {heard:#?}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end, which closes its standard error.
    pub(crate) fn end(mut self) -> Option<i32> {
        while self.notices.recv_timeout(PATIENCE).is_ok() {}
        if self.notices.try_recv() == Err(TryRecvError::Empty) {
            panic!("it goes on");
        }
        self.child.wait().expect("it ended").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A server in development mode.
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    pub(crate) fn start_with(settings: &str) -> Self {
        Self::start_in(Directory::new().with("campanile.toml", settings))
    }

    /// Starts it with the configuration that is there.
    pub(crate) fn start_in(directory: Directory) -> Self {
        let running = Running::start(directory, &["serve", "--dev", "--port", "0"]);
        let page = running.wait_for_notice("Playground ");
        let (_, address) = page.split_once("://").expect("it is a URL");
        let address = address.trim_end_matches('/').parse();
        let key = running.wait_for_notice("API key: ");
        let (_, key) = key.split_once(": ").expect("it was waited for");
        Self {
            address: address.expect("the banner has the address"),
            key: key.to_owned(),
            running,
        }
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn websocket_url(&self) -> String {
        websocket_url(self.address)
    }

    /// Runs a command where the server's configuration is.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.running.directory.run(arguments)
    }

    pub(crate) fn publish(&self, arguments: &[&str]) -> Ended {
        self.publish_with_input(arguments, "")
    }

    pub(crate) fn publish_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let url = self.http_url();
        let there = ["publish", "--url", &url, "--api-key", &self.key];
        Directory::new().run_with_input(&[&there, arguments].concat(), input)
    }

    pub(crate) fn subscribe(&self, arguments: &[&str]) -> Running {
        Running::subscriber(&self.websocket_url(), arguments)
    }
}

fn websocket_url(address: SocketAddr) -> String {
    format!("ws://{address}/connection/websocket")
}

/// Answers one HTTP request with this status; its address.
pub(crate) fn answering(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("someone asks");
        let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
        assert!(request.any(|line| line.is_empty()), "a whole head");
        write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").expect("they wait");
    });
    address
}

/// A wire to a server. While it is cut, whoever connects is hung up on.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// The connections; `None` while the wire is cut.
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let connections = Arc::clone(&open);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut connections = connections.lock().expect("nobody panicked");
                if let Some(connections) = &mut *connections {
                    connections.extend(join(near, server));
                }
            }
        });
        Self { address, open }
    }

    pub(crate) fn websocket_url(&self) -> String {
        websocket_url(self.address)
    }

    pub(crate) fn cut(&self) {
        let connections = self.open.lock().expect("nobody panicked").take();
        for connection in connections.into_iter().flatten() {
            // One that is closed already is cut already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn restore(&self) {
        *self.open.lock().expect("nobody panicked") = Some(Vec::new());
    }
}

/// Passes bytes to and fro; the two ends.
fn join(near: TcpStream, server: SocketAddr) -> [TcpStream; 2] {
    let far = TcpStream::connect(server).expect("the server listens");
    let again = |stream: &TcpStream| stream.try_clone().expect("descriptors are left");
    for (mut from, mut to) in [(again(&near), again(&far)), (again(&far), again(&near))] {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    [near, far]
}
