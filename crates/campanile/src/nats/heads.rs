//! The last messages of channels that this node wrote to lately, so that the next one can follow
//! without a question. What is wrong here costs a conflict and no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campanile_engine::broker::remote::Generation;
use campanile_engine::channel::ChannelName;

use super::plan::Head;
use super::record::Stream;

/// Channels that are remembered: some 300 bytes each.
const CHANNELS_MAX: usize = 32_768;

/// See the [module](self). Two tables: when the young one is full, it becomes the old one.
#[derive(Default)]
pub(super) struct Heads(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    young: HashMap<ChannelName, (Arc<str>, Head)>,
    old: HashMap<ChannelName, (Arc<str>, Head)>,
}

impl Heads {
    /// The last message that is known, if it is of this life of the stream and this life of its
    /// leader: another one may have lost it, and given its number to a message of somebody else.
    pub(super) fn get(&self, channel: &ChannelName, life: &str, generation: u64) -> Option<Head> {
        let tables = self.lock();
        let known = tables
            .young
            .get(channel)
            .or_else(|| tables.old.get(channel));
        let is_present = |head: &Head| head.stream.sighting().generation == Generation(generation);
        known
            .filter(|(of, head)| **of == *life && is_present(head))
            .map(|(_, head)| head.clone())
    }

    pub(super) fn put(&self, channel: &ChannelName, life: &Arc<str>, head: Head) {
        let mut tables = self.lock();
        if tables.young.len() >= CHANNELS_MAX / 2 && !tables.young.contains_key(channel) {
            tables.old = std::mem::take(&mut tables.young);
        }
        tables
            .young
            .insert(channel.clone(), (Arc::clone(life), head));
    }

    /// Forgets what is known of a channel, unless a later message than this has been heard since.
    pub(super) fn forget(&self, channel: &ChannelName, sequence: u64) {
        let mut tables = self.lock();
        let Tables { young, old } = &mut *tables;
        for table in [young, old] {
            if table
                .get(channel)
                .is_some_and(|(_, head)| head.sequence <= sequence)
            {
                table.remove(channel);
            }
        }
    }

    /// Takes notice of a message that another node may have written, in channels that are known.
    pub(super) fn hear(&self, channel: &ChannelName, life: &str, sequence: u64, stream: &Stream) {
        let mut tables = self.lock();
        let Tables { young, old } = &mut *tables;
        let known = young.get_mut(channel).or_else(|| old.get_mut(channel));
        if let Some((of, head)) = known
            && **of == *life
            && head.sequence < sequence
        {
            *head = Head {
                sequence,
                stream: stream.clone(),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::testkit::channel;
    use campanile_protocol::Epoch;

    use super::*;

    #[test]
    fn a_head_is_good_for_one_life_of_the_stream_and_of_its_leader() {
        let heads = Heads::default();
        let stream = Stream {
            epoch: Epoch::new("e"),
            offset: 7,
            floor: 0,
            at: 0,
            ttl: 0,
            meta_ttl: 0,
            generations: vec![(1, 0), (2, 5)],
            version: None,
        };
        let head = Head {
            sequence: 9,
            stream,
        };
        heads.put(&channel("c"), &"life".into(), head);
        let sequence = |life, generation| {
            let head = heads.get(&channel("c"), life, generation);
            head.map(|head| head.sequence)
        };
        assert_eq!(sequence("life", 2), Some(9));
        assert_eq!(sequence("life", 3), None, "it may be another message now");
        assert_eq!(sequence("life", 1), None);
        assert_eq!(sequence("another", 2), None);
    }
}
