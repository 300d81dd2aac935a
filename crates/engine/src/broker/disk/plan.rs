//! What a group will be: its records, and what each will make of its channel.
//!
//! Nothing here can be seen by anybody. While a channel is planned for, its entry is held: nothing of
//! it is forgotten.

use std::sync::Arc;

use campanile_protocol::{Epoch, Payload, Publication};

use super::draft::Drafts;
use super::queue::{Carried, Done, PublishRequest, Tell, answer};
use super::shared::Shared;
use super::slot::SLOT_BYTES;
use crate::broker::stream::{Bounds, Footprint, key_bytes};
use crate::broker::streams::entry_footprint;
use crate::broker::{BrokerError, IDEMPOTENCY_TTL, Published, Version};
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
    pub(super) repeats: Vec<(Tell<Done>, Published)>,
    /// Who waits for the group, and for nothing else.
    pub(super) waiting: Vec<Tell<()>>,
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
    /// Nothing changes but where the channel's newest record is.
    State,
}

pub(super) struct PublishStep {
    pub(super) content: Publishing,
    pub(super) cost: Footprint,
    pub(super) tell: Tell<Done>,
    /// The publisher's copy of what is kept.
    pub(super) spent: Payload,
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
            waiting: Vec::new(),
            now,
        }
    }

    /// Begins the next group.
    pub(super) fn begin(&mut self) {
        self.group.clear();
        self.now = self.shared.streams.now();
    }

    /// Ends the planning of the group.
    pub(super) fn end(&mut self) {
        self.drafts.clear();
    }

    pub(super) fn publish(&mut self, request: PublishRequest) {
        match self.try_draft(&request) {
            Ok(Drafted::New(publishing)) => self.push_publish(request, publishing),
            Ok(Drafted::Known(published)) => answer(request.tell, Ok(published.into())),
            Ok(Drafted::Repeat(published)) => self.repeats.push((request.tell, published)),
            Err(error) => {
                if error == BrokerError::StorageFull {
                    self.shared.refuse_full();
                }
                answer(request.tell, Err(error));
            }
        }
    }

    /// What a publish will come to, when the group is written.
    fn try_draft(&mut self, request: &PublishRequest) -> Result<Drafted, BrokerError> {
        let new = &request.new;
        let draft = self.drafts.get(&new.channel);
        let mut key_count = draft.map_or(0, |draft| draft.keys.len());
        if let Some(draft) = draft {
            let key = new.idempotency_key.as_deref();
            if let Some(published) = key.and_then(|key| draft.keys.get(key)) {
                return Ok(Drafted::Repeat(Published {
                    is_suppressed: true,
                    ..*published
                }));
            }
        }
        let (mut bounds, mut is_stored) = (Bounds::default(), false);
        let mut outdated = None;
        if let Some(entry) = self.shared.streams.stripe(&new.channel).get(&new.channel) {
            if let Some(published) = entry.repeated(new, self.now) {
                return Ok(Drafted::Known(published));
            }
            outdated = entry.outdated(new);
            key_count += entry.stream.key_count();
            (bounds, is_stored) = (entry.stream.bounds(), entry.is_stored);
        }
        let key = new.idempotency_key.as_deref();
        if key.is_some() && key_count >= IDEMPOTENCY_KEYS_MAX {
            return Err(BrokerError::TooManyKeys);
        }
        if let Some(draft) = draft {
            if new.retention.is_some() && draft.has_seen(new.version.as_ref()) {
                return Ok(Drafted::Repeat(Published {
                    position: Some(draft.top()),
                    is_suppressed: true,
                }));
            }
            (bounds, is_stored) = (draft.bounds, draft.is_stored);
        } else if let Some(published) = outdated {
            return Ok(Drafted::Known(published));
        }
        if self.shared.is_over_limit(self.group.len()) {
            return Err(BrokerError::StorageFull);
        }
        let mut cost = Footprint::default();
        cost.memory += key.map_or(0, key_bytes);
        cost.memory += new.retention.map_or(0, |_| SLOT_BYTES);
        if !is_stored {
            cost += entry_footprint(&new.channel);
        }
        if !self.shared.streams.take(cost) {
            return Err(BrokerError::OutOfMemory);
        }
        let advanced = new
            .retention
            .map(|retention| bounds.advance(retention, self.now));
        Ok(Drafted::New(Advance {
            bounds: advanced,
            cost,
        }))
    }

    fn push_publish(&mut self, request: PublishRequest, advance: Advance) {
        let PublishRequest { new, tell, .. } = request;
        let Advance { bounds, mut cost } = advance;
        let (now, shared) = (self.now, Arc::clone(&self.shared));
        let draft = self.drafts.hold(&shared.streams, &new.channel, now);
        draft.bounds = bounds.unwrap_or(draft.bounds);
        draft.is_stored = true;
        if bounds.is_some() && new.version.is_some() {
            draft.version.clone_from(&new.version);
        }
        let (data, spent) = kept(new.data);
        let publication = Arc::new(Publication {
            offset: bounds.map_or(0, |bounds| bounds.top),
            data,
            info: new.info,
            tags: new.tags,
        });
        let published = Published {
            position: bounds.map(|_| draft.top()),
            is_suppressed: false,
        };
        let keys: Vec<KeyRecord> = new
            .idempotency_key
            .iter()
            .map(|key| KeyRecord {
                key: key.clone(),
                offset: bounds.map(|bounds| bounds.top),
                expires: shared.log_time(now + IDEMPOTENCY_TTL),
            })
            .collect();
        if let Some(key) = &new.idempotency_key {
            draft.keys.insert(key.clone(), published);
        }
        let state = draft.state(&shared);
        let slot = self.group.push(RecordRef::Channel {
            channel: new.channel.as_str(),
            state: &state,
            publication: bounds.map(|_| &*publication),
            keys: &keys,
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
            spent,
        };
        self.push_step(new.channel, slot, Kind::Publish(Box::new(step)));
    }

    pub(super) fn remove(&mut self, channel: ChannelName, through: Option<u64>, tell: Tell<()>) {
        let shared = Arc::clone(&self.shared);
        let is_stored = self.drafts.get(&channel).is_some()
            || shared
                .streams
                .stripe(&channel)
                .get(&channel)
                .is_some_and(|entry| entry.is_stored);
        if !is_stored {
            answer(tell, Ok(()));
            return;
        }
        let draft = self.drafts.hold(&shared.streams, &channel, self.now);
        let all = draft.bounds.top + 1;
        let floor = through.map_or(all, |through| all.min(through + 1));
        draft.bounds.floor = draft.bounds.floor.max(floor);
        let floor = draft.bounds.floor;
        self.push_state(channel, &[], Kind::Trim(floor));
        self.waiting.push(tell);
    }

    pub(super) fn carry(
        &mut self,
        channel: &ChannelName,
        segment: u32,
        publications: &[Carried],
        tell: Tell<()>,
    ) {
        self.waiting.push(tell);
        let shared = Arc::clone(&self.shared);
        for Carried { from, publication } in publications {
            let offset = publication.offset;
            let is_there = shared
                .streams
                .stripe(channel)
                .get(channel)
                .is_some_and(|entry| {
                    entry.stream.history_is_alive(self.now)
                        && entry
                            .stream
                            .get(offset)
                            .is_some_and(|slot| slot.place == *from)
                });
            let is_dropped = self
                .drafts
                .get(channel)
                .is_some_and(|draft| draft.bounds.floor > offset);
            if !is_there || is_dropped {
                continue;
            }
            let draft = self.drafts.hold(&shared.streams, channel, self.now);
            let state = draft.state(&shared);
            let slot = self.group.push(RecordRef::Channel {
                channel: channel.as_str(),
                state: &state,
                publication: Some(publication),
                keys: &[],
            });
            let from = *from;
            self.push_step(channel.clone(), slot, Kind::Carry { offset, from });
        }
        let (mut keys, mut is_resident) = (Vec::new(), false);
        if let Some(entry) = shared.streams.stripe(channel).get(channel)
            && entry.is_stored
        {
            is_resident = entry.segment == segment;
            keys.extend(
                entry
                    .stream
                    .keys(self.now)
                    .map(|(key, published, expires)| KeyRecord {
                        key: key.into(),
                        offset: published.position.map(|position| position.offset),
                        expires: shared.log_time(expires),
                    }),
            );
        }
        for keys in keys.chunks(KEYS_CARRIED) {
            self.drafts.hold(&shared.streams, channel, self.now);
            self.push_state(channel.clone(), keys, Kind::State);
        }
        if is_resident && self.drafts.get(channel).is_none() {
            self.drafts.hold(&shared.streams, channel, self.now);
            self.push_state(channel.clone(), &[], Kind::State);
        }
    }

    /// A record of a held channel without a publication.
    fn push_state(&mut self, channel: ChannelName, keys: &[KeyRecord], kind: Kind) {
        let Some(draft) = self.drafts.get(&channel) else {
            return;
        };
        let state = draft.state(&self.shared);
        let slot = self.group.push(RecordRef::Channel {
            channel: channel.as_str(),
            state: &state,
            publication: None,
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

/// The payload to keep, and one to give back: a copy, as long as that is less than what it costs
/// that the one is allocated by a publisher and freed here.
fn kept(data: Payload) -> (Payload, Payload) {
    const COPIED_BYTES_MAX: usize = 4096;
    if data.len() > COPIED_BYTES_MAX {
        (data, Payload::default())
    } else {
        (data.clone(), data)
    }
}

/// What a publish will come to.
enum Drafted {
    /// What it came to when it was published first.
    Known(Published),
    /// What it comes to in the same group.
    Repeat(Published),
    New(Advance),
}

#[derive(Clone, Copy)]
struct Advance {
    bounds: Option<Bounds>,
    cost: Footprint,
}
