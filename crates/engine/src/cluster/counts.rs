//! What a node counts of its part in the cluster.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts for whoever watches; all but the first only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct ClusterCounts {
    /// Other nodes that are known now.
    pub peers: usize,
    /// Messages that the bus took.
    pub sent: u64,
    /// Messages that it did not take.
    pub unsent: u64,
    /// Messages of other nodes that were understood.
    pub received: u64,
    /// Messages of other nodes that there was no room for.
    pub dropped: u64,
    /// Messages of a version or kind that is not known here, or that were none.
    pub skipped: u64,
    /// Answers that were waited for in vain.
    pub unanswered: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    unsent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    skipped: AtomicU64,
    unanswered: AtomicU64,
}

impl Counts {
    pub(super) fn told(&self, is_told: bool) {
        let count = if is_told { &self.sent } else { &self.unsent };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    pub(super) fn unanswered(&self, count: usize) {
        self.unanswered.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn read(&self, peers: usize) -> ClusterCounts {
        ClusterCounts {
            peers,
            sent: self.sent.load(Relaxed),
            unsent: self.unsent.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
        }
    }
}
