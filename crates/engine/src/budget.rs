//! The memory that a whole node may use for what others make it hold: history, idempotency keys
//! and outbound queues.
//!
//! Each queue has a bound of its own; this one holds when very many of them fill at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::delivery::ShardId;
use crate::limits::SHARDS_MAX;

/// The node's budget and what is used of it, in bytes.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    stored: AtomicU64,
    /// By shard. Each has one writer, so that no counter bounces between threads.
    queued: [AtomicU64; SHARDS_MAX],
}

impl MemoryBudget {
    /// A budget of `limit` bytes; `None` for no limit.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            limit: limit.unwrap_or(u64::MAX),
            stored: AtomicU64::new(0),
            queued: [const { AtomicU64::new(0) }; SHARDS_MAX],
        }
    }

    /// Takes `bytes` for something stored; `false`, and takes nothing, when that would exceed half of
    /// the limit. The other half is for queues: a full history must not end those who only read.
    #[must_use]
    pub fn store(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let stored = self.stored.fetch_add(bytes, Relaxed) + bytes;
        let fits = stored <= self.store_limit();
        if !fits {
            self.stored.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    /// Takes `bytes` for something that is there already, whatever is left.
    pub fn hold(&self, bytes: usize) {
        self.stored.fetch_add(bytes as u64, Relaxed);
    }

    /// Gives back what [`MemoryBudget::store`] took.
    pub fn release(&self, bytes: usize) {
        let less = |stored: u64| Some(stored.saturating_sub(bytes as u64));
        let before = self.stored.fetch_update(Relaxed, Relaxed, less);
        debug_assert!(
            before.is_ok_and(|before| before >= bytes as u64),
            "given back twice"
        );
    }

    /// Notes how much waits in the outbound queues of `shard`.
    pub fn set_queued(&self, shard: ShardId, bytes: u64) {
        self.queued[usize::from(shard.as_u8())].store(bytes, Relaxed);
    }

    /// The most that may be stored.
    #[must_use]
    pub const fn store_limit(&self) -> u64 {
        self.limit / 2
    }

    /// What is stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Relaxed)
    }

    /// What waits in outbound queues.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.iter().map(|bytes| bytes.load(Relaxed)).sum()
    }

    /// How many bytes too much are in use.
    #[must_use]
    pub fn excess(&self) -> u64 {
        self.stored()
            .saturating_add(self.queued())
            .saturating_sub(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let budget = MemoryBudget::new(Some(200));
        assert!(budget.store(60));
        assert!(!budget.store(41));
        assert!(budget.store(40));
        budget.release(100);
        assert_eq!(budget.stored(), 0);
    }

    #[test]
    fn a_full_store_leaves_half_of_the_memory_to_queues() {
        let budget = MemoryBudget::new(Some(100));
        let shard = |index| ShardId::new(index).unwrap();
        assert!(budget.store(50) && !budget.store(1));
        budget.set_queued(shard(0), 20);
        budget.set_queued(shard(63), 30);
        assert_eq!(budget.excess(), 0);
        budget.set_queued(shard(0), 27);
        assert_eq!(budget.excess(), 7);
        budget.release(50);
        assert!(budget.store(50), "queues take nothing of the store's half");
    }

    #[test]
    fn a_budget_without_a_limit_is_never_exceeded() {
        let budget = MemoryBudget::new(None);
        assert!(budget.store(usize::MAX / 2));
        assert_eq!(budget.excess(), 0);
    }
}
