//! Channels that many nodes share by way of NATS.
//!
//! Publications without history are ordinary messages. Those with history go into a JetStream
//! stream, each message conditional on the one before it, and come to the listeners when they are
//! stored (decision 18). What all such brokers have in common is in `broker::remote` of the engine;
//! nothing here knows shards, sessions or who listens for what reason.
//!
//! ```text
//! publish ── kept ──► writing ──► store ──► prefix.h.life.channel   (stored, then sent on to:)
//!    │                   ▲ heads                                          │
//!    └── passing ────────┼──────────────► prefix.c.channel ◄──────────────┘
//! listen ──► ears ───────┘◄───────────────────┘
//! history ─► reading ──► store                            line, supervision: under all of these
//! ```

mod bus;
mod ears;
mod heads;
mod line;
mod plan;
mod reading;
mod record;
mod settings;
mod shared;
mod store;
mod subjects;
mod supervision;
mod vitals;
mod writing;

use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use campanile_engine::broker::remote::{Accepted, Hearing, Link, Sighting};
use campanile_engine::broker::{
    Attendance, BoxFuture, BrokerError, HistoryPage, HistoryQuery, NewPublication, Published,
};
use campanile_engine::channel::ChannelName;
use campanile_engine::time::Clock;
use campanile_protocol::Publication;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::ears::Ears;
use self::line::Line;
use self::reading::Reading;
use self::shared::{Counts, Shared};
use self::store::{Shape, Store};
use self::subjects::Subjects;
use self::supervision::Signals;
use self::writing::{Job, Work};
use crate::background::{Running, Spawner, Unfinished};

pub use self::bus::NatsBus;
pub use self::settings::{Credentials, Histories, NatsFault, NatsSettings, Storage};

/// Bytes of publications that wait to be stored, with what each takes beside its payload.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
const JOB_BYTES: usize = 512;

/// A way to NATS: see the [module](self).
pub struct NatsLink {
    shared: Arc<Shared>,
    ears: Arc<Ears>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Bytes that may yet wait.
    places: Arc<Semaphore>,
    spawner: Spawner,
    /// Dropped with the link, they end.
    _tasks: [Running<()>; 2],
}

/// How it stands with a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NatsStatus {
    /// Whether the servers answer.
    pub is_up: bool,
    /// Whether histories can be written and read, or none are configured.
    pub keeps_history: bool,
    /// Channels that are subscribed to.
    pub channels: usize,
    /// How often a message had to be made again, since another node was faster.
    pub conflicts: u64,
    /// Messages that were passed over: not ours, or of a later version.
    pub malformed: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Bytes of publications that wait to be stored.
    pub waiting_bytes: usize,
}

impl NatsLink {
    /// Begins to connect, in the background, and goes on trying: that no server is there yet is no
    /// error.
    ///
    /// # Errors
    /// What is configured cannot work.
    pub fn start(
        settings: NatsSettings,
        hearing: Hearing,
        clock: Arc<dyn Clock>,
        spawner: Spawner,
    ) -> Result<Arc<Self>, NatsFault> {
        let subjects = Subjects::new(&settings.prefix);
        let mut word = [0; 8];
        getrandom::fill(&mut word).expect("the system has random numbers");
        let probe = subjects.probe(&format!("{:016x}", u64::from_be_bytes(word)));
        let line = Arc::new(Line::new(probe, settings.io_timeout));
        let histories = &settings.histories;
        let shape = Shape {
            replicas: settings.replicas,
            storage: settings.storage.as_str(),
            per_channel: histories.map_or(1, |histories| histories.size_max),
            age: histories.map_or(Default::default(), |histories| histories.meta_ttl_max),
        };
        let shared = Arc::new(Shared {
            line: Arc::clone(&line),
            subjects: subjects.clone(),
            store: Store::new(line, subjects, shape),
            heads: Default::default(),
            clock,
            counts: Counts::default(),
            meta_ttl_min: settings.meta_ttl_min_millis(),
            keeps_history: histories.is_some(),
        });
        let signals = Arc::new(Signals::default());
        let (addresses, options) = settings.options(Arc::clone(&signals))?;
        let watch = connect(
            (Arc::clone(&shared), hearing.clone(), signals),
            (addresses, options),
        );
        let (jobs, waiting) = mpsc::unbounded_channel();
        let write = writing::write(Arc::clone(&shared), waiting);
        Ok(Arc::new(Self {
            ears: Arc::new(Ears::new(Arc::clone(&shared), hearing, spawner.clone())),
            jobs,
            places: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            _tasks: [spawner.spawn(watch), spawner.spawn(write)],
            spawner,
            shared,
        }))
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> NatsStatus {
        let [conflicts, malformed, connections] = self.shared.counts.all();
        NatsStatus {
            is_up: self.shared.line.is_up(),
            keeps_history: !self.shared.keeps_history || self.shared.store.known().is_some(),
            channels: self.ears.count(),
            conflicts,
            malformed,
            connections,
            waiting_bytes: WAITING_BYTES_MAX - self.places.available_permits(),
        }
    }

    /// Has the writer do something; what is returned is of the outcome.
    fn write(
        &self,
        channel: ChannelName,
        work: Work,
        seen: Option<Sighting>,
    ) -> Result<oneshot::Receiver<Result<Accepted, BrokerError>>, BrokerError> {
        self.shared.line.client()?;
        let bytes = work.bytes() + JOB_BYTES;
        let bytes = u32::try_from(bytes).map_err(|_| BrokerError::Busy)?;
        let places = Arc::clone(&self.places).try_acquire_many_owned(bytes);
        let (reply, outcome) = oneshot::channel();
        let job = Job {
            channel,
            seen,
            work,
            reply,
            _place: places.map_err(|_| BrokerError::Busy)?,
        };
        self.jobs.send(job).map_err(|_| BrokerError::Stopped)?;
        Ok(outcome)
    }

    async fn written(
        &self,
        channel: ChannelName,
        work: Work,
        seen: Option<Sighting>,
    ) -> Result<Accepted, BrokerError> {
        let outcome = self.write(channel, work, seen)?;
        outcome.await.map_err(|_| BrokerError::Stopped)?
    }

    async fn publish_one(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> Result<Accepted, BrokerError> {
        let channel = new.channel.clone();
        if new.retention.is_some() || new.idempotency_key.is_some() {
            return self
                .written(channel, Work::Publish(Box::new(new)), seen)
                .await;
        }
        let message = record::passing(&Publication {
            offset: 0,
            data: new.data,
            info: new.info,
            tags: new.tags,
        });
        let subject = self.shared.subjects.heard(&channel);
        self.shared.line.say(subject, message)?;
        Ok(Accepted {
            published: Published {
                position: None,
                is_suppressed: false,
            },
            sighting: None,
        })
    }

    async fn read(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> Result<(HistoryPage, Sighting), BrokerError> {
        let (shared, name) = (Arc::clone(&self.shared), channel.clone());
        let read = async move { shared.read(&name, query, seen).await };
        match self.spawner.spawn(read).await.map_err(stopped)?? {
            Reading::Page(page, sighting) => Ok((page, sighting)),
            Reading::Lost => {
                let compared = self.written(channel.clone(), Work::Compare, seen).await?;
                let top = compared.published.position.unwrap_or_default();
                let page = HistoryPage {
                    publications: Vec::new(),
                    top,
                };
                Ok((page, compared.sighting.ok_or(BrokerError::StorageFailed)?))
            }
        }
    }
}

fn stopped(_: Unfinished) -> BrokerError {
    BrokerError::Stopped
}

async fn connect(
    (shared, hearing, signals): (Arc<Shared>, Hearing, Arc<Signals>),
    (addresses, options): (Vec<ServerAddr>, ConnectOptions),
) {
    match options.connect(addresses).await {
        Ok(client) => {
            shared.line.begin(client.clone());
            supervision::supervise(shared, hearing, signals, client).await;
        }
        // With retries only what is configured can be wrong, and that was looked at.
        Err(error) => tracing::error!(%error, "NATS cannot be connected to"),
    }
}

impl Link for NatsLink {
    fn publish(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> BoxFuture<'_, Result<Accepted, BrokerError>> {
        Box::pin(self.publish_one(new, seen))
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        let message = match &attendance {
            Attendance::Join(who) => record::join(who),
            Attendance::Leave(who) => record::leave(who),
        };
        let told = self
            .shared
            .line
            .say(self.shared.subjects.heard(channel), message);
        Box::pin(std::future::ready(told.map_err(BrokerError::from)))
    }

    fn listen<'a>(&'a self, channel: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>> {
        let (ears, name) = (Arc::clone(&self.ears), channel.clone());
        let listen = async move { ears.listen(&name).await };
        Box::pin(async move { Ok(self.spawner.spawn(listen).await.map_err(stopped)??) })
    }

    fn ignore(&self, channel: &ChannelName) {
        self.ears.ignore(channel);
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> BoxFuture<'a, Result<(HistoryPage, Sighting), BrokerError>> {
        Box::pin(self.read(channel, query, seen))
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            self.written(channel.clone(), Work::Remove, None).await?;
            let (shared, name) = (Arc::clone(&self.shared), channel.clone());
            // It is no longer read by anybody; that its bytes are there still is no failure.
            let purge = async move {
                let _ = shared.purge(&name).await;
            };
            self.spawner.spawn(purge).await.map_err(stopped)
        })
    }
}
