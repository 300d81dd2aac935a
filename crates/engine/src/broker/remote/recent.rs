//! What this node knows of streams that it publishes to and does not listen to.
//!
//! A publisher whose last publication was lost at the other end is the one who can tell. Memory is
//! bounded, so that it can tell only of the channels that it published to lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::link::Sighting;
use crate::channel::ChannelName;
use crate::limits::RECENT_CHANNELS_MAX;

/// See the [module](self). Two tables: when the young one is full, it becomes the old one.
#[derive(Default)]
pub(super) struct Recent(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    young: HashMap<ChannelName, Sighting>,
    old: HashMap<ChannelName, Sighting>,
}

impl Recent {
    pub(super) fn get(&self, channel: &ChannelName) -> Option<Sighting> {
        let tables = self.lock();
        let known = tables.young.get(channel);
        known.or_else(|| tables.old.get(channel)).copied()
    }

    pub(super) fn put(&self, channel: &ChannelName, sighting: Sighting) {
        let mut tables = self.lock();
        if tables.young.len() >= RECENT_CHANNELS_MAX / 2 && !tables.young.contains_key(channel) {
            tables.old = std::mem::take(&mut tables.young);
        }
        tables.young.insert(channel.clone(), sighting);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            recent.put(&name(number), sighting(number as u64));
        }
        let last = 3 * RECENT_CHANNELS_MAX - 1;
        assert_eq!(recent.get(&name(last)), Some(sighting(last as u64)));
        assert_eq!(recent.get(&name(0)), None);
        let tables = recent.lock();
        assert!(tables.young.len() + tables.old.len() <= RECENT_CHANNELS_MAX);
    }
}
