//! Time as the engine knows it: given from outside, so that tests move it by hand.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::{Duration, Instant};

/// A monotonic point in time, in milliseconds since the node started.
///
/// Half the size of [`Instant`], of which every idle session would keep several; an
/// `Option<Moment>` is no larger, since the number kept is one more than the milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.as_millis())
    }
}

impl Moment {
    /// The node's start.
    pub const START: Self = Self(NonZeroU64::MIN);

    /// The moment so many milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis))
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.get() - 1
    }

    /// Time from `earlier` to this moment; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.as_millis().saturating_sub(earlier.as_millis()))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// The present, in the two ways that matter: deadlines count by `moment`, since wall clocks jump;
/// tokens are judged by `unix`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Monotonic.
    pub moment: Moment,
    /// Milliseconds since 1970 by the wall clock.
    pub unix_millis: i64,
}

impl Now {
    /// Seconds since 1970 by the wall clock.
    #[must_use]
    pub const fn unix(&self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }

    /// When the wall clock's `unix` second will have come, as far as one can tell now.
    #[must_use]
    pub fn moment_of(&self, unix: i64) -> Moment {
        let seconds = u64::try_from(unix.saturating_sub(self.unix())).unwrap_or(0);
        self.moment + Duration::from_secs(seconds)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct MachineClock {
    start: Instant,
}

impl MachineClock {
    /// A clock whose [`Moment::START`] is this call.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        let unix_millis = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            });
        Now {
            moment: Moment::START + self.start.elapsed(),
            unix_millis,
        }
    }
}
