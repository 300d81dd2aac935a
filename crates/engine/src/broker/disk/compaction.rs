//! Compaction: the oldest segment is emptied, then removed.
//!
//! A thread of its own reads what is still needed in it and asks the commit thread, a piece at a
//! time, to write that again at the log's end; the commit thread alone decides whether it is still
//! needed. The segment goes only when the copies are durable, and behind a group with a time that is
//! later than every decision to leave something out: whoever opens the log then decides the same.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use campanile_protocol::Publication;
use tokio::sync::oneshot;

use super::Durability;
use super::queue::{Request, Residue, Tell};
use super::shared::Shared;
use super::slot::Slot;
use super::status::Counters;
use crate::broker::BrokerError;
use crate::channel::ChannelName;
use crate::limits::{CARRY_BYTES_MAX, DELIVERY_OVERHEAD_BYTES};
use crate::store::Place;
use crate::throttle::Throttle;

/// A segment to be emptied, and who has records in it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) segment: u32,
    pub(super) channels: Vec<ChannelName>,
}

/// Empties segments until nobody asks for more.
pub(super) fn run(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    let mut unreadable = None;
    while let Ok(job) = jobs.recv() {
        let outcome = empty(shared, &job, &mut unreadable);
        shared.is_compacting.store(false, Relaxed);
        match outcome {
            Ok(()) => {
                Counters::add(&shared.counters.compacted_segments, 1);
                tracing::debug!(segment = job.segment, "segment removed");
                // There may be more to do.
                let _ = shared.queue.push(Request::Tick);
            }
            Err(BrokerError::Stopped) => {}
            // The next tick tries again.
            Err(error) => {
                if let Some(unsaid) = COMPACTION_FAULTS.pass() {
                    tracing::warn!(segment = job.segment, %error, unsaid, "a segment cannot be emptied now");
                }
            }
        }
    }
}

/// Whether a line about compaction may be logged.
static COMPACTION_FAULTS: Throttle = Throttle::per_second(1);

/// Empties and removes the segment; `unreadable` is the place that could not be read before.
fn empty(shared: &Shared, job: &Job, unreadable: &mut Option<Place>) -> Result<(), BrokerError> {
    let mut load = Load::default();
    for channel in &job.channels {
        while !load.add(shared, job.segment, channel, unreadable)? {
            load.carry(shared, job.segment)?;
        }
        if load.is_full() {
            load.carry(shared, job.segment)?;
        }
    }
    load.carry(shared, job.segment)?;
    ask(shared, |tell| Request::Mark { tell })?;
    let segments = &shared.segments;
    segments
        .sync()
        .map_err(|error| shared.sync_failed(&error))?;
    let removed = segments.remove_oldest();
    removed.map_err(|error| shared.write_failed(&error))
}

/// What is carried with one request.
#[derive(Default)]
struct Load {
    residues: Vec<Residue>,
    bytes: usize,
}

impl Load {
    const fn is_full(&self) -> bool {
        self.bytes >= CARRY_BYTES_MAX
    }

    /// Adds what `channel` needs of `segment`; returns whether that was all of it.
    fn add(
        &mut self,
        shared: &Shared,
        segment: u32,
        channel: &ChannelName,
        unreadable: &mut Option<Place>,
    ) -> Result<bool, BrokerError> {
        let Some(found) = shared.residue(segment, channel) else {
            return Ok(true);
        };
        let mut residue = Residue {
            channel: channel.clone(),
            publications: Vec::new(),
            keys: Vec::new(),
        };
        let mut is_all = true;
        self.bytes += channel.as_str().len() + DELIVERY_OVERHEAD_BYTES;
        for slot in found.slots {
            if self.is_full() {
                is_all = false;
                break;
            }
            match fetch(shared, channel, &slot, unreadable)? {
                Some(publication) => {
                    self.bytes += slot.place.length as usize;
                    residue.publications.push((slot.place, publication));
                }
                // It was carried meanwhile, or is damaged and forgotten.
                None => is_all = false,
            }
        }
        for key in found.keys {
            if self.is_full() {
                is_all = false;
                break;
            }
            self.bytes += key.len() + DELIVERY_OVERHEAD_BYTES;
            residue.keys.push(key);
        }
        self.residues.push(residue);
        Ok(is_all)
    }

    /// Has the commit thread carry what there is.
    fn carry(&mut self, shared: &Shared, segment: u32) -> Result<(), BrokerError> {
        let Self { residues, .. } = std::mem::take(self);
        if residues.is_empty() {
            return Ok(());
        }
        ask(shared, |tell| Request::Carry {
            segment,
            residues,
            tell,
        })
    }
}

/// The publication of a slot. One that cannot be read twice is given up, or nothing behind it would
/// ever be removed.
fn fetch(
    shared: &Shared,
    channel: &ChannelName,
    slot: &Slot,
    unreadable: &mut Option<Place>,
) -> Result<Option<Arc<Publication>>, BrokerError> {
    match shared.fetch(channel, slot) {
        Err(BrokerError::StorageFailed) if *unreadable == Some(slot.place) => {
            shared.forget_damaged(channel, slot)?;
            Ok(None)
        }
        Err(BrokerError::StorageFailed) => {
            *unreadable = Some(slot.place);
            Err(BrokerError::StorageFailed)
        }
        other => other,
    }
}

/// Asks the commit thread and waits for its answer.
pub(super) fn ask(
    shared: &Shared,
    request: impl FnOnce(Tell<()>) -> Request,
) -> Result<(), BrokerError> {
    let (tell, told) = oneshot::channel();
    shared.queue.push(request(tell))?;
    told.blocking_recv().unwrap_or(Err(BrokerError::Stopped))
}

/// Syncs what was written, every so often. Only for `relaxed`.
pub(super) fn flush(shared: &Arc<Shared>, stop: &Receiver<()>) {
    let Durability::Relaxed { sync_interval } = shared.options.durability else {
        return;
    };
    // Without any pause it would only spin.
    let sync_interval = sync_interval.max(Duration::from_millis(1));
    let segments = &shared.segments;
    while stop.recv_timeout(sync_interval) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        if shared.counters.is_failed() || segments.written() == segments.synced() {
            continue;
        }
        if let Err(error) = segments.sync() {
            shared.sync_failed(&error);
        }
    }
}
