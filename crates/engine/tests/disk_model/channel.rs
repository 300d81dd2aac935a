//! What one channel may be. While everything goes well there is one possibility; a crash in the
//! middle of something leaves several, and what is seen afterwards excludes all but one of them.

use std::collections::BTreeSet;

use super::stream::{Change, Stream, Time};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Channel {
    /// What it is, as far as one can tell.
    pub(crate) possible: Vec<Stream>,
    pub(crate) shards: BTreeSet<usize>,
    /// Where it stood since the store was opened, oldest first; the last one is `possible` as it was
    /// after the last change.
    past: Vec<Point>,
}

/// Where a channel stood after a change that was acknowledged.
struct Point {
    possible: Vec<Stream>,
    /// What it would be if what failed while it stood there had been done, the first part of it or
    /// all: nobody was told so, but a crash may find it.
    ghosts: Vec<Stream>,
    /// How much had been asked of the disk when it was acknowledged.
    steps: usize,
}

impl Channel {
    pub(crate) fn new() -> Self {
        let mut channel = Self::default();
        channel.possible.push(Stream::default());
        channel.reopen(false);
        channel
    }

    /// Keeps the possibilities that agree with what was seen; whether any is left.
    #[must_use]
    pub(crate) fn observe(&mut self, now: Time, agrees: impl FnMut(&mut Stream) -> bool) -> bool {
        let is_heard = !self.shards.is_empty();
        let forgettable = self
            .possible
            .iter()
            .filter(|stream| stream.is_forgettable(now));
        let forgotten: Vec<_> = forgettable
            .map(|stream| stream.forgotten(is_heard))
            .collect();
        self.possible.extend(forgotten);
        for stream in &mut self.possible {
            // What was never published to is not stored: it has the epoch of the day.
            if stream.top == 0 && !is_heard {
                stream.epoch = None;
            }
        }
        self.possible.retain_mut(agrees);
        self.dedup();
        !self.possible.is_empty()
    }

    /// Does `change`, which was acknowledged, in every possibility; keeps those that agree with what
    /// it came to. `steps` is how much has been asked of the disk.
    #[must_use]
    pub(crate) fn acknowledge(
        &mut self,
        change: &Change,
        now: Time,
        steps: usize,
        mut agrees: impl FnMut(&mut Stream, (Option<u64>, bool)) -> bool,
    ) -> bool {
        let mut is_written = false;
        let is_possible = self.observe(now, |stream| {
            let mut before = stream.clone();
            let outcome = stream.apply(change, now);
            let agrees = agrees(stream, outcome);
            // What changes nothing is acknowledged without being written, and then what failed
            // before it is still the last that was.
            before.epoch = stream.epoch;
            is_written |= agrees && before != *stream;
            agrees
        });
        if is_written {
            self.past.push(Point {
                possible: self.possible.clone(),
                ghosts: Vec::new(),
                steps,
            });
        }
        is_possible
    }

    /// Notes changes that failed one after the other: any of them may have been in one group, and of
    /// that a crash finds the first part or all.
    pub(crate) fn fail(&mut self, changes: &[Change], now: Time) {
        // The stream may have been forgotten before.
        let _ = self.observe(now, |_| true);
        let point = self.past.last_mut().expect("it begins with one");
        for stream in &self.possible {
            for first in 0..changes.len() {
                let mut stream = stream.clone();
                point.ghosts.extend(changes[first..].iter().map(|change| {
                    stream.apply(change, now);
                    stream.clone()
                }));
            }
        }
    }

    /// Forgets the points that a crash cannot lead back to. `is_durable` says of a number of steps
    /// whether everything acknowledged by then was synced later.
    pub(crate) fn forget_durable(&mut self, is_durable: impl Fn(usize) -> bool) {
        let durable = self.past.iter().rposition(|point| is_durable(point.steps));
        self.past.drain(..durable.unwrap_or(0));
    }

    /// The store was opened again. If it `is_reborn`, what was not synced may be lost, and it has an
    /// epoch that nobody has seen.
    pub(crate) fn reopen(&mut self, is_reborn: bool) {
        let mut past = std::mem::take(&mut self.past);
        if let Some(last) = past.last_mut() {
            // What was seen since then excludes some of what it was.
            last.possible.clone_from(&self.possible);
        }
        let last = past.len().saturating_sub(1);
        for point in past.drain(if is_reborn { 0 } else { last }..) {
            self.possible.extend(point.possible);
            self.possible.extend(point.ghosts);
        }
        if is_reborn {
            self.possible
                .iter_mut()
                .for_each(|stream| stream.epoch = None);
        }
        self.shards.clear();
        self.dedup();
        self.past.push(Point {
            possible: self.possible.clone(),
            ghosts: Vec::new(),
            steps: 0,
        });
    }

    fn dedup(&mut self) {
        let all = std::mem::take(&mut self.possible);
        for stream in all {
            if !self.possible.contains(&stream) {
                self.possible.push(stream);
            }
        }
    }
}
