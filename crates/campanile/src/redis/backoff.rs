//! How long to wait before another try: twice as long each time up to a bound, and of that a random
//! part, so that nodes that lost the same server do not come back all at once.

use std::time::Duration;

/// The first wait is at most this.
const FIRST: Duration = Duration::from_millis(50);

/// Every wait is at most this.
const LONGEST: Duration = Duration::from_secs(3);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let mut random = [0; 4];
        getrandom::fill(&mut random).expect("the system has random numbers");
        let wait = self.longest_next() * (u32::from_ne_bytes(random) >> 16) / (1 << 16);
        self.tries = self.tries.saturating_add(1);
        wait
    }

    fn longest_next(&self) -> Duration {
        let factor = 1 << self.tries.min(16);
        (FIRST * factor).min(LONGEST)
    }

    /// It worked: the next wait is a first one again.
    pub(super) const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_random() {
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            let longest = backoff.longest_next();
            assert!(backoff.next() <= longest && longest <= LONGEST);
        }
        assert_eq!(backoff.longest_next(), LONGEST);
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        backoff.reset();
        assert_eq!(backoff.longest_next(), FIRST);
    }
}
