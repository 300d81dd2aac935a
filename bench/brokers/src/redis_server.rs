//! A `redis-server` of our own, and how it is published to.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};

use crate::Failure;
use crate::process::{Process, free_address, retry};

/// What one publish is for Redis: appended to a stream of a hundred entries and told to the
/// subscribers, in one step. Generous to Redis: there is no offset without gaps, no expiry, no
/// idempotency key.
const SCRIPT: &str = "\
    local id = redis.call('XADD', KEYS[1], 'MAXLEN', '100', '*', 'd', ARGV[1]) \
    redis.call('PUBLISH', KEYS[1], ARGV[1]) \
    return id";

/// A server that ends with this.
pub(crate) struct RedisServer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl RedisServer {
    /// Starts one that keeps an append-only file in `directory`, and nothing else.
    pub(crate) fn start(
        directory: &Path,
        appendfsync: &str,
        cpus: Option<&str>,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(directory)?;
        let address = free_address()?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(directory)
            .args(["--appendonly", "yes", "--appendfsync", appendfsync])
            .args(["--save", "", "--logfile", "redis.log"]);
        let process = Process::start(command, cpus)?;
        retry(|| is_ready(address))?;
        Ok(Self { process, address })
    }
}

/// Whether it answers, and not that it is still loading.
fn is_ready(address: SocketAddr) -> bool {
    let mut answer = [0; 5];
    TcpStream::connect(address)
        .and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)
        })
        .is_ok_and(|()| &answer == b"+PONG")
}

/// Connections over which requests of several publishers are on their way at once: of 1, 2, 4 and
/// 16 of them for each thread, 4 made Redis fastest.
const CONNECTIONS: usize = 4;

/// The connections of one thread.
#[derive(Clone)]
pub(crate) struct RedisLane {
    connections: Arc<[MultiplexedConnection]>,
    /// Counts requests, so that they take turns.
    turn: Arc<AtomicUsize>,
    /// The script's name.
    script: Arc<str>,
}

impl RedisLane {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let client = Client::open(format!("redis://{address}"))?;
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            connections.push(client.get_multiplexed_async_connection().await?);
        }
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let script: String = load.query_async(&mut connections[0]).await?;
        Ok(Self {
            connections: connections.into(),
            turn: Arc::default(),
            script: script.into(),
        })
    }

    /// Stores and publishes; returns the entry's id.
    pub(crate) async fn publish(&self, channel: &str, payload: &str) -> Result<String, Failure> {
        let turn = self.turn.fetch_add(1, Relaxed) % CONNECTIONS;
        let mut publish = cmd("EVALSHA");
        publish.arg(&*self.script).arg(1).arg(channel).arg(payload);
        Ok(publish
            .query_async(&mut self.connections[turn].clone())
            .await?)
    }
}
