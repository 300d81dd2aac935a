//! What the threads of a disk broker share, and what they make of a disk in trouble.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use campanile_protocol::Publication;

use super::DiskOptions;
use super::compaction::ask;
use super::queue::{Queue, Request};
use super::slot::Slot;
use super::status::Counters;
use crate::broker::BrokerError;
use crate::broker::streams::{Era, Streams};
use crate::channel::ChannelName;
use crate::limits::DISK_PATIENCE;
use crate::store::{
    AppendError, Group, Log, LogTime, ReadError, Record, RecordRef, Segments, is_full,
};
use crate::throttle::Throttle;
use crate::time::Moment;

/// What the broker's threads share.
pub(super) struct Shared {
    pub(super) streams: Streams<Slot>,
    pub(super) queue: Queue,
    pub(super) segments: Arc<Segments>,
    pub(super) options: DiskOptions,
    pub(super) counters: Counters,
    /// The log's time at [`Moment::START`].
    pub(super) time_at_start: LogTime,
    /// When the group under way was begun, in milliseconds and one more; 0 while none is.
    pub(super) batch_since: AtomicU64,
    pub(super) is_compacting: AtomicBool,
}

/// What cannot be read, in the log: a disk that is breaking breaks at many places.
static READ_FAULTS: Throttle = Throttle::per_second(2);

/// Segments that may be dead without being worth a thought.
const SEGMENTS_SLACK: u64 = 4;

/// What a channel needs of a segment, beside its state.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) slots: Vec<Slot>,
    pub(super) keys: Vec<Box<str>>,
}

impl Shared {
    /// The log's time at `moment`.
    pub(super) fn log_time(&self, moment: Moment) -> LogTime {
        self.time_at_start.saturating_add(moment.as_millis())
    }

    /// Writes a new era before anybody is told of it, and the epoch of all streams that there are if
    /// they have got a new one.
    pub(super) fn begin_era(
        &self,
        log: &mut Log,
        era: Era,
        rebirth: Option<Era>,
    ) -> Result<(), AppendError> {
        let mut group = Group::default();
        let reborn = rebirth.map(|rebirth| (rebirth, true));
        for (era, is_rebirth) in reborn.into_iter().chain([(era, false)]) {
            group.push(RecordRef::Era {
                epoch: era.epoch,
                ends: self.log_time(era.ends),
                is_rebirth,
            });
        }
        let time = self.log_time(self.streams.now());
        log.append(&mut group, time)?;
        self.segments.sync().map_err(AppendError::Sync)?;
        Ok(())
    }

    /// What `channel` needs of `segment`; `None` for nothing.
    pub(super) fn residue(&self, segment: u32, channel: &ChannelName) -> Option<Needs> {
        let now = self.streams.now();
        let stripe = self.streams.stripe(channel);
        let entry = stripe.get(channel).filter(|entry| entry.is_stored)?;
        let mut needs = Needs::default();
        if entry.stream.history_is_alive(now) {
            let slots = entry.stream.kept();
            let here = slots.filter(|slot| slot.place.segment == segment);
            needs.slots.extend(here.cloned());
        }
        let keys = entry.stream.keys(now);
        let here = keys.filter(|(_, remembered)| remembered.segment <= segment);
        needs.keys.extend(here.map(|(key, _)| key.into()));
        let is_any = entry.segment == segment || !needs.slots.is_empty() || !needs.keys.is_empty();
        is_any.then_some(needs)
    }

    /// The publication of a slot; `None` when it is no longer there. A damaged one is forgotten
    /// with all before it, so that nobody takes the history for whole.
    pub(super) fn fetch(
        &self,
        channel: &ChannelName,
        slot: &Slot,
    ) -> Result<Option<Arc<Publication>>, BrokerError> {
        if let Some(hot) = &slot.hot {
            return Ok(Some(Arc::clone(hot)));
        }
        Counters::add(&self.counters.cold_reads, 1);
        match self.segments.read(slot.place) {
            Ok(Record::Channel {
                publication: Some(publication),
                channel: name,
                ..
            }) if name == *channel => Ok(Some(Arc::new(publication))),
            Err(ReadError::Gone) => Ok(None),
            Err(ReadError::Io(error)) => {
                Counters::add(&self.counters.read_errors, 1);
                if let Some(unsaid) = READ_FAULTS.pass() {
                    tracing::error!(
                        ?channel, %error, unsaid,
                        "history cannot be read, and clients that need it are told: look at the disk"
                    );
                }
                Err(BrokerError::StorageFailed)
            }
            Ok(_) | Err(ReadError::Corrupt) => {
                self.forget_damaged(channel, slot)?;
                Ok(None)
            }
        }
    }

    pub(super) fn forget_damaged(
        &self,
        channel: &ChannelName,
        slot: &Slot,
    ) -> Result<(), BrokerError> {
        let offset = {
            let stripe = self.streams.stripe(channel);
            let entry = stripe.get(channel);
            entry.and_then(|entry| {
                let mut slots = entry.stream.kept();
                let index = slots.position(|kept| kept.place == slot.place)?;
                Some(entry.stream.bounds().floor + index as u64)
            })
        };
        let Some(offset) = offset else {
            return Ok(());
        };
        Counters::add(&self.counters.damaged, 1);
        if let Some(unsaid) = READ_FAULTS.pass() {
            tracing::error!(
                ?channel,
                offset,
                place = ?slot.place,
                unsaid,
                "a stored publication is damaged: it and all before it are forgotten, and clients that \
                 need them are told; run `campanile data verify` on the stopped directory, and look at \
                 the disk"
            );
        }
        ask(self, |tell| Request::Remove {
            channel: channel.clone(),
            through: Some(offset),
            tell,
            room: None,
        })
    }

    pub(super) fn is_over_limit(&self, more: usize) -> bool {
        let limit = self.options.size_limit;
        limit.is_some_and(|limit| self.segments.bytes() + more as u64 >= limit)
    }

    /// Whether so much of the log is no longer needed that emptying a segment pays.
    pub(super) fn wants_compaction(&self, segments: &Segments) -> bool {
        if self.counters.is_failed()
            || self.is_compacting.load(Relaxed)
            || segments.oldest() == segments.newest()
        {
            return false;
        }
        let (bytes, live) = (segments.bytes(), self.streams.logged());
        let dead = bytes.saturating_sub(live);
        let slack = self.options.segment_bytes.saturating_mul(SEGMENTS_SLACK);
        let is_mostly_dead = dead > live.saturating_add(slack);
        let is_near_limit = self
            .options
            .size_limit
            .is_some_and(|limit| bytes > limit / 8 * 7);
        let is_tight = (is_near_limit || self.counters.is_full.load(Relaxed))
            && dead > self.options.segment_bytes.max(bytes / 8);
        is_mostly_dead || is_tight
    }

    pub(super) fn batch_began(&self, now: Moment) {
        self.batch_since.store(now.as_millis() + 1, Relaxed);
    }

    pub(super) fn batch_ended(&self) {
        self.batch_since.store(0, Relaxed);
        if self.queue.is_stalled() {
            self.queue.set_stalled(false);
            tracing::info!("the disk goes on");
        }
    }

    /// Notices a disk that stands still.
    pub(super) fn watch(&self, now: Moment) {
        let since = self.batch_since.load(Relaxed);
        if since == 0 {
            return;
        }
        let waited = now.since(Moment::from_millis(since - 1));
        if waited >= DISK_PATIENCE {
            if !self.queue.is_stalled() {
                tracing::error!(
                    ?waited,
                    "the disk stands still: publishes into histories are refused until it goes on; \
                     look at the disk"
                );
            }
            let refused = self.queue.set_stalled(true);
            Counters::add(&self.counters.refused_busy, refused);
            // It may have gone on in between, and then nobody else would take that back.
            if self.batch_since.load(Relaxed) != since {
                self.queue.set_stalled(false);
            }
        }
    }

    pub(super) fn refuse_busy(&self) {
        Counters::add(&self.counters.refused_busy, 1);
    }

    pub(super) fn refuse_full(&self) {
        Counters::add(&self.counters.refused_full, 1);
        // Of a full disk something was said already.
        if !self.counters.is_full.swap(true, Relaxed) {
            tracing::error!(
                limit = self.options.size_limit,
                "the store has reached its size limit: publishes into histories are refused; raise \
                 engine.disk.size_limit, or keep less (history_size, history_ttl)"
            );
        }
    }

    /// Notes that a group could not be written; returns what that is for its publishers.
    pub(super) fn write_failed(&self, error: &io::Error) -> BrokerError {
        Counters::add(&self.counters.write_errors, 1);
        if is_full(error) {
            self.counters.is_full.store(true, Relaxed);
            if !self.counters.is_disk_full.swap(true, Relaxed) {
                tracing::error!(
                    %error,
                    "the disk is full: publishes into histories are refused until there is room \
                     again; make some, or keep less (history_size, history_ttl)"
                );
            }
            return BrokerError::StorageFull;
        }
        if !self.counters.is_unwritable.swap(true, Relaxed) {
            tracing::error!(
                %error,
                "the store cannot be written: publishes into histories are refused; look at the disk \
                 and at the directory's permissions"
            );
        }
        BrokerError::StorageFailed
    }

    /// Notes that a sync failed, after which nobody can say what is on the disk.
    pub(super) fn sync_failed(&self, error: &io::Error) -> BrokerError {
        if !self.counters.is_failed.swap(true, Relaxed) {
            tracing::error!(
                %error,
                "the disk failed to sync: nothing is stored any more; look at the disk, then \
                 restart"
            );
        }
        BrokerError::StorageFailed
    }

    /// Notes that a group was written.
    pub(super) fn succeeded(&self, records: usize, bytes: usize) {
        let counters = &self.counters;
        Counters::add(&counters.commits, 1);
        Counters::add(&counters.records, records);
        Counters::add(&counters.written_bytes, bytes);
        if counters.is_unwritable.swap(false, Relaxed) {
            tracing::info!("the store can be written again");
        }
        // Of a full store, compaction and removals can be written all the same.
        if !counters.is_disk_full.load(Relaxed) && !self.is_over_limit(0) {
            self.has_room();
        }
    }

    /// Notes that publishes into histories can be taken.
    pub(super) fn has_room(&self) {
        self.counters.is_disk_full.store(false, Relaxed);
        if self.counters.is_full.swap(false, Relaxed) {
            tracing::info!("there is room for publications again");
        }
    }
}
