//! How often something may happen that strangers or a broken disk can cause: log lines, fetches.
//!
//! A token bucket in one atomic number, so that it can be asked from every worker without a lock.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What clients do wrong, in the log: a flood of bad tokens must not fill the disk, nor hide what
/// else there is to read.
pub static CLIENT_FAULTS: Throttle = Throttle::per_second(10);

/// What a broker does not do, in the log: while it cannot, that is each publish.
pub(crate) static BROKER_FAULTS: Throttle = Throttle::per_second(2);

/// The moment from which a throttle counts.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Lets so many a second through, and as many at once after a pause.
#[derive(Debug)]
pub struct Throttle {
    /// Between two that come evenly, in nanoseconds.
    interval: u64,
    /// Until when what has passed uses up the rate, in nanoseconds since [`START`] and a second.
    used_until: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    const SECOND: u64 = 1_000_000_000;

    /// At most `count` a second, which is not 0.
    #[must_use]
    pub const fn per_second(count: u64) -> Self {
        Self {
            interval: Self::SECOND / count,
            used_until: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Whether one more may pass now; if so, how many were held back since the last that did.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(START.elapsed())
    }

    fn pass_at(&self, now: Duration) -> Option<u64> {
        // A second late, so that a full second's worth may have been used before the first.
        let now = u64::try_from(now.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_add(Self::SECOND);
        let take = |until: u64| {
            let until = until.max(now - Self::SECOND) + self.interval;
            (until <= now).then_some(until)
        };
        let taken = self
            .used_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_ok() {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_thinned_out_and_counted() {
        let throttle = Throttle::per_second(10);
        let passed = |millis, count: u32| {
            let now = Duration::from_millis(millis);
            let passed = (0..count).filter_map(|_| throttle.pass_at(now));
            passed.collect::<Vec<_>>()
        };
        assert_eq!(passed(0, 100), [0; 10], "a second's worth at once");
        assert_eq!(passed(99, 5), [0; 0]);
        assert_eq!(passed(100, 5), [95], "those that were held back are told");
        assert_eq!(passed(300, 5), [4, 0], "one for each tenth of a second");
        let after_a_pause = passed(60_000, 100);
        assert_eq!(
            after_a_pause.len(),
            10,
            "a pause is worth a second, not more"
        );
        assert_eq!(after_a_pause[0], 3);
    }
}
