//! Whether one more connection may come.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campanile_engine::budget::MemoryBudget;
use campanile_engine::time::Moment;

/// Seconds over which those are spread who are told to come back.
const RETRY_SPREAD: usize = 10;

/// What a node can take, over all of its workers.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<AtomicUsize>,
    connections_max: AtomicUsize,
    rate: Mutex<Option<Bucket>>,
    budget: Arc<MemoryBudget>,
    refused: AtomicUsize,
    /// Set once the node stops.
    is_closed: AtomicBool,
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Moment,
}

/// A connection that was let in; gives its place back when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

/// There is no place for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Seconds to wait before another try (RFC 9110, section 10.2.3): at least one.
    pub retry_after: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// Lets in at most `connections_max` connections at a time, and `per_second` in a second when
    /// there is such a rate.
    #[must_use]
    pub fn new(
        connections_max: usize,
        per_second: Option<usize>,
        budget: Arc<MemoryBudget>,
    ) -> Self {
        Self {
            connections: Arc::default(),
            connections_max: AtomicUsize::new(connections_max),
            rate: Mutex::new(per_second.map(Bucket::full)),
            budget,
            refused: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Goes by other limits from now on; whoever is in stays in.
    pub fn limit(&self, connections_max: usize, per_second: Option<usize>) {
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
        *self.rate() = per_second.map(Bucket::full);
    }

    fn rate(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one connection.
    ///
    /// # Errors
    /// The node is full, stops, is out of memory, or was asked too often in the last second.
    pub fn admit(&self, now: Moment) -> Result<Place, Refused> {
        self.find_place(now).ok_or_else(|| {
            let earlier = self.refused.fetch_add(1, Ordering::Relaxed);
            // In turn and not by chance: as many come back in one second as in the next.
            let retry_after = 1 + earlier % RETRY_SPREAD;
            Refused { retry_after }
        })
    }

    fn find_place(&self, now: Moment) -> Option<Place> {
        if self.is_closed.load(Ordering::Relaxed) || self.budget.excess() > 0 {
            return None;
        }
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        // From here on dropping the place gives it back.
        let place = Place(Arc::clone(&self.connections));
        if taken >= self.connections_max.load(Ordering::Relaxed) {
            return None;
        }
        let is_in_time = self.rate().as_mut().is_none_or(|bucket| bucket.take(now));
        is_in_time.then_some(place)
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether nobody will be let in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections refused so far.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
    const fn full(rate: usize) -> Self {
        Self {
            per_second: rate as f64,
            tokens: rate as f64,
            filled: Moment::START,
        }
    }

    fn take(&mut self, now: Moment) -> bool {
        let grown = now.since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + grown).min(self.per_second);
        self.filled = now;
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_engine::delivery::ShardId;

    fn admission(max: usize, rate: Option<usize>, memory: Option<u64>) -> Admission {
        Admission::new(max, rate, Arc::new(MemoryBudget::new(memory)))
    }

    #[test]
    fn a_full_node_lets_nobody_in_until_somebody_leaves() {
        let admission = admission(2, None, None);
        let first = admission.admit(Moment::START).unwrap();
        let _second = admission.admit(Moment::START).unwrap();
        assert!(admission.admit(Moment::START).is_err());
        assert_eq!((admission.connections(), admission.refused()), (2, 1));
        drop(first);
        assert!(admission.admit(Moment::START).is_ok());
    }

    #[test]
    fn connections_beyond_the_rate_are_refused_until_time_has_passed() {
        let admission = admission(usize::MAX, Some(2), None);
        let admits = |millis| admission.admit(Moment::from_millis(millis)).is_ok();
        assert!(admits(0) && admits(0) && !admits(0));
        assert!(!admits(499) && admits(500) && !admits(500));
        assert!(
            admits(100_000) && admits(100_000) && !admits(100_000),
            "no more than a second's worth"
        );
    }

    #[test]
    fn other_limits_are_for_those_who_come() {
        let admission = admission(1, Some(1), None);
        let _first = admission.admit(Moment::START).unwrap();
        admission.limit(2, None);
        let _second = admission.admit(Moment::START).unwrap();
        assert!(admission.admit(Moment::START).is_err());
        admission.limit(1, None);
        assert_eq!(admission.connections(), 2);
    }

    #[test]
    fn who_is_refused_comes_back_spread_over_some_seconds() {
        let admission = admission(0, None, None);
        let refused = (0..10 * RETRY_SPREAD).map(|_| admission.admit(Moment::START).unwrap_err());
        let mut seconds: Vec<_> = refused.map(|refused| refused.retry_after).collect();
        seconds.sort_unstable();
        for (index, of_one_second) in seconds.chunks(10).enumerate() {
            assert_eq!(of_one_second, [index + 1; 10]);
        }
    }

    #[test]
    fn a_node_that_stops_lets_nobody_in() {
        let admission = admission(usize::MAX, None, None);
        let _place = admission.admit(Moment::START).unwrap();
        admission.close();
        assert!(admission.admit(Moment::START).is_err());
        assert_eq!(admission.connections(), 1, "whoever is in stays in");
    }

    #[test]
    fn a_node_without_memory_lets_nobody_in() {
        let budget = Arc::new(MemoryBudget::new(Some(10)));
        let admission = Admission::new(usize::MAX, None, Arc::clone(&budget));
        budget.set_queued(ShardId::new(0).unwrap(), 11);
        assert!(admission.admit(Moment::START).is_err());
        budget.set_queued(ShardId::new(0).unwrap(), 10);
        assert!(admission.admit(Moment::START).is_ok());
    }
}
