//! Compaction: the oldest segment is emptied, then removed.
//!
//! A thread of its own reads what is still needed in it and asks the commit thread, a piece at a
//! time, to write that again at the log's end; the commit thread alone decides whether it is still
//! needed. The segment goes only when the copies are durable, and behind a group with a time that is
//! later than every decision to leave something out: whoever opens the log then decides the same.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::Durability;
use super::queue::{Carried, Request, Tell};
use super::shared::Shared;
use super::status::Counters;
use crate::broker::BrokerError;
use crate::channel::ChannelName;
use crate::limits::CARRY_BYTES_MAX;
use crate::store::Place;

/// A segment to be emptied, and who has records in it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) segment: u32,
    pub(super) channels: Vec<ChannelName>,
}

/// Empties segments until nobody asks for more.
pub(super) fn run(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    // It is tried again every second: once is enough to tell.
    let mut is_failing = false;
    while let Ok(job) = jobs.recv() {
        match empty(shared, &job) {
            Ok(()) => {
                is_failing = false;
                Counters::add(&shared.counters.compacted_segments, 1);
                tracing::debug!(segment = job.segment, "segment removed");
                // There may be more to do.
                let _ = shared.queue.push(Request::Tick);
            }
            Err(BrokerError::Stopped) => {}
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(
                    segment = job.segment,
                    %error,
                    "a segment cannot be emptied, so that the log keeps growing; tried again until \
                     it can"
                );
            }
            Err(_) => {}
        }
        shared.is_compacting.store(false, Relaxed);
    }
}

fn empty(shared: &Shared, job: &Job) -> Result<(), BrokerError> {
    for channel in &job.channels {
        while !carry(shared, job.segment, channel)? {}
    }
    ask(shared, |tell| Request::Mark { tell })?;
    let segments = &shared.segments;
    segments
        .sync()
        .map_err(|error| shared.sync_failed(&error))?;
    let removed = segments.remove_oldest();
    removed.map_err(|error| shared.write_failed(&error))
}

/// Carries a piece of `channel` on; returns whether nothing was left.
fn carry(shared: &Shared, segment: u32, channel: &ChannelName) -> Result<bool, BrokerError> {
    let (mut publications, mut bytes) = (Vec::new(), 0);
    let mut is_all = true;
    for slot in shared.slots_in(segment, channel) {
        if bytes >= CARRY_BYTES_MAX {
            is_all = false;
            break;
        }
        let place: Place = slot.place;
        match shared.fetch(channel, &slot) {
            Ok(Some(publication)) => {
                bytes += place.length as usize;
                publications.push(Carried {
                    from: place,
                    publication,
                });
            }
            // It was carried meanwhile, or is damaged and forgotten.
            Ok(None) => is_all = false,
            Err(error) => return Err(error),
        }
    }
    ask(shared, |tell| Request::Carry {
        channel: channel.clone(),
        segment,
        publications,
        tell,
    })?;
    Ok(is_all)
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
