//! What this node knows of streams that it does not listen to: since it publishes to them, or has
//! listened until lately.
//!
//! When the last publication was lost at the other end, whoever published it or passed it on is the one
//! who can tell. Memory is bounded, so that it can tell only of the latest channels.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::known::Known;
use super::link::Sighting;
use crate::channel::ChannelName;
use crate::limits::RECENT_CHANNELS_MAX;

/// See the [module](self). Two tables: when the young one is full, it becomes the old one.
#[derive(Default)]
pub(super) struct Recent(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    young: HashMap<ChannelName, Known>,
    old: HashMap<ChannelName, Known>,
}

impl Recent {
    pub(super) fn seen(&self, channel: &ChannelName) -> Option<Sighting> {
        let tables = self.lock();
        let known = tables.young.get(channel);
        known.or_else(|| tables.old.get(channel))?.seen()
    }

    /// What the sequencer answered who was told of `seen`.
    pub(super) fn learn(&self, channel: &ChannelName, seen: Option<Sighting>, new: Sighting) {
        let mut tables = self.lock();
        let mut known = tables.take(channel).unwrap_or_default();
        known.learn(seen, new);
        tables.put(channel, known);
    }

    /// Everything that is known, which is the caller's from now on.
    pub(super) fn take(&self, channel: &ChannelName) -> Option<Known> {
        self.lock().take(channel)
    }

    pub(super) fn put(&self, channel: &ChannelName, known: Known) {
        if known.seen().is_some() {
            self.lock().put(channel, known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn take(&mut self, channel: &ChannelName) -> Option<Known> {
        let known = self.young.remove(channel);
        known.or_else(|| self.old.remove(channel))
    }

    fn put(&mut self, channel: &ChannelName, known: Known) {
        if self.young.len() >= RECENT_CHANNELS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(channel.clone(), known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::remote::Generation;
    use campanile_protocol::{Epoch, Position};

    fn sighting(offset: u64) -> Sighting {
        let epoch = Epoch::new("e");
        Sighting {
            position: Position { epoch, offset },
            generation: Generation(1),
        }
    }

    #[test]
    fn the_latest_channels_are_known_and_no_more_than_so_many() {
        let recent = Recent::default();
        let name = |number: usize| ChannelName::trusted(&number.to_string());
        for number in 0..3 * RECENT_CHANNELS_MAX {
            recent.learn(&name(number), None, sighting(number as u64));
        }
        let last = 3 * RECENT_CHANNELS_MAX - 1;
        assert_eq!(recent.seen(&name(last)), Some(sighting(last as u64)));
        assert_eq!(recent.seen(&name(0)), None);
        let tables = recent.lock();
        assert!(tables.young.len() + tables.old.len() <= RECENT_CHANNELS_MAX);
    }
}
