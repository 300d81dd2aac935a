//! The data directory of a server: opened before it listens, closed after it has served.
//!
//! It knows what an operator can do about a directory that cannot be had, and says it. What is in
//! the directory is the engine's business.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_engine::broker::disk::{OpenError, Recovered};
use campanile_engine::broker::{self, DiskBroker, DiskOptions};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::Inboxes;
use campanile_engine::store::{self, AppendError, LockError, OsDirectory, is_full};
use campanile_engine::time::Clock;
use tokio::sync::oneshot;

use crate::config::{Disk, Durability};

/// How to have another directory.
const ELSEWHERE: &str = "choose another directory with --data-dir (engine.disk.path)";

/// How long the disk may take to end the log. What was acknowledged is written by then: no more than
/// the mark of a clean stop is missing if it takes longer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no data directory to serve from.
#[derive(Debug)]
pub struct StoreError {
    /// Absolute, where that can be found out.
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Lock(LockError),
    Open(OpenError),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        if let Some((file, error)) = self.reason.refusal() {
            write!(f, "the data directory {path} cannot be used: ")?;
            if let Some(file) = file {
                write!(f, "{}: ", file.display())?;
            }
            return write!(f, "{error}: {}", Advice(error));
        }
        match &self.reason {
            Reason::Lock(_) => write!(
                f,
                "the data directory {path} is in use by another process, or by another server of \
                 this one: stop that one, or {ELSEWHERE}"
            ),
            Reason::Open(error) => write!(f, "the data directory {path} cannot be used: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl Reason {
    /// What the operating system refused, and of which file if not of the directory.
    const fn refusal(&self) -> Option<(Option<&PathBuf>, &io::Error)> {
        match self {
            Self::Lock(LockError::Io(error))
            | Self::Open(OpenError::Append(AppendError::Write(error) | AppendError::Sync(error))) => {
                Some((None, error))
            }
            Self::Open(OpenError::Log(store::OpenError::Io { file, error })) => {
                Some((Some(file), error))
            }
            _ => None,
        }
    }
}

/// What can be done about a refusal of the operating system.
struct Advice<'a>(&'a io::Error);

impl std::fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let advice = match self.0.kind() {
            _ if is_full(self.0) => return f.write_str("make room on that disk, and start again"),
            ErrorKind::PermissionDenied => {
                "it has to be writable for the user that the server runs as; change its owner or mode"
            }
            ErrorKind::ReadOnlyFilesystem => "make its file system writable",
            ErrorKind::NotADirectory => "there is something else of that name; move it away",
            _ => "look at that disk",
        };
        write!(f, "{advice}, or {ELSEWHERE}")
    }
}

impl StoreError {
    /// Whether the directory is the wrong one, so that trying again is of no use.
    pub(super) fn is_configuration(&self) -> bool {
        self.reason.refusal().is_some_and(|(_, error)| {
            matches!(
                error.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotADirectory
            )
        })
    }

    /// Whether what is in the directory cannot be used as it is, however often it is tried.
    pub(super) const fn is_data(&self) -> bool {
        matches!(
            &self.reason,
            Reason::Open(
                OpenError::Incomplete(_)
                    | OpenError::Log(
                        store::OpenError::Corrupt { .. } | store::OpenError::NewerFormat { .. }
                    )
            )
        )
    }
}

/// What a broker is made of, beside what is its own.
#[non_exhaustive]
pub struct BrokerParts {
    /// Where it hands what is published to the shards.
    pub inboxes: Inboxes,
    /// What it accounts to for what it keeps in memory.
    pub budget: Arc<MemoryBudget>,
    /// The node's time.
    pub clock: Arc<dyn Clock>,
    /// The shortest lifetime of metadata that any channel is configured with.
    pub meta_ttl_min: Duration,
}

/// Opens the configured directory, and makes it where it is missing; tells the log what was found.
pub(super) fn open(disk: &Disk, around: BrokerParts) -> Result<Arc<DiskBroker>, StoreError> {
    let path = std::path::absolute(&disk.path).unwrap_or_else(|_| disk.path.clone());
    let began = Instant::now();
    let opened = OsDirectory::lock(&path)
        .map_err(Reason::Lock)
        .and_then(|directory| {
            let BrokerParts {
                inboxes,
                budget,
                clock,
                meta_ttl_min,
            } = around;
            let (directory, options) = (Arc::new(directory), options(disk));
            DiskBroker::open(directory, options, inboxes, budget, clock, meta_ttl_min)
                .map_err(Reason::Open)
        });
    match opened {
        Ok(broker) => {
            warn_of_others(&path);
            announce(&path, began.elapsed(), &broker.recovered());
            Ok(Arc::new(broker))
        }
        Err(reason) => Err(StoreError { path, reason }),
    }
}

fn options(disk: &Disk) -> DiskOptions {
    DiskOptions {
        durability: match disk.durability {
            Durability::Sync => broker::Durability::Sync,
            Durability::Relaxed { sync_interval } => broker::Durability::Relaxed { sync_interval },
        },
        cache_bytes: disk.cache_size,
        size_limit: disk.size_limit.map(std::num::NonZeroU64::get),
        boot_id: boot_id(),
        ..DiskOptions::default()
    }
}

/// What Linux calls this run of the machine; `None` where it is not said.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Payloads are nobody else's to read.
fn warn_of_others(path: &Path) {
    const OTHERS: u32 = 0o077;
    if let Ok(metadata) = fs::metadata(path)
        && metadata.mode() & OTHERS != 0
    {
        let mode = format!("{:o}", metadata.mode() & 0o777);
        tracing::warn!(
            directory = %path.display(),
            mode,
            "other users of this machine can get at the data: chmod 700 the directory"
        );
    }
}

fn announce(path: &Path, took: Duration, found: &Recovered) {
    tracing::info!(
        directory = %path.display(),
        ?took,
        channels = found.channels,
        publications = found.publications,
        segments = found.segments,
        bytes = found.bytes,
        "data directory opened"
    );
    judge_last_run(found);
    if let Some(behind) = found.clock_went_back {
        tracing::warn!(
            ?behind,
            "the clock is behind what it was: histories expire as if it were not; set the clock if it \
             is wrong"
        );
    }
}

fn judge_last_run(found: &Recovered) {
    if found.is_lossy {
        tracing::warn!(
            "the machine went down before everything was synced: the last publications may be lost, so \
             that every stream has a new epoch and clients that come back are told recovered: false; \
             engine.disk.durability = \"sync\" rules that out"
        );
    } else if !found.was_clean {
        tracing::info!(
            "the last run did not end in good order; nothing that it acknowledged is lost"
        );
    }
    if found.torn_bytes > 0 {
        tracing::warn!(
            bytes = found.torn_bytes,
            "the last write of the last run was not finished, and what there is of it is dropped"
        );
    }
}

/// Ends the log as it should be. Waits no longer than [`CLOSE_PATIENCE`] for the disk, nor when
/// `hurry` comes first. Returns whether the log has ended.
pub(super) async fn close(broker: Arc<DiskBroker>, hurry: impl Future<Output = ()>) -> bool {
    let (tell, closed) = oneshot::channel();
    // Of its own, and with a share in the broker: neither a runtime's end nor the broker's may wait
    // for a disk that stands still.
    let closing = std::thread::Builder::new().name("store-close".into());
    let spawned = closing.spawn(move || {
        broker.close();
        let _ = tell.send(());
    });
    let obstacle = if spawned.is_err() {
        Some("there are no more threads")
    } else {
        tokio::select! {
            _ = closed => None,
            () = hurry => Some("told to stop once more"),
            () = tokio::time::sleep(CLOSE_PATIENCE) => Some("the disk takes too long"),
        }
    };
    match obstacle {
        None => tracing::info!("data directory closed"),
        Some(reason) => tracing::warn!(
            reason,
            "the data directory is not closed: the next start finds it as after a crash, with \
             everything in it that was acknowledged"
        ),
    }
    obstacle.is_none()
}

#[cfg(test)]
mod tests {
    use campanile_engine::testkit::disk::{Operation, SimulatedDisk};
    use campanile_engine::time::MachineClock;

    use super::*;

    fn broker(disk: &SimulatedDisk) -> Arc<DiskBroker> {
        let (inboxes, _) = Inboxes::new(1);
        let broker = DiskBroker::open(
            Arc::new(disk.clone()),
            DiskOptions::default(),
            inboxes,
            Arc::new(MemoryBudget::new(None)),
            Arc::new(MachineClock::start()),
            Duration::from_secs(60),
        );
        Arc::new(broker.expect("a new disk is good"))
    }

    #[actix_web::test]
    async fn a_disk_that_stands_still_holds_no_end_up() {
        let disk = SimulatedDisk::default();
        let broker = broker(&disk);
        disk.hold(Operation::SyncBytes);
        // Told to stop once more as soon as it waits for the disk, and no sooner.
        let (held, told) = oneshot::channel();
        let watched = disk.clone();
        let watcher = std::thread::spawn(move || {
            watched.await_held(Operation::SyncBytes);
            let _ = held.send(());
        });
        assert!(!close(Arc::clone(&broker), async { told.await.expect("it waits") }).await);
        watcher.join().expect("it was told");
        disk.release();
        broker.close();
    }

    #[actix_web::test]
    async fn a_directory_that_was_closed_is_found_so() {
        let disk = SimulatedDisk::default();
        assert!(close(broker(&disk), std::future::pending()).await);
        assert!(broker(&disk.kill()).recovered().was_clean);
        let disk = SimulatedDisk::default();
        let killed = broker(&disk);
        assert!(!broker(&disk.kill()).recovered().was_clean);
        drop(killed);
    }

    fn told(error: ErrorKind) -> (String, bool) {
        let error = StoreError {
            path: "/data".into(),
            reason: Reason::Lock(LockError::Io(error.into())),
        };
        (error.to_string(), error.is_configuration())
    }

    #[test]
    fn a_directory_that_cannot_be_had_is_told_with_what_to_do() {
        for (kind, advice, is_configuration) in [
            (
                ErrorKind::PermissionDenied,
                "change its owner or mode, or",
                true,
            ),
            (
                ErrorKind::ReadOnlyFilesystem,
                "make its file system writable, or",
                true,
            ),
            (
                ErrorKind::NotADirectory,
                "something else of that name",
                true,
            ),
            (ErrorKind::StorageFull, "make room on that disk", false),
            (ErrorKind::Other, "look at that disk", false),
        ] {
            let (text, at_fault) = told(kind);
            assert!(
                text.starts_with("the data directory /data cannot be used: "),
                "{text}"
            );
            assert!(text.contains(advice), "{text}");
            assert_eq!(at_fault, is_configuration, "{text}");
        }
    }

    #[test]
    fn this_boot_of_the_machine_has_a_name() {
        assert!(boot_id().is_none_or(|id| id.len() == 36), "{:?}", boot_id());
    }
}
