//! The broker of one node that keeps its history on disk: what it acknowledged survives the
//! process.
//!
//! Streams are in memory, their publications in a log ([`crate::store`]), the newest ones in both.
//! One thread sequences and writes (`commit`); others sync, read what is cold, and compact. No
//! worker ever waits for the disk with a lock: publishers await their outcome, and what does not
//! enter a history does not come here at all.
//!
//! Locks: one stripe of the streams at a time, never held over a read or write of a file.

mod commit;
mod compaction;
mod draft;
mod plan;
mod queue;
mod readers;
mod residents;
mod restore;
mod shared;
mod slot;
mod status;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use campanile_protocol::{Position, Publication};
use tokio::sync::oneshot;

use self::commit::Committer;
use self::queue::{PublishRequest, Queue, Request};
use self::readers::Readers;
use self::restore::{Present, Restoring};
use self::shared::Shared;
use self::status::Counters;
use super::streams::{Era, Streams};
use super::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use crate::budget::MemoryBudget;
use crate::channel::ChannelName;
use crate::delivery::{Admission, Event, Inboxes, ShardId};
use crate::limits::DISK_PATIENCE;
use crate::store::{self, AppendError, Directory, Log, LogOptions, LogTime, Record};
use crate::time::Clock;

pub use status::{DiskStatus, Recovered};

/// What is on disk before anybody sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Every publication, synced: it survives a power cut.
    Sync,
    /// Every publication, written: it survives the process. A power cut may take what was written
    /// since the last sync, and then every stream gets a new epoch.
    Relaxed {
        /// Between two syncs.
        sync_interval: Duration,
    },
}

/// How a disk broker works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskOptions {
    /// What is on disk before anybody sees it.
    pub durability: Durability,
    /// About how large one file of the log is.
    pub segment_bytes: u64,
    /// Bytes of publications kept in memory, so that they need not be read.
    pub cache_bytes: usize,
    /// Bytes of the log at which publishes into histories are refused; `None` for no limit.
    pub size_limit: Option<u64>,
    /// What tells one start of the machine from another, where that can be known.
    pub boot_id: Option<String>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Relaxed {
                sync_interval: Duration::from_millis(200),
            },
            segment_bytes: 16 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            size_limit: None,
            boot_id: None,
        }
    }
}

/// Why a disk broker did not start. Nothing was lost by trying.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The log cannot be opened.
    Log(store::OpenError),
    /// The log is without publications of this channel that it says it has.
    Incomplete(ChannelName),
    /// The log cannot be written.
    Append(AppendError),
    /// The operating system has no more threads.
    Thread(std::io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Incomplete(channel) => write!(
                f,
                "the log is without publications of channel {channel:?} that it says it has; run \
                 `campanile data verify` to see what is affected"
            ),
            Self::Append(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<store::OpenError> for OpenError {
    fn from(error: store::OpenError) -> Self {
        Self::Log(error)
    }
}

impl From<AppendError> for OpenError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

/// See the [module](self).
pub struct DiskBroker {
    shared: Arc<Shared>,
    readers: Readers,
    recovered: Recovered,
    /// Gone once it closes.
    flush_stop: Mutex<Option<mpsc::Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DiskBroker {
    /// Opens the log in `directory`, and goes on from it. Blocks while it is read.
    ///
    /// # Errors
    /// It cannot be read, or is not what it should be; nothing was changed.
    pub fn open(
        directory: Arc<dyn Directory>,
        mut options: DiskOptions,
        inboxes: Inboxes,
        budget: Arc<MemoryBudget>,
        clock: Arc<dyn Clock>,
        meta_ttl_min: Duration,
    ) -> Result<Self, OpenError> {
        if let Some(limit) = options.size_limit {
            // Only whole segments can be given back.
            options.segment_bytes = options.segment_bytes.min(limit / SEGMENTS_MIN);
        }
        // What can be read again must never take the place of what cannot.
        let cache_max = usize::try_from(budget.store_limit() / 2).unwrap_or(usize::MAX);
        options.cache_bytes = options.cache_bytes.min(cache_max);
        let now = clock.now();
        let mut restoring = Restoring::new(options.cache_bytes);
        let log_options = LogOptions {
            segment_bytes: options.segment_bytes,
            is_relaxed: options.durability != Durability::Sync,
            boot_id: options.boot_id.clone(),
        };
        let wall = u64::try_from(now.unix_millis).unwrap_or(0);
        let mut fold = |_: LogTime, record: Record, place| restoring.fold(record, place);
        let (mut log, opening) = Log::open(directory, log_options, wall, &mut fold)?;
        let present = Present {
            moment: now.moment,
            time: opening.now,
        };
        let mut recovered = Recovered {
            segments: opening.segments as u64,
            bytes: opening.bytes,
            was_clean: opening.was_clean,
            is_lossy: opening.is_lossy,
            torn_bytes: opening.torn_bytes,
            clock_went_back: opening.clock_went_back,
            ..Recovered::default()
        };
        let known = restoring.era(present, meta_ttl_min);
        let known = known.filter(|_| !opening.is_lossy);
        let era = known.unwrap_or_else(|| Era::begin(now.moment, meta_ttl_min));
        let streams = Streams::new(inboxes, budget, clock, era);
        // Not the new era's: a stream whose metadata has not long to live may be forgotten and begin
        // again within it.
        let rebirth = opening
            .is_lossy
            .then(|| Era::begin(now.moment, meta_ttl_min));
        let reborn = rebirth.map(|rebirth| rebirth.epoch);
        let residents = restoring.finish(&streams, present, reborn, &mut recovered)?;
        let shared = Arc::new(Shared {
            streams,
            queue: Queue::new(),
            segments: Arc::clone(log.segments()),
            options,
            counters: Counters::default(),
            time_at_start: opening.now.saturating_sub(now.moment.as_millis()),
            batch_since: AtomicU64::new(0),
            is_compacting: AtomicBool::new(false),
        });
        // On a full disk there is none until there is room.
        let _ = log.keep_spare();
        if known.is_none() {
            shared.begin_era(&mut log, era, rebirth)?;
        }
        Self::start(shared, log, residents, era, recovered)
    }

    fn start(
        shared: Arc<Shared>,
        log: Log,
        residents: residents::Residents,
        era: Era,
        recovered: Recovered,
    ) -> Result<Self, OpenError> {
        let (compactor, jobs) = mpsc::sync_channel(1);
        let (flush_stop, stop) = mpsc::channel();
        let (reads, to_read) = mpsc::channel();
        let committer = Committer::new(Arc::clone(&shared), log, residents, era.epoch, compactor);
        // The commit thread is the last: the others end when somebody gives up here.
        let of = Arc::clone(&shared);
        let mut threads = vec![spawn("compact", move || compaction::run(&of, &jobs))?];
        let of = Arc::clone(&shared);
        threads.push(spawn("flush", move || compaction::flush(&of, &stop))?);
        let to_read = Arc::new(Mutex::new(to_read));
        for _ in 0..readers::READERS {
            let (of, to_read) = (Arc::clone(&shared), Arc::clone(&to_read));
            threads.push(spawn("read", move || readers::run(&of, &to_read))?);
        }
        threads.push(spawn("commit", || committer.run())?);
        Ok(Self {
            shared,
            readers: Readers::new(reads),
            recovered,
            flush_stop: Mutex::new(Some(flush_stop)),
            threads: Mutex::new(threads),
        })
    }

    /// What was found at the start.
    #[must_use]
    pub const fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> DiskStatus {
        let shared = &self.shared;
        DiskStatus {
            log_bytes: shared.segments.bytes(),
            live_bytes: shared.streams.logged(),
            segments: u64::from(shared.segments.newest() - shared.segments.oldest()) + 1,
            cached_bytes: shared.streams.cached(),
            is_stalled: shared.queue.is_stalled(),
            ..shared.counters.status()
        }
    }

    /// Commits what waits, syncs it and notes that the end was a clean one; from here on publishes
    /// into histories are refused, and the directory is free for another broker, whoever still
    /// holds this one. Blocks for as long as the disk takes.
    pub fn close(&self) {
        self.shared.queue.close();
        self.readers.close();
        drop(lock(&self.flush_stop).take());
        let mut threads = lock(&self.threads);
        let began = Instant::now();
        // Nobody sweeps any more who would notice a disk that stands still.
        while threads.iter().any(|thread| !thread.is_finished()) && began.elapsed() < DISK_PATIENCE
        {
            pause();
        }
        self.shared.queue.refuse_all(BrokerError::Stopped);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        self.shared.segments.release();
    }

    /// Delivers what neither history nor keys need to know.
    fn pass(&self, new: NewPublication) -> Published {
        let streams = &self.shared.streams;
        let stripe = streams.stripe(&new.channel);
        if let Some(entry) = stripe.get(&new.channel) {
            let publication = Publication {
                offset: 0,
                data: new.data,
                info: new.info,
                tags: new.tags,
            };
            let event = Event::Publication {
                publication: Arc::new(publication),
                epoch: entry.stream.top().epoch,
                previous: None,
            };
            streams.hand_off(entry.shards, &new.channel, event, new.admission);
        }
        Published {
            position: None,
            is_suppressed: false,
        }
    }

    async fn store(&self, new: NewPublication) -> Result<Published, BrokerError> {
        let shared = &self.shared;
        if shared.counters.is_failed() {
            return Err(BrokerError::StorageFailed);
        }
        let room = shared
            .queue
            .admit(new.bytes())
            .await
            .inspect_err(|_| shared.refuse_busy())?;
        let (tell, told) = oneshot::channel();
        shared
            .queue
            .push(Request::Publish(PublishRequest { new, tell, room }))?;
        let done = told.await.unwrap_or(Err(BrokerError::Stopped));
        done.map(|done| done.published)
    }

    async fn page(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
    ) -> Result<HistoryPage, BrokerError> {
        /// How often what was found may have moved before it is read: it moves once in a while, so
        /// that twice in a row is hardly possible.
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            let (slots, top) = self.shared.streams.select(channel, query);
            let hot: Option<Vec<_>> = slots.iter().map(|slot| slot.hot.clone()).collect();
            let publications = match hot {
                Some(publications) => Some(publications),
                None => self.readers.read(channel, slots).await?,
            };
            if let Some(publications) = publications {
                return Ok(HistoryPage { publications, top });
            }
        }
        Err(BrokerError::Busy)
    }

    async fn forget(&self, channel: &ChannelName) -> Result<(), BrokerError> {
        let room = self.shared.queue.admit(0).await?;
        let (tell, told) = oneshot::channel();
        self.shared.queue.push(Request::Remove {
            channel: channel.clone(),
            through: None,
            tell,
            room: Some(room),
        })?;
        told.await.unwrap_or(Err(BrokerError::Stopped))
    }
}

/// Segments that a log with a size limit has at least, when it is full.
const SEGMENTS_MIN: u64 = 8;

impl Broker for DiskBroker {
    fn publish(
        &self,
        publication: NewPublication,
    ) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if publication.retention.is_none() && publication.idempotency_key.is_none() {
            let published = self.pass(publication);
            return Box::pin(std::future::ready(Ok(published)));
        }
        Box::pin(self.store(publication))
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            self.shared.streams.announce(channel, attendance, admission);
            Ok(())
        })
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        Box::pin(async move { Ok(self.shared.streams.subscribe(shard, channel)) })
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.shared.streams.unsubscribe(shard, channel) })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        Box::pin(self.page(channel, query))
    }

    /// The bytes leave the segments when compaction has come to them.
    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.forget(channel))
    }

    fn sweep(&self) {
        let shared = &self.shared;
        shared.streams.sweep();
        shared.watch(shared.streams.now());
        // Fails only once nothing more is to be done.
        let _ = shared.queue.push(Request::Tick);
    }
}

impl Drop for DiskBroker {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let thread = std::thread::Builder::new().name(format!("store-{name}"));
    thread.spawn(run).map_err(OpenError::Thread)
}

#[expect(clippy::disallowed_methods, reason = "closing blocks, and says so")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
