//! A Redis of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::background::Spawner;
use crate::redis::dial::{Access, Address};
use crate::redis::topology::Servers;
use crate::redis::{Redis, Reply, Settings};

use super::PATIENCE;

/// A server without anything on disk. Ends with this value.
pub(super) struct Server {
    port: u16,
    is_cluster: bool,
    process: Child,
}

impl Server {
    /// One Redis.
    pub(super) fn start() -> Self {
        let port = free_port();
        Self {
            port,
            is_cluster: false,
            process: launch(port, &[]),
        }
    }

    /// A cluster of one shard: it refuses keys of different slots in one script like any other.
    pub(super) async fn start_cluster(spawner: &Spawner) -> Self {
        // Its bus listens 10,000 above.
        let port = free_port() % 20_000 + 20_000;
        let nodes = format!("/tmp/campanile-presence-{port}.conf");
        let _ = std::fs::remove_file(&nodes);
        let options = ["--cluster-enabled", "yes", "--cluster-config-file", &nodes];
        let server = Self {
            port,
            is_cluster: true,
            process: launch(port, &options),
        };
        let single = server.connect_to(Servers::Single(server.address()), spawner);
        let deadline = Instant::now() + PATIENCE;
        while single
            .ask(&[b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"16383"])
            .await
            .is_err()
        {
            assert!(Instant::now() < deadline, "the cluster does not come up");
            sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// Loses everything, and begins anew.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.process = launch(self.port, &[]);
    }

    pub(super) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The way there.
    pub(super) fn connect(&self, spawner: &Spawner) -> Redis {
        let servers = if self.is_cluster {
            Servers::Cluster(vec![self.address()])
        } else {
            Servers::Single(self.address())
        };
        self.connect_to(servers, spawner)
    }

    fn connect_to(&self, servers: Servers, spawner: &Spawner) -> Redis {
        let settings = Settings {
            servers,
            access: Access::default(),
            prefix: "test".to_owned(),
            connect_timeout: Duration::from_secs(5),
            io_timeout: Duration::from_secs(20),
            probe_interval: Duration::from_secs(5),
        };
        Redis::start(settings, spawner)
    }

    fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".into(),
            port: self.port,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn launch(port: u16, options: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--dir", "/tmp"]);
    command.args(options).stdout(Stdio::null());
    command
        .spawn()
        .expect("redis-server can be started: apt-get install redis-server")
}

/// How often Redis has run a command.
pub(super) async fn calls(redis: &Redis, command: &str) -> u64 {
    let stats = info(redis, b"commandstats").await;
    let line = stats.lines().find_map(|line| {
        let rest = line.strip_prefix("cmdstat_")?.strip_prefix(command)?;
        rest.strip_prefix(":calls=")
    });
    let digits = line.map_or("0", |line| line.split(',').next().unwrap());
    digits.parse().unwrap()
}

/// The number behind `name:` in a section of what Redis says of itself.
pub(super) async fn info_number(redis: &Redis, section: &[u8], name: &str) -> u64 {
    let text = info(redis, section).await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

async fn info(redis: &Redis, section: &[u8]) -> String {
    let reply = redis.ask(&[b"INFO", section]).await.unwrap();
    reply.text().unwrap().to_owned()
}

/// All keys but those of the registry.
pub(super) async fn keys(redis: &Redis) -> Vec<String> {
    let reply = redis.ask(&[b"KEYS", b"*"]).await.unwrap();
    let keys = reply.list().unwrap().iter().filter_map(Reply::text);
    let keys = keys.filter(|key| !key.ends_with("{nodes}"));
    keys.map(str::to_owned).collect()
}
