//! The commit thread: the only sequencer and the only writer.
//!
//! It takes what waits, plans what that makes of the streams, writes all of it as one group, and
//! only then lets anybody see it: in the order of the log, stream and hand-off in one critical
//! section. A group that could not be written was seen by nobody, so its offsets are given again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;

use campanile_protocol::Epoch;

use super::Durability;
use super::compaction::Job;
use super::plan::{Kind, Plan, Publishing, Step};
use super::queue::{Request, answer};
use super::residents::Residents;
use super::shared::Shared;
use super::slot::{Slot, cache_footprint, log_footprint};
use super::status::Counters;
use crate::broker::BrokerError;
use crate::broker::stream::{Remembered, publication_bytes};
use crate::broker::streams::Entry;
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::limits::GROUP_BYTES_MAX;
use crate::store::{AppendError, Appended, Log, Place};
use crate::time::Moment;

/// See the [module](self).
pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    plan: Plan,
    residents: Residents,
    /// The segments before this one have nothing in memory.
    hot_from: u32,
    /// The era that the log knows.
    logged_era: Epoch,
    compactor: SyncSender<Job>,
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Log,
        residents: Residents,
        logged_era: Epoch,
        compactor: SyncSender<Job>,
    ) -> Self {
        Self {
            hot_from: log.segments().oldest(),
            plan: Plan::new(Arc::clone(&shared)),
            shared,
            log,
            residents,
            logged_era,
            compactor,
        }
    }

    /// Commits until the queue is closed and empty, then ends the log as it should be.
    pub(super) fn run(mut self) {
        let _closing = CloseOnEnd(Arc::clone(&self.shared));
        let mut batch = VecDeque::new();
        while self.shared.queue.take(&mut batch, GROUP_BYTES_MAX) {
            self.plan.begin();
            self.shared.batch_began(self.plan.now);
            for request in batch.drain(..) {
                self.plan(request);
            }
            self.commit();
            self.plan.end();
            self.shared.batch_ended();
            self.cool();
            self.residents.forget_before(self.log.segments().oldest());
        }
        if self.shared.counters.is_failed() {
            // What is on disk is for the next start to find out.
            return;
        }
        let time = self.shared.log_time(self.shared.streams.now());
        if let Err(error) = self.log.close(time) {
            tracing::error!(%error, "the log could not be closed: the next start takes it for a crash");
        }
    }

    fn plan(&mut self, request: Request) {
        if self.shared.counters.is_failed() {
            return request.refuse(BrokerError::StorageFailed);
        }
        match request {
            Request::Publish(publish) => self.plan.publish(publish),
            Request::Remove {
                channel,
                through,
                tell,
                ..
            } => self.plan.remove(channel, through, tell),
            Request::Carry {
                segment,
                residues,
                tell,
            } => {
                for residue in &residues {
                    self.plan.carry(segment, residue);
                }
                self.plan.waiting.push(tell);
            }
            Request::Mark { tell } => {
                self.plan.era();
                self.plan.waiting.push(tell);
            }
            Request::Tick => self.tick(),
        }
    }

    /// Does what nobody asked for.
    fn tick(&mut self) {
        let Self { shared, log, .. } = self;
        // Where the node is not sent any publishes while it is not ready, nobody else would find out.
        if shared.counters.is_disk_full.load(Relaxed) {
            match log.make_room() {
                Ok(()) => shared.has_room(),
                Err(AppendError::Write(_)) => {}
                Err(AppendError::Sync(error)) => drop(shared.sync_failed(&error)),
            }
        }
        let is_new_era = shared.streams.era(self.plan.now).epoch != self.logged_era;
        if shared.counters.is_unwritable.load(Relaxed) || is_new_era {
            self.plan.era();
        }
        self.compact();
    }

    fn commit(&mut self) {
        if self.plan.group.is_empty() {
            for tell in self.plan.waiting.drain(..) {
                answer(tell, Ok(()));
            }
            return;
        }
        let era = self.shared.streams.era(self.plan.now).epoch;
        if era != self.logged_era {
            self.plan.era();
        }
        match self.write() {
            Ok(appended) => {
                self.logged_era = era;
                self.shared
                    .succeeded(self.plan.steps.len(), self.plan.group.len());
                self.apply(&appended);
            }
            Err(error) => self.roll_back(error),
        }
    }

    fn write(&mut self) -> Result<Appended, BrokerError> {
        let time = self.shared.log_time(self.plan.now);
        let group = &mut self.plan.group;
        let appended = if self.plan.has_publishes {
            self.log.append(group, time)
        } else {
            self.log.append_upkeep(group, time)
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Write(error)) => return Err(self.shared.write_failed(&error)),
            Err(AppendError::Sync(error)) => return Err(self.shared.sync_failed(&error)),
        };
        if self.shared.options.durability == Durability::Sync
            && let Err(error) = self.log.segments().sync()
        {
            return Err(self.shared.sync_failed(&error));
        }
        Ok(appended)
    }

    /// Makes visible what was written.
    fn apply(&mut self, appended: &Appended) {
        let Self {
            shared,
            plan,
            residents,
            ..
        } = self;
        for Step {
            channel,
            slot,
            is_last,
            kind,
        } in plan.steps.drain(..)
        {
            let place = appended.place(slot);
            let mut stripe = shared.streams.stripe(&channel);
            let entry = stripe.get_mut(&channel).expect("a held entry stays");
            if entry.segment != place.segment {
                entry.segment = place.segment;
                residents.add(place.segment, channel.clone());
            }
            let mut told = None;
            match kind {
                Kind::Publish(publishing) => {
                    told = Some((publishing.tell, publishing.published));
                    apply_publish(shared, entry, &channel, publishing.content, place, plan.now);
                }
                Kind::Trim(floor) => shared.streams.release(entry.stream.forget_below(floor)),
                Kind::Carry { offset, from } => apply_carry(shared, entry, offset, from, place),
                Kind::CarryKeys(keys) => {
                    for key in &keys {
                        entry.stream.move_key(key, place.segment);
                    }
                }
                Kind::State => {}
            }
            if is_last {
                entry.is_held = false;
                if !entry.is_scheduled() || entry.stream.is_forgettable(plan.now) {
                    shared.streams.release(stripe.let_go(&channel, plan.now));
                }
            }
            drop(stripe);
            if let Some((tell, published)) = told {
                answer(tell, Ok(published));
            }
        }
        for (tell, published) in plan.repeats.drain(..) {
            answer(tell, Ok(published));
        }
        for tell in plan.waiting.drain(..) {
            answer(tell, Ok(()));
        }
    }

    /// Makes it as if what was planned had never been asked for.
    fn roll_back(&mut self, error: BrokerError) {
        let Self { shared, plan, .. } = self;
        let mut publishes = plan.repeats.len();
        for step in plan.steps.drain(..) {
            if let Kind::Publish(publishing) = step.kind {
                publishes += 1;
                shared.streams.release(publishing.cost);
                plan.settled.push((publishing.tell, Err(error)));
            }
            if step.is_last {
                shared.streams.let_go(&step.channel, plan.now);
            }
        }
        let repeats = plan.repeats.drain(..);
        plan.settled
            .extend(repeats.map(|(tell, _)| (tell, Err(error))));
        for tell in plan.waiting.drain(..) {
            answer(tell, Err(error));
        }
        if error == BrokerError::StorageFull {
            Counters::add(&shared.counters.refused_full, publishes);
        }
    }

    /// Lets go of the oldest publications in memory while these are too many.
    fn cool(&mut self) {
        let streams = &self.shared.streams;
        let newest = self.log.segments().newest();
        while streams.cached() > self.shared.options.cache_bytes as u64 {
            let segment = self.hot_from.max(self.log.segments().oldest());
            for channel in self.residents.of(segment) {
                let mut stripe = streams.stripe(channel);
                if let Some(entry) = stripe.get_mut(channel) {
                    let slots = entry.stream.kept_mut();
                    let old = slots.filter(|slot| slot.place.segment <= segment);
                    streams.release(old.map(Slot::cool).sum());
                }
            }
            if segment >= newest {
                break;
            }
            self.hot_from = segment + 1;
        }
    }

    /// Has the oldest segment emptied, if that is worth it.
    fn compact(&self) {
        let segments = self.log.segments();
        if !self.shared.wants_compaction(segments) {
            return;
        }
        let segment = segments.oldest();
        let channels = self.residents.of(segment).to_vec();
        self.shared.is_compacting.store(true, Relaxed);
        if self.compactor.try_send(Job { segment, channels }).is_err() {
            self.shared.is_compacting.store(false, Relaxed);
        }
    }
}

/// Puts a publication that is at `place` into its stream, and on its way.
fn apply_publish(
    shared: &Shared,
    entry: &mut Entry<Slot>,
    channel: &ChannelName,
    content: Publishing,
    place: Place,
    now: Moment,
) {
    let Publishing {
        publication,
        bounds,
        version,
        key,
        published,
        wants_delta,
        admission,
    } = content;
    let streams = &shared.streams;
    entry.is_stored = true;
    let mut previous = None;
    if let Some(bounds) = bounds {
        // Before it makes room: a history of one is enough for deltas.
        let latest = entry.stream.latest(now).filter(|_| wants_delta);
        previous = latest.and_then(|slot| slot.hot.clone());
        let bytes = publication_bytes(&publication);
        let is_hot = bytes <= shared.options.cache_bytes && streams.take(cache_footprint(bytes));
        let hot = is_hot.then(|| Arc::clone(&publication));
        streams.release(entry.stream.append(Slot { place, hot }, bounds, now));
        if let Some(version) = version {
            entry.stream.set_version(version);
        }
    }
    if let Some(key) = key {
        let remembered = Remembered::new(published, now, place.segment);
        entry.stream.remember_key(key, remembered);
    }
    let event = Event::Publication {
        publication,
        epoch: entry.stream.top().epoch,
        previous,
    };
    streams.hand_off(entry.shards, channel, event, admission);
}

/// Notes that the publication with `offset` has moved.
fn apply_carry(shared: &Shared, entry: &mut Entry<Slot>, offset: u64, from: Place, to: Place) {
    if let Some(slot) = entry.stream.get_mut(offset)
        && slot.place == from
    {
        slot.place = to;
        shared.streams.hold(log_footprint(to));
        shared.streams.release(log_footprint(from));
        Counters::add(&shared.counters.carried, 1);
    }
}

/// Whatever ends the commit thread, nobody waits for it any more.
struct CloseOnEnd(Arc<Shared>);

impl Drop for CloseOnEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.counters.is_failed.store(true, Relaxed);
        }
        self.0.queue.close();
        self.0.queue.refuse_all(BrokerError::Stopped);
    }
}
