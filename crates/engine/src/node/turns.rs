//! One thing after the other, per shard and channel.
//!
//! A shard names its errands in an order that matters: to unsubscribe from a channel and to
//! subscribe again must not change places, neither must being present and being absent. Whoever
//! runs errands begins them in that order and lets them run side by side; here they queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::channel::ChannelName;
use crate::delivery::ShardId;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// The queues that are not empty. The map's lock is held for one look-up, never across an await;
/// a queue's lock is fair, and held for one errand.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<(ShardId, ChannelName), Queue>>);

/// Leave to do something with a channel of a shard, until dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: (ShardId, ChannelName),
    /// `None` only while being dropped.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until everything that came before for the same channel and shard is done. The place
    /// in the queue is taken at the first poll.
    pub(super) async fn take(&self, shard: ShardId, channel: &ChannelName) -> Turn<'_> {
        let mut turn = Turn {
            turns: self,
            key: (shard, channel.clone()),
            guard: None,
        };
        let queue = Arc::clone(self.lock().entry(turn.key.clone()).or_default());
        turn.guard = Some(queue.lock_owned().await);
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(ShardId, ChannelName), Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        drop(self.guard.take());
        // Whoever waits holds the queue too; the last one takes it away.
        let is_last = |queue: &Queue| Arc::strong_count(queue) == 1;
        if queues.get(&self.key).is_some_and(is_last) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    #[test]
    fn errands_of_a_channel_keep_their_order_and_others_do_not_wait() {
        let turns = Turns::default();
        let shard = |index| ShardId::new(index).unwrap();
        let channel = ChannelName::trusted("c");
        let first = turns.take(shard(0), &channel).now_or_never().unwrap();
        let mut second = pin!(turns.take(shard(0), &channel));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = pin!(turns.take(shard(0), &channel));
        assert!(third.as_mut().now_or_never().is_none());
        for (index, name) in [(1, "c"), (0, "d")] {
            let name = ChannelName::trusted(name);
            let other = turns.take(shard(index), &name).now_or_never();
            assert!(other.is_some());
        }
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        drop(second.as_mut().now_or_never().unwrap());
        drop(third.as_mut().now_or_never().unwrap());
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn who_no_longer_waits_leaves_nothing_behind() {
        let turns = Turns::default();
        let shard = ShardId::new(0).unwrap();
        let channel = ChannelName::trusted("c");
        let first = turns.take(shard, &channel).now_or_never().unwrap();
        assert!(turns.take(shard, &channel).now_or_never().is_none());
        drop(first);
        assert!(turns.lock().is_empty());
    }
}
