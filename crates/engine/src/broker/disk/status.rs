//! What the disk broker can say about itself, in numbers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The state of a disk broker at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct DiskStatus {
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Bytes of these that are still needed.
    pub live_bytes: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of publications kept in memory, which could be read from the log again.
    pub cached_bytes: u64,
    /// Groups written.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Publications that were read from disk.
    pub cold_reads: u64,
    /// Groups that could not be written.
    pub write_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Records that were found damaged after the start.
    pub damaged: u64,
    /// Publishes refused since the disk or its limit is full.
    pub refused_full: u64,
    /// Publishes refused since the disk stood still.
    pub refused_busy: u64,
    /// Segments removed by compaction.
    pub compacted_segments: u64,
    /// Publications that compaction wrote again.
    pub carried: u64,
    /// Whether the disk or its limit is full.
    pub is_full: bool,
    /// Whether the last group could not be written for another reason.
    pub is_unwritable: bool,
    /// Whether the disk stands still.
    pub is_stalled: bool,
    /// Whether a sync failed, so that nothing is stored until a restart.
    pub is_failed: bool,
}

impl DiskStatus {
    /// Whether it takes publications into histories.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        !(self.is_full || self.is_unwritable || self.is_stalled || self.is_failed)
    }
}

/// What happened at and before the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// Channels found.
    pub channels: u64,
    /// Publications found.
    pub publications: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the last run ended as it should.
    pub was_clean: bool,
    /// Whether what subscribers saw may be lost, so that every stream has a new epoch.
    pub is_lossy: bool,
    /// Bytes of a last write that was not finished.
    pub torn_bytes: u64,
    /// How far the wall clock is behind the log.
    pub clock_went_back: Option<std::time::Duration>,
}

/// Counts, as they are written.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) cold_reads: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) read_errors: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) refused_full: AtomicU64,
    pub(super) refused_busy: AtomicU64,
    pub(super) compacted_segments: AtomicU64,
    pub(super) carried: AtomicU64,
    /// By the disk or by its limit.
    pub(super) is_full: AtomicBool,
    /// By the disk: publishes are refused until there is room for a segment.
    pub(super) is_disk_full: AtomicBool,
    pub(super) is_unwritable: AtomicBool,
    pub(super) is_failed: AtomicBool,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Relaxed);
    }

    pub(super) fn is_failed(&self) -> bool {
        self.is_failed.load(Relaxed)
    }

    /// What the counters say; the rest is the caller's to fill in.
    pub(super) fn status(&self) -> DiskStatus {
        DiskStatus {
            commits: self.commits.load(Relaxed),
            records: self.records.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            cold_reads: self.cold_reads.load(Relaxed),
            write_errors: self.write_errors.load(Relaxed),
            read_errors: self.read_errors.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            refused_full: self.refused_full.load(Relaxed),
            refused_busy: self.refused_busy.load(Relaxed),
            compacted_segments: self.compacted_segments.load(Relaxed),
            carried: self.carried.load(Relaxed),
            is_full: self.is_full.load(Relaxed),
            is_unwritable: self.is_unwritable.load(Relaxed),
            is_failed: self.is_failed.load(Relaxed),
            ..DiskStatus::default()
        }
    }
}
