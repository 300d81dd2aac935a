//! One readiness loop over the subscribers and the publisher, and the meter beside it.
//! Knows how to wait for progress; not what is being measured.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::fleet::Fleet;
use super::plan::Plan;
use super::proc::{self, CpuTime};
use super::publisher::{self, Publisher};
use super::{BenchError, CommonArgs};

/// How long a wait for events lasts before the patience is looked at.
const TURN: Duration = Duration::from_millis(100);

/// The load generator.
pub(super) struct Client {
    poll: Poll,
    events: Events,
    patience: Duration,
    pub(super) fleet: Fleet,
    publisher: Option<Publisher>,
}

impl Client {
    /// A client without connections.
    pub(super) fn new(
        common: &CommonArgs,
        plan: Plan,
        expected: usize,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            poll: Poll::new().map_err(poll_failed)?,
            events: Events::with_capacity(1024),
            patience: common.patience(),
            fleet: Fleet::new(plan, expected),
            publisher: None,
        })
    }

    /// Connects to the HTTP API too.
    pub(super) fn with_publisher(
        mut self,
        common: &CommonArgs,
        in_flight: usize,
    ) -> Result<Self, BenchError> {
        self.publisher = Some(Publisher::connect(common, in_flight, self.poll.registry())?);
        Ok(self)
    }

    /// Starts a publish; false if as many as allowed are in flight already.
    pub(super) fn publish(&mut self, channel: &str, bytes: usize) -> Result<bool, BenchError> {
        let payload = self.fleet.timed_payload(bytes);
        self.publisher
            .as_mut()
            .map_or(Ok(false), |publisher| publisher.publish(channel, &payload))
    }

    /// Publishes that were answered with success.
    pub(super) fn published(&self) -> u64 {
        self.publisher.as_ref().map_or(0, Publisher::answered)
    }

    /// Opens connections until there are `target` of them.
    pub(super) fn open(&mut self, target: usize) -> Result<(), BenchError> {
        self.until("connections", target as u64, |client| {
            client.fleet.dial(client.poll.registry(), target)?;
            Ok(client.fleet.open() as u64)
        })
    }

    /// Runs the loop until `reached` returns `expected`. It is called after each turn, so it may
    /// also start what the progress allows.
    pub(super) fn until(
        &mut self,
        waiting_for: &'static str,
        expected: u64,
        mut reached: impl FnMut(&mut Self) -> Result<u64, BenchError>,
    ) -> Result<(), BenchError> {
        let mut best = 0;
        let mut progressed = Instant::now();
        loop {
            let reached = reached(self)?;
            if reached >= expected {
                return Ok(());
            }
            if reached > best {
                best = reached;
                progressed = Instant::now();
            } else if progressed.elapsed() > self.patience {
                return Err(BenchError::Stalled {
                    waiting_for,
                    reached,
                    expected,
                });
            }
            self.turn(TURN)?;
        }
    }

    /// Keeps answering pings for a while.
    pub(super) fn idle(&mut self, duration: Duration) -> Result<(), BenchError> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Waits for events, at most `timeout`, and handles them.
    pub(super) fn turn(&mut self, timeout: Duration) -> Result<(), BenchError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(poll_failed)?,
        }
        for event in &self.events {
            match (event.token(), &mut self.publisher) {
                (Token(token @ publisher::FIRST_TOKEN..), Some(publisher)) => {
                    publisher.ready(Token(token))?;
                }
                (Token(connection), _) => self.fleet.ready(connection, event)?,
            }
        }
        Ok(())
    }
}

fn poll_failed(source: io::Error) -> BenchError {
    BenchError::Io {
        doing: "poll",
        source,
    }
}

/// Measures both sides from its start to its end.
pub(super) struct Meter {
    pid: Option<u32>,
    start: Instant,
    own: Duration,
    server: Option<CpuTime>,
}

/// What was used while a meter ran.
pub(super) struct Usage {
    pub(super) wall: Duration,
    /// Share of the time that the client was on a CPU.
    pub(super) client_busy: f64,
    pub(super) server: Option<CpuTime>,
}

impl Meter {
    pub(super) fn start(pid: Option<u32>) -> Result<Self, BenchError> {
        let server = pid.map(CpuTime::of).transpose()?;
        Ok(Self {
            pid,
            server,
            own: proc::own_cpu(),
            start: Instant::now(),
        })
    }

    pub(super) fn stop(self) -> Result<Usage, BenchError> {
        let wall = self.start.elapsed();
        let own = proc::own_cpu().saturating_sub(self.own);
        let now = self.pid.map(CpuTime::of).transpose()?;
        let server = now.zip(self.server).map(|(now, before)| now.since(before));
        Ok(Usage {
            wall,
            client_busy: own.as_secs_f64() / wall.as_secs_f64(),
            server,
        })
    }
}
