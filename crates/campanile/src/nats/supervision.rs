//! Watching over the connection: what has to be done when it comes back, and whether anything does.
//!
//! A connection that looks well may carry nothing. So it is asked to say something to itself, and
//! when that does not come back, publishers are told at once and it is made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::{Client, Event, ServerInfo};
use campanile_engine::broker::remote::Hearing;
use futures_util::StreamExt as _;
use futures_util::future::pending;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::shared::Shared;
use super::store::Known;

/// How often a connection has to prove itself.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How often it is looked at, whatever events came.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the client library tells, and when to look.
#[derive(Default)]
pub(super) struct Signals {
    wake: Notify,
    /// Messages that were dropped since a subscription's buffer was full.
    overruns: AtomicU64,
}

impl Signals {
    /// Takes what the library tells. Never waits.
    pub(super) fn take(&self, event: &Event) {
        match event {
            Event::SlowConsumer(_) => {
                self.overruns.fetch_add(1, Relaxed);
            }
            Event::LameDuckMode => tracing::info!("a NATS server is about to stop"),
            Event::ServerError(error) => tracing::warn!(%error, "a NATS server complains"),
            Event::ClientError(error) => tracing::warn!(%error, "no connection to NATS"),
            Event::Connected | Event::Disconnected | Event::Draining | Event::Closed => {}
        }
        self.wake.notify_one();
    }
}

/// Which connection it is: another number at every server and every time.
type Connection = (String, u64);

struct Supervisor {
    shared: Arc<Shared>,
    hearing: Hearing,
    signals: Arc<Signals>,
    connection: Option<Connection>,
    /// One that is to end, which takes a moment.
    condemned: Option<Connection>,
    /// What listeners have been told of last.
    known: Option<Known>,
    /// Whether they have yet to be told that something may be missing.
    is_lapsed: bool,
    overruns: u64,
    next_probe: Instant,
}

/// Watches over a connection as long as the program runs.
pub(super) async fn supervise(
    shared: Arc<Shared>,
    hearing: Hearing,
    signals: Arc<Signals>,
    client: Client,
) {
    let mut supervisor = Supervisor {
        shared: Arc::clone(&shared),
        hearing,
        signals: Arc::clone(&signals),
        connection: None,
        condemned: None,
        known: None,
        is_lapsed: false,
        overruns: 0,
        next_probe: Instant::now(),
    };
    let histories = shared.subjects.histories();
    let advisory = format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{histories}");
    let mut elections = client.subscribe(advisory).await.ok();
    let elected = async || match &mut elections {
        Some(elections) => drop(elections.next().await),
        None => pending().await,
    };
    let watch = async {
        let mut elected = elected;
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = signals.wake.notified() => {}
                () = elected() => supervisor.is_lapsed = true,
            }
            supervisor.look(&client).await;
        }
    };
    tokio::join!(shared.line.hear_probes(), watch);
}

impl Supervisor {
    async fn look(&mut self, client: &Client) {
        let line = Arc::clone(&self.shared.line);
        let now = line
            .is_connected()
            .then(|| connection(&client.server_info()));
        if now != self.connection && self.connection.is_some() {
            tracing::warn!("the connection to NATS was lost");
            self.connection = None;
            line.set_up(false);
        }
        let Some(now) = now.filter(|now| self.condemned.as_ref() != Some(now)) else {
            return;
        };
        if !self.proves_itself(client, &now).await {
            self.connection = None;
            line.set_up(false);
            return;
        }
        if self.connection.is_none() {
            tracing::info!(server = now.0, "connected to NATS");
            self.shared.counts.reconnect();
            self.connection = Some(now);
            self.is_lapsed = true;
        }
        line.set_up(true);
        self.notice_overruns();
        self.catch_up().await;
    }

    /// Whether something came back by this connection, or did so lately. If not, it is ended.
    async fn proves_itself(&mut self, client: &Client, now: &Connection) -> bool {
        if self.connection.is_some() && Instant::now() < self.next_probe {
            return true;
        }
        self.next_probe = Instant::now() + PROBE_INTERVAL;
        if self.shared.line.settle().await.is_ok() {
            return true;
        }
        // Unless it was lost meanwhile, and what was said to it with it.
        if connection(&client.server_info()) == *now {
            tracing::warn!("NATS does not answer: connecting again");
            let _ = client.force_reconnect().await;
            self.condemned = Some(now.clone());
        }
        false
    }

    fn notice_overruns(&mut self) {
        let overruns = self.signals.overruns.load(Relaxed);
        if overruns != self.overruns {
            tracing::warn!(count = overruns - self.overruns, "messages were dropped");
            self.overruns = overruns;
            self.is_lapsed = true;
        }
    }

    /// Tells the listeners when something may be missing, as soon as it can be read.
    async fn catch_up(&mut self) {
        if self.shared.keeps_history && (self.is_lapsed || self.shared.store.known().is_none()) {
            self.shared.store.doubt();
            // What could not be asked is asked again at the next look.
            let Ok(known) = self.shared.store.ensure().await else {
                return;
            };
            self.is_lapsed |= self.known.as_ref() != Some(&known);
            self.known = Some(known);
        }
        if std::mem::take(&mut self.is_lapsed) {
            self.hearing.resumed(&self.hearing.wanted());
        }
    }
}

fn connection(server: &ServerInfo) -> Connection {
    (server.server_id.clone(), server.client_id)
}
