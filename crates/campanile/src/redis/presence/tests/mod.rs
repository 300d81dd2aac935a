//! Presence over real servers, which each test starts for itself.

mod deaths;
mod faults;
mod load;
mod server;
mod sharing;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel as gate};
use std::time::Duration;

use campanile_engine::broker::Attendance;
use campanile_engine::presence::{Presence, PresenceStats};
use campanile_engine::testkit::channel;
use campanile_protocol::{ClientId, ClientInfo, UserId};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use self::server::Server;
use super::{Notice, RedisPresence};
use crate::background::{Background, Running};

/// How long entries of a dead node may be seen, in these tests.
const LEASE: Duration = Duration::from_secs(2);

/// How long anything may take that does not wait for a lease.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node: presence, and the thread that it lives on. Dropped, it is as dead as after `kill -9`.
struct Node {
    presence: Arc<RedisPresence>,
    notices: Receiver<Notice>,
    thread: Background,
}

impl Node {
    async fn start(server: &Server) -> Self {
        let thread = Background::start().unwrap();
        let redis = server.connect(&thread.spawner());
        let (presence, notices) = RedisPresence::start(&redis, LEASE);
        let node = Self {
            presence,
            notices,
            thread,
        };
        until(async || node.has_lease()).await;
        node
    }

    /// Whether what it adds is written.
    fn has_lease(&self) -> bool {
        let shared = &self.presence.shared;
        shared.is_reachable() && shared.membership.identity().is_some()
    }

    async fn add(&self, name: &str, info: &Arc<ClientInfo>) {
        let channel = channel(name);
        let added = self.presence.add(&channel, Arc::clone(info));
        added.await.unwrap();
    }

    async fn remove(&self, name: &str, info: &Arc<ClientInfo>) {
        self.presence.remove(&channel(name), info.client).await;
    }

    async fn stats(&self, name: &str) -> (usize, usize) {
        let stats = self.presence.stats(&channel(name)).await;
        let PresenceStats { clients, users } = stats.unwrap();
        (clients, users)
    }

    async fn list(&self, name: &str) -> Vec<ClientId> {
        let list = self.presence.list(&channel(name), usize::MAX).await;
        let list = list.unwrap().unwrap();
        let mut list: Vec<_> = list.iter().map(|info| info.client).collect();
        list.sort_unstable();
        list
    }

    /// What there is to be announced now.
    fn noticed(&mut self) -> Vec<Attendance> {
        let mut all = Vec::new();
        while let Ok(notice) = self.notices.try_recv() {
            all.push(notice.attendance);
        }
        all
    }

    /// Stops the node's thread, until what is returned is dropped.
    fn suspend(&self) -> (Sender<()>, Running<()>) {
        let (resume, resumed) = gate::<()>();
        let stop = async move {
            let _ = resumed.recv();
        };
        (resume, self.thread.spawner().spawn(stop))
    }
}

/// A session of `user`; sessions differ by their number.
fn session(user: &str, number: u32) -> Arc<ClientInfo> {
    let mut random = [0; 16];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Arc::new(ClientInfo {
        user: UserId::new(user),
        client: ClientId::from_random(random, 0),
        conn_info: None,
        chan_info: None,
    })
}

/// Waits for something that no message tells of.
async fn until(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "it does not come true");
        sleep(Duration::from_millis(5)).await;
    }
}
