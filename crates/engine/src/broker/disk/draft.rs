//! What the channels of a group will be when it is written.

use std::collections::HashMap;

use campanile_protocol::{Epoch, Position};

use super::shared::Shared;
use super::slot::Slot;
use crate::broker::stream::{Bounds, is_seen};
use crate::broker::streams::Streams;
use crate::broker::{Published, Version};
use crate::channel::ChannelName;
use crate::store::StreamState;
use crate::time::Moment;

/// One channel.
pub(super) struct Draft {
    pub(super) epoch: Epoch,
    pub(super) bounds: Bounds,
    pub(super) version: Option<Version>,
    /// The keys of the group alone.
    pub(super) keys: HashMap<Box<str>, Published>,
    pub(super) is_stored: bool,
    /// The group's last step for it.
    last_step: Option<usize>,
}

impl Draft {
    pub(super) const fn top(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.bounds.top,
        }
    }

    /// Whether the group says something of it.
    pub(super) const fn has_step(&self) -> bool {
        self.last_step.is_some()
    }

    pub(super) fn has_seen(&self, version: Option<&Version>) -> bool {
        version.is_some_and(|version| is_seen(self.version.as_ref(), version))
    }

    /// What a record says of it.
    pub(super) fn state(&self, shared: &Shared) -> StreamState {
        StreamState {
            epoch: self.epoch,
            top: self.bounds.top,
            floor: self.bounds.floor,
            history_expires: shared.log_time(self.bounds.history_expires),
            meta_expires: self.bounds.meta_expires.map(|at| shared.log_time(at)),
            version: self.version.clone(),
        }
    }
}

/// All channels of a group.
#[derive(Default)]
pub(super) struct Drafts(HashMap<ChannelName, Draft>);

impl Drafts {
    pub(super) fn get(&self, channel: &ChannelName) -> Option<&Draft> {
        self.0.get(channel)
    }

    /// The draft of `channel`, whose entry is held from here on and begins if there is none.
    pub(super) fn hold(
        &mut self,
        streams: &Streams<Slot>,
        channel: &ChannelName,
        now: Moment,
    ) -> &mut Draft {
        self.0.entry(channel.clone()).or_insert_with(|| {
            let mut stripe = streams.stripe(channel);
            let entry = stripe.entry(channel, || streams.era(now).epoch);
            entry.is_held = true;
            Draft {
                epoch: entry.stream.top().epoch,
                bounds: entry.stream.bounds(),
                version: entry.stream.version(now).cloned(),
                keys: HashMap::new(),
                is_stored: entry.is_stored,
                last_step: None,
            }
        })
    }

    /// Notes a step for a held channel; returns the one before.
    pub(super) fn step(&mut self, channel: &ChannelName, index: usize) -> Option<usize> {
        self.0.get_mut(channel)?.last_step.replace(index)
    }

    /// Forgets all; returns the held channels of which the group says nothing.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = ChannelName> + '_ {
        let all = self.0.drain();
        all.filter_map(|(channel, draft)| (!draft.has_step()).then_some(channel))
    }
}
