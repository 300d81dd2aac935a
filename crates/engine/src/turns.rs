//! One thing after the other, by key: for a channel of a shard, or for a user.
//!
//! A shard names its errands in an order that matters: to unsubscribe from a channel and to
//! subscribe again must not change places, neither must being present and being absent. Whoever
//! runs errands begins them in that order and lets them run side by side; here they queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// The queues that are not empty. The map's lock is held for one look-up, never across an await;
/// a queue's lock is fair, and held for one errand.
#[derive(Debug)]
pub(crate) struct Turns<K>(Mutex<HashMap<K, Queue>>);

/// Leave to do something with what the key stands for, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, K: Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    /// `None` only while being dropped.
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits until everything that came before for the same key is done. The place in the queue is
    /// taken at the first poll.
    pub(crate) async fn take(&self, key: K) -> Turn<'_, K> {
        let queue = Arc::clone(self.lock().entry(key.clone()).or_default());
        let mut turn = Turn {
            turns: self,
            key,
            guard: None,
        };
        turn.guard = Some(queue.lock_owned().await);
        turn
    }
}

impl<K> Turns<K> {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Turn<'_, K> {
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
        let first = turns.take((0, "c")).now_or_never().unwrap();
        let mut second = pin!(turns.take((0, "c")));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = pin!(turns.take((0, "c")));
        assert!(third.as_mut().now_or_never().is_none());
        for key in [(1, "c"), (0, "d")] {
            assert!(turns.take(key).now_or_never().is_some());
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
        let first = turns.take("c").now_or_never().unwrap();
        assert!(turns.take("c").now_or_never().is_none());
        drop(first);
        assert!(turns.lock().is_empty());
    }
}
