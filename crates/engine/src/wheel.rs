//! A timing wheel: when to look at which session of a shard again.
//!
//! One wheel drives every deadline of every session, at a few nanoseconds each; a timer of the
//! runtime for each session would cost a hundred times that and keep memory of its own. It is
//! approximate on purpose: an entry comes up to one tick late, and coming up means only "look at
//! this session again". Whoever is looked at too early is filed anew.

use std::time::Duration;

use crate::time::Moment;

/// The grain of time. Pings and expiries are meant in seconds.
pub const TICK: Duration = Duration::from_millis(64);

const TICK_MILLIS: u64 = 64;

/// Slots of the wheel: 65 seconds, beyond the default ping interval, so that an idle session is
/// looked at once per ping.
const SLOTS: usize = 1024;

/// A wheel of keys.
#[derive(Debug)]
pub struct Wheel<K> {
    slots: Box<[Vec<K>]>,
    /// The next tick to be looked at.
    next: u64,
    len: usize,
}

impl<K> Wheel<K> {
    /// A wheel that starts at `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            next: now.as_millis() / TICK_MILLIS,
            len: 0,
        }
    }

    /// Files `key` to come up soon after `at`, or at the wheel's far end when that is nearer.
    /// Returns the moment for which it was filed.
    pub fn file(&mut self, at: Moment, key: K) -> Moment {
        let tick = self.tick_of(at);
        self.slots[slot(tick)].push(key);
        self.len += 1;
        Moment::from_millis(tick * TICK_MILLIS)
    }

    /// The moment for which [`Wheel::file`] would file something for `at`.
    #[must_use]
    pub fn comes_up(&self, at: Moment) -> Moment {
        Moment::from_millis(self.tick_of(at) * TICK_MILLIS)
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is filed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn tick_of(&self, at: Moment) -> u64 {
        let farthest = self.next + SLOTS as u64 - 1;
        let tick = at.as_millis().div_ceil(TICK_MILLIS);
        tick.clamp(self.next, farthest)
    }

    /// Appends to `due` everything that was filed for `now` or before.
    pub fn advance(&mut self, now: Moment, due: &mut Vec<K>) {
        let current = now.as_millis() / TICK_MILLIS;
        // After a long sleep every slot is due once; going round again would find nothing.
        let ticks = (current + 1).saturating_sub(self.next).min(SLOTS as u64);
        for tick in self.next..self.next + ticks {
            self.len -= self.slots[slot(tick)].len();
            due.append(&mut self.slots[slot(tick)]);
        }
        self.next = self.next.max(current + 1);
    }

    /// When something may come up next; `None` when nothing is filed.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        (self.len > 0).then(|| Moment::from_millis(self.next * TICK_MILLIS))
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).expect("below SLOTS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, millis: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(Moment::from_millis(millis), &mut due);
        due
    }

    #[test]
    fn keys_come_up_at_their_time_and_not_before() {
        let mut wheel = Wheel::new(Moment::from_millis(1000));
        wheel.file(Moment::from_millis(2000), 1);
        wheel.file(Moment::from_millis(3000), 2);
        assert_eq!(due(&mut wheel, 1999), [0; 0]);
        assert_eq!(due(&mut wheel, 2063), [1]);
        assert_eq!(due(&mut wheel, 2999), [0; 0]);
        assert_eq!(due(&mut wheel, 60_000), [2]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn what_is_past_comes_up_at_the_next_tick() {
        let mut wheel = Wheel::new(Moment::from_millis(10_000));
        due(&mut wheel, 10_000);
        wheel.file(Moment::START, 1);
        assert_eq!(due(&mut wheel, 10_047), [0; 0]);
        assert_eq!(due(&mut wheel, 10_048), [1]);
    }

    #[test]
    fn what_is_too_far_away_comes_up_early_and_says_so() {
        let mut wheel = Wheel::new(Moment::START);
        let filed = wheel.file(Moment::from_millis(u64::MAX), 1);
        assert!(filed < Moment::from_millis(66_000));
        assert_eq!(due(&mut wheel, filed.as_millis() - 1), [0; 0]);
        assert_eq!(due(&mut wheel, filed.as_millis()), [1]);
    }

    #[test]
    fn everything_comes_up_once_after_a_long_sleep() {
        let mut wheel = Wheel::new(Moment::START);
        for key in 0..2000 {
            wheel.file(Moment::from_millis(u64::from(key) * 30), key);
        }
        let mut all = due(&mut wheel, 10_000_000);
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
        wheel.file(Moment::from_millis(10_000_100), 7);
        assert_eq!(due(&mut wheel, 10_000_200), [7]);
    }
}
