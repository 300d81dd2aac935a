//! How long to wait before trying again: longer each time, and never all at the same moment.

use std::time::Duration;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(20);

/// Tries since things last went well.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Things went well.
    pub(super) const fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next pause. Its second half is left to chance: clients that lost one server together
    /// must not come back together.
    pub(super) fn next(&mut self) -> Duration {
        let chance = getrandom::u32().expect("the system has random numbers");
        self.pause(f64::from(chance) / f64::from(u32::MAX))
    }

    /// With `chance` from 0 to 1.
    fn pause(&mut self, chance: f64) -> Duration {
        let longest = FIRST
            .saturating_mul(2_u32.saturating_pow(self.tries))
            .min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        longest.mul_f64(0.5 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(
            pauses,
            [200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000]
        );
        backoff.tries = u32::MAX;
        assert_eq!(backoff.pause(0.0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.pause(0.0), FIRST / 2);
    }

    #[test]
    fn chance_decides_only_half_of_a_pause() {
        for _ in 0..100 {
            let pause = Backoff::default().next();
            assert!(pause >= FIRST / 2 && pause <= FIRST, "{pause:?}");
        }
    }
}
