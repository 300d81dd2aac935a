//! Time that stands still until a test moves it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::{Clock, Moment, Now};

/// The wall clock's time at [`Moment::START`], in Unix seconds: any number that is no round one.
const UNIX_AT_START: i64 = 1_700_000_003;

/// A clock that a test moves.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).expect("tests do not last that long");
        self.0.fetch_add(millis, Relaxed);
    }

    /// The Unix second that is so many seconds away from now.
    #[must_use]
    pub fn unix_in(&self, seconds: i64) -> i64 {
        self.now().unix() + seconds
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let millis = self.0.load(Relaxed);
        let since_start = i64::try_from(millis).expect("tests do not last that long");
        Now {
            moment: Moment::from_millis(millis),
            unix_millis: UNIX_AT_START * 1000 + since_start,
        }
    }
}
