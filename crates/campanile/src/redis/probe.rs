//! Whether messages really arrive.
//!
//! A subscription can be dead while everything about it looks alive: the connection stands, the
//! server answers, and what is published does not come. So each line of subscriptions sends itself
//! a message, over the same way as every publication, and waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::command::command;
use super::lane::Lane;
use super::line::Loss;

/// What others see of a probe, for as long as the ear lives over all its lines.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Whether the last message came back, and none is overdue.
    is_proved: AtomicBool,
    /// How long the last one took, in microseconds.
    round_trip_micros: AtomicU64,
    failures: AtomicU64,
}

impl Proof {
    pub(super) fn is_proved(&self) -> bool {
        self.is_proved.load(Relaxed)
    }

    pub(super) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip_micros.load(Relaxed))
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// The line has ended.
    pub(super) fn end(&self) {
        self.is_proved.store(false, Relaxed);
    }
}

/// See the [module](self).
pub(super) struct Probe {
    name: String,
    /// Where it sends.
    lane: Arc<Lane>,
    verb: &'static [u8],
    interval: Duration,
    patience: Duration,
    proof: Arc<Proof>,
    /// When to send the next one; `None` until it is subscribed to.
    due: Option<Instant>,
    /// What is on its way, since when.
    sent: Option<(u64, Instant)>,
    count: u64,
}

impl Probe {
    /// One that sends to `name` over `lane` with `verb`, the way of publications.
    pub(super) fn new(
        name: String,
        (lane, verb): (Arc<Lane>, &'static [u8]),
        (interval, patience): (Duration, Duration),
        proof: Arc<Proof>,
    ) -> Self {
        Self {
            name,
            lane,
            verb,
            interval,
            patience,
            proof,
            due: None,
            sent: None,
            count: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_of(&self, name: &[u8]) -> bool {
        self.name.as_bytes() == name
    }

    /// It is subscribed to.
    pub(super) fn begin(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// A message came back.
    pub(super) fn hear(&mut self, payload: &[u8], now: Instant) {
        let Some((number, at)) = self.sent else {
            return;
        };
        if payload == number.to_string().as_bytes() {
            let took = now.duration_since(at).as_micros();
            let took = u64::try_from(took).unwrap_or(u64::MAX);
            self.proof.round_trip_micros.store(took, Relaxed);
            self.proof.is_proved.store(true, Relaxed);
            self.sent = None;
            self.due = Some(now + self.interval);
        }
    }

    /// Sends the next one when it is time, and looks for the last.
    pub(super) fn look(&mut self, now: Instant) -> Result<(), Loss> {
        if let Some((_, at)) = self.sent {
            if now.duration_since(at) <= self.patience {
                return Ok(());
            }
            self.proof.failures.fetch_add(1, Relaxed);
            return Err(Loss::Deaf);
        }
        if self.due.is_some_and(|due| due <= now) {
            let number = (self.count + 1).to_string();
            let parts = [self.verb, self.name.as_bytes(), number.as_bytes()];
            // Without a way there nothing can be proved. That is the lane's trouble, which it tells.
            if self.lane.send(command(&parts)).is_ok() {
                self.count += 1;
                self.sent = Some((self.count, now));
            }
        }
        Ok(())
    }
}
