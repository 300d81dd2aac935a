//! Time that stands still until a test moves it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::{Clock, Moment, Now};

/// The wall clock's time at [`Moment::START`] unless a test says otherwise, in Unix milliseconds: any
/// number that is no round one.
const UNIX_MILLIS_AT_START: i64 = 1_700_000_003_000;

/// A clock that a test moves.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicU64,
    followers: Mutex<Vec<Follower>>,
    unix_millis_at_start: i64,
}

struct Follower(Box<dyn Fn(Duration) + Send>);

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follower")
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(UNIX_MILLIS_AT_START)
    }
}

impl ManualClock {
    /// A clock of a process that starts at this time by the wall clock.
    #[must_use]
    pub const fn at(unix_millis: i64) -> Self {
        Self {
            millis: AtomicU64::new(0),
            followers: Mutex::new(Vec::new()),
            unix_millis_at_start: unix_millis,
        }
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).expect("tests do not last that long");
        self.millis.fetch_add(millis, Relaxed);
        for follower in lock(&self.followers).iter() {
            (follower.0)(duration);
        }
    }

    /// Has `follow` called with whatever the clock is advanced by: another clock, of another
    /// process, that is to go with this one.
    pub fn lead(&self, follow: impl Fn(Duration) + Send + 'static) {
        lock(&self.followers).push(Follower(Box::new(follow)));
    }

    /// What the wall clock told at the start, in Unix milliseconds.
    #[must_use]
    pub const fn at_start(&self) -> i64 {
        self.unix_millis_at_start
    }

    /// How much time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.millis.load(Relaxed))
    }

    /// The Unix second that is so many seconds away from now.
    #[must_use]
    pub fn unix_in(&self, seconds: i64) -> i64 {
        self.now().unix() + seconds
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let millis = self.millis.load(Relaxed);
        let since_start = i64::try_from(millis).expect("tests do not last that long");
        Now {
            moment: Moment::from_millis(millis),
            unix_millis: self.unix_millis_at_start + since_start,
        }
    }
}
