//! What a group will be: its records, and what each will make of its channel.
//!
//! Nothing here can be seen by anybody. While a channel is planned for, its entry is held: nothing of
//! it is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use campanile_protocol::{Epoch, Publication};

use super::draft::{Draft, Drafts};
use super::queue::{PublishRequest, Residue, Tell, answer};
use super::shared::Shared;
use super::slot::SLOT_BYTES;
use crate::broker::stream::{Bounds, Footprint, key_footprint};
use crate::broker::streams::entry_footprint;
use crate::broker::{BrokerError, IDEMPOTENCY_TTL, NewPublication, Published, Version};
use crate::channel::ChannelName;
use crate::delivery::Admission;
use crate::limits::IDEMPOTENCY_KEYS_MAX;
use crate::store::{Group, KeyRecord, Place, RecordRef, Slot as GroupSlot};
use crate::time::Moment;

/// Keys in one record that carries them: as many as make no record larger than publications do.
const KEYS_CARRIED: usize = 64;

/// See the [module](self).
pub(super) struct Plan {
    shared: Arc<Shared>,
    pub(super) group: Group,
    drafts: Drafts,
    pub(super) steps: Vec<Step>,
    /// Repeats of publishes in the same group.
    pub(super) repeats: Vec<(Tell<Published>, Published)>,
    /// Outcomes that are told when the group has ended, and its channels are no longer held.
    pub(super) settled: Vec<(Tell<Published>, Result<Published, BrokerError>)>,
    /// Who waits for the group, and for nothing else.
    pub(super) waiting: Vec<Tell<()>>,
    /// Whether the group makes the log hold more than before.
    pub(super) has_publishes: bool,
    /// The time of the group.
    pub(super) now: Moment,
}

/// What one record of the group makes of its channel.
pub(super) struct Step {
    pub(super) channel: ChannelName,
    pub(super) slot: GroupSlot,
    /// Whether no later step of the group is for the same channel.
    pub(super) is_last: bool,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Publish(Box<PublishStep>),
    /// Publications before this offset are forgotten.
    Trim(u64),
    /// A publication moved.
    Carry {
        offset: u64,
        from: Place,
    },
    /// Keys moved.
    CarryKeys(Vec<Box<str>>),
    /// Nothing changes but where the channel's newest record is.
    State,
}

pub(super) struct PublishStep {
    pub(super) content: Publishing,
    pub(super) cost: Footprint,
    pub(super) tell: Tell<Published>,
    pub(super) published: Published,
}

/// A publish that is about to be seen.
pub(super) struct Publishing {
    pub(super) publication: Arc<Publication>,
    /// Where the stream then stands; `None` outside of history.
    pub(super) bounds: Option<Bounds>,
    pub(super) version: Option<Version>,
    pub(super) key: Option<Box<str>>,
    pub(super) published: Published,
    pub(super) wants_delta: bool,
    pub(super) admission: Admission,
}

impl Plan {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = shared.streams.now();
        Self {
            shared,
            group: Group::default(),
            drafts: Drafts::default(),
            steps: Vec::new(),
            repeats: Vec::new(),
            settled: Vec::new(),
            waiting: Vec::new(),
            has_publishes: false,
            now,
        }
    }

    /// Begins the next group.
    pub(super) fn begin(&mut self) {
        self.now = self.shared.streams.now();
        self.has_publishes = false;
    }

    /// Ends the group, whose steps have been taken.
    pub(super) fn end(&mut self) {
        self.group.clear();
        for channel in self.drafts.clear() {
            self.shared.streams.let_go(&channel, self.now);
        }
        for (tell, outcome) in self.settled.drain(..) {
            answer(tell, outcome);
        }
    }

    pub(super) fn publish(&mut self, request: PublishRequest) {
        match self.judge(&request.new) {
            Ok(Verdict::New(cost)) => self.push_publish(request, cost),
            Ok(Verdict::Known(published)) => self.settled.push((request.tell, Ok(published))),
            Ok(Verdict::Repeat(published)) => self.repeats.push((request.tell, published)),
            Err(error) => {
                if error == BrokerError::StorageFull {
                    self.shared.refuse_full();
                }
                self.settled.push((request.tell, Err(error)));
            }
        }
    }

    /// What a publish comes to. What a new one costs has been taken.
    fn judge(&mut self, new: &NewPublication) -> Result<Verdict, BrokerError> {
        let (now, streams) = (self.now, &self.shared.streams);
        let draft = self.drafts.hold(streams, &new.channel, now);
        let mut cost = Footprint::default();
        if let Some(key) = new.idempotency_key.as_deref() {
            if let Some(published) = draft.keys.get(key) {
                return Ok(Verdict::Repeat(Published {
                    is_suppressed: true,
                    ..*published
                }));
            }
            let mut key_count = draft.keys.len();
            if let Some(entry) = streams.stripe(&new.channel).get(&new.channel) {
                if let Some(published) = entry.repeated(new, now) {
                    return Ok(Verdict::Known(published));
                }
                key_count += entry.stream.key_count();
            }
            if key_count >= IDEMPOTENCY_KEYS_MAX {
                return Err(BrokerError::TooManyKeys);
            }
            cost += key_footprint(key);
        }
        if new.retention.is_some() && draft.has_seen(new.version.as_ref()) {
            let published = Published {
                position: Some(draft.top()),
                is_suppressed: true,
            };
            return Ok(if draft.has_step() {
                Verdict::Repeat(published)
            } else {
                Verdict::Known(published)
            });
        }
        let is_disk_full = self.shared.counters.is_disk_full.load(Relaxed);
        if is_disk_full || self.shared.is_over_limit(self.group.len()) {
            return Err(BrokerError::StorageFull);
        }
        cost.memory += new.retention.map_or(0, |_| SLOT_BYTES);
        if !draft.is_stored {
            cost += entry_footprint(&new.channel);
        }
        if !streams.take(cost) {
            return Err(BrokerError::OutOfMemory);
        }
        Ok(Verdict::New(cost))
    }

    fn push_publish(&mut self, request: PublishRequest, mut cost: Footprint) {
        let PublishRequest { new, tell, .. } = request;
        self.has_publishes = true;
        let (now, shared) = (self.now, &self.shared);
        let draft = self.drafts.hold(&shared.streams, &new.channel, now);
        let bounds = new
            .retention
            .map(|retention| draft.bounds.advance(retention, now));
        draft.bounds = bounds.unwrap_or(draft.bounds);
        draft.is_stored = true;
        if bounds.is_some() && new.version.is_some() {
            draft.version.clone_from(&new.version);
        }
        let publication = Arc::new(Publication {
            offset: bounds.map_or(0, |bounds| bounds.top),
            data: new.data,
            info: new.info,
            tags: new.tags,
        });
        let published = Published {
            position: bounds.map(|_| draft.top()),
            is_suppressed: false,
        };
        let key = new.idempotency_key.as_ref().map(|key| {
            draft.keys.insert(key.clone(), published);
            KeyRecord {
                key: key.clone(),
                offset: bounds.map(|bounds| bounds.top),
                expires: shared.log_time(now + IDEMPOTENCY_TTL),
            }
        });
        let state = draft.state(shared);
        let slot = self.group.push(RecordRef::Channel {
            channel: new.channel.as_str(),
            state: &state,
            publication: bounds.map(|_| &*publication),
            keys: key.as_slice(),
        });
        if bounds.is_some() {
            let logged = Footprint {
                logged: u64::from(slot.length),
                ..Footprint::default()
            };
            shared.streams.hold(logged);
            cost += logged;
        }
        let content = Publishing {
            publication,
            bounds,
            version: new.version,
            key: new.idempotency_key,
            published,
            wants_delta: new.wants_delta,
            admission: new.admission,
        };
        let step = PublishStep {
            content,
            cost,
            tell,
            published,
        };
        self.push_step(new.channel, slot, Kind::Publish(Box::new(step)));
    }

    pub(super) fn remove(&mut self, channel: ChannelName, through: Option<u64>, tell: Tell<()>) {
        let draft = self.drafts.hold(&self.shared.streams, &channel, self.now);
        self.waiting.push(tell);
        if !draft.is_stored {
            return;
        }
        let all = draft.bounds.top + 1;
        let floor = through.map_or(all, |through| all.min(through + 1));
        draft.bounds.floor = draft.bounds.floor.max(floor);
        let floor = draft.bounds.floor;
        self.push_state(channel, None, &[], Kind::Trim(floor));
    }

    /// Writes what is still needed of `residue` in `segment` to the end of the log.
    pub(super) fn carry(&mut self, segment: u32, residue: &Residue) {
        let channel = &residue.channel;
        self.drafts.hold(&self.shared.streams, channel, self.now);
        let needed = self.needed(segment, residue);
        for (from, publication) in needed.publications {
            let offset = publication.offset;
            let kind = Kind::Carry { offset, from };
            self.push_state(channel.clone(), Some(publication), &[], kind);
        }
        for keys in needed.keys.chunks(KEYS_CARRIED) {
            let names = keys.iter().map(|key| key.key.clone()).collect();
            self.push_state(channel.clone(), None, keys, Kind::CarryKeys(names));
        }
        let has_step = self.drafts.get(channel).is_some_and(Draft::has_step);
        if needed.is_newest && !has_step {
            self.push_state(channel.clone(), None, &[], Kind::State);
        }
    }

    /// What is still as it was when it was read.
    fn needed<'a>(&self, segment: u32, residue: &'a Residue) -> Needed<'a> {
        let channel = &residue.channel;
        let mut needed = Needed::default();
        let stripe = self.shared.streams.stripe(channel);
        let entry = stripe.get(channel).filter(|entry| entry.is_stored);
        let (Some(entry), Some(draft)) = (entry, self.drafts.get(channel)) else {
            return needed;
        };
        needed.is_newest = entry.segment == segment;
        if entry.stream.history_is_alive(self.now) {
            let all = residue.publications.iter();
            needed
                .publications
                .extend(all.filter_map(|(from, publication)| {
                    let slot = entry.stream.get(publication.offset)?;
                    let is_kept = publication.offset >= draft.bounds.floor;
                    (is_kept && slot.place == *from).then_some((*from, &**publication))
                }));
        }
        needed.keys = residue
            .keys
            .iter()
            .filter_map(|key| {
                let known = entry.stream.remembered(key, self.now)?;
                (known.segment <= segment).then(|| KeyRecord {
                    key: key.clone(),
                    offset: known.published.position.map(|position| position.offset),
                    expires: self.shared.log_time(known.expires),
                })
            })
            .collect();
        needed
    }

    /// A record of a held channel that does not change where it stands.
    fn push_state(
        &mut self,
        channel: ChannelName,
        publication: Option<&Publication>,
        keys: &[KeyRecord],
        kind: Kind,
    ) {
        let Some(draft) = self.drafts.get(&channel) else {
            return;
        };
        let state = draft.state(&self.shared);
        let slot = self.group.push(RecordRef::Channel {
            channel: channel.as_str(),
            state: &state,
            publication,
            keys,
        });
        self.push_step(channel, slot, kind);
    }

    fn push_step(&mut self, channel: ChannelName, slot: GroupSlot, kind: Kind) {
        let index = self.steps.len();
        if let Some(before) = self.drafts.step(&channel, index) {
            self.steps[before].is_last = false;
        }
        self.steps.push(Step {
            channel,
            slot,
            is_last: true,
            kind,
        });
    }

    /// Tells the log the era; also what a group consists of that has nothing to say.
    pub(super) fn era(&mut self) -> Epoch {
        let era = self.shared.streams.era(self.now);
        self.group.push(RecordRef::Era {
            epoch: era.epoch,
            ends: self.shared.log_time(era.ends),
            is_rebirth: false,
        });
        era.epoch
    }
}

/// What a publish comes to.
enum Verdict {
    /// What it came to when it was published first.
    Known(Published),
    /// What it comes to in the same group.
    Repeat(Published),
    /// Something new, which takes up so much.
    New(Footprint),
}

/// What has to be carried on.
#[derive(Default)]
struct Needed<'a> {
    publications: Vec<(Place, &'a Publication)>,
    keys: Vec<KeyRecord>,
    /// Whether the channel's newest record is there.
    is_newest: bool,
}
