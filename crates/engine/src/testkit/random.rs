//! Random choices that a seed repeats.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A sequence of choices (SplitMix64): the same for the same seed, and good enough to reach odd
/// corners. Atomic only so that stubs may share it; tests use it from one thread.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Any number below `end`, which is not 0.
    pub fn below(&self, end: usize) -> usize {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = (mixed ^ (mixed >> 31)) % end as u64;
        usize::try_from(number).expect("below a usize")
    }

    /// Whether one of so many times has come.
    pub fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Sixteen random bytes.
    pub fn bytes(&self) -> [u8; 16] {
        std::array::from_fn(|_| u8::try_from(self.below(256)).expect("below 256"))
    }
}
