//! What Redis has yet to be told, by channel: whose entry there may differ from the mirror's.
//!
//! Only who is noted, not what: whoever writes looks into the mirror. So it does not matter how often
//! something changes while Redis is away, and a repeat does no harm. Batches of a channel are written
//! one after another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use campanile_engine::channel::ChannelName;
use campanile_protocol::ClientId;
use tokio::sync::{Notify, oneshot};

use super::keys::Incarnation;

/// Sessions written at once: about a millisecond of Redis' time.
pub(super) const BATCH_MAX: usize = 128;

/// What is noted while nothing can be written. Beyond, everything is written again.
const UNWRITTEN_MAX: usize = 100_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Wishes {
    all: Mutex<All>,
    /// Told when there may be something to write.
    pub(super) noted: Notify,
}

#[derive(Debug, Default)]
struct All {
    channels: HashMap<ChannelName, Open>,
    /// Those with wishes of which no batch is under way.
    ready: VecDeque<ChannelName>,
    /// Those that an index in Redis may name, and whose.
    indexed: HashMap<ChannelName, Incarnation>,
    count: usize,
}

#[derive(Debug, Default)]
struct Open {
    clients: HashMap<ClientId, Wish>,
    is_writing: bool,
}

/// One session's entry that is to be written.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Those that wait for it. Dropped when it is known that it takes long.
    waiters: Vec<oneshot::Sender<()>>,
    /// Whether it was written before, for an incarnation that has ended.
    pub(super) is_again: bool,
}

/// Wishes of one channel.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) channel: ChannelName,
    pub(super) clients: Vec<(ClientId, Wish)>,
    /// Whose index names the channel.
    pub(super) index: Option<Incarnation>,
}

/// There is too much to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMany;

impl Wishes {
    /// Notes a change. What is returned ends when it has been written, or when that takes long.
    pub(super) fn note(&self, channel: &ChannelName, client: ClientId) -> oneshot::Receiver<()> {
        let (written, waiter) = oneshot::channel();
        let mut all = self.all();
        all.wish(channel, client, false).waiters.push(written);
        drop(all);
        self.noted.notify_one();
        waiter
    }

    /// Notes a change while nothing can be written.
    pub(super) fn note_for_later(
        &self,
        channel: &ChannelName,
        client: ClientId,
    ) -> Result<(), TooMany> {
        let mut all = self.all();
        if all.count >= UNWRITTEN_MAX {
            return Err(TooMany);
        }
        all.wish(channel, client, false);
        Ok(())
    }

    /// Notes what was written before, for which nobody waits.
    pub(super) fn note_again(&self, channel: &ChannelName, clients: &[ClientId], is_again: bool) {
        let mut all = self.all();
        for client in clients {
            all.wish(channel, *client, is_again);
        }
        drop(all);
        self.noted.notify_one();
    }

    /// How many sessions wait, those under way among them.
    pub(super) fn count(&self) -> usize {
        self.all().count
    }

    /// Takes what may be written now.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut all = self.all();
        let channel = all.ready.pop_front()?;
        let index = all.indexed.get(&channel).copied();
        let open = all.channels.get_mut(&channel)?;
        open.is_writing = true;
        let clients = if open.clients.len() <= BATCH_MAX {
            open.clients.drain().collect()
        } else {
            let some = open.clients.keys().take(BATCH_MAX).copied();
            let some: Vec<_> = some.collect();
            let take = |client| Some((client, open.clients.remove(&client)?));
            some.into_iter().filter_map(take).collect()
        };
        Some(Batch {
            channel,
            clients,
            index,
        })
    }

    /// A batch was written.
    pub(super) fn written(&self, batch: Batch) {
        let mut all = self.all();
        all.count = all.count.saturating_sub(batch.clients.len());
        match batch.index {
            Some(index) => all.indexed.insert(batch.channel.clone(), index),
            None => all.indexed.remove(&batch.channel),
        };
        all.close(batch.channel);
        drop(all);
        for waiter in batch.clients.into_iter().flat_map(|(_, wish)| wish.waiters) {
            // Whoever waited may have gone.
            let _ = waiter.send(());
        }
    }

    /// Leaves some of a batch for the next one.
    pub(super) fn put_back(&self, channel: &ChannelName, rest: Vec<(ClientId, Wish)>) {
        let mut all = self.all();
        if let Some(open) = all.channels.get_mut(channel) {
            let mut twice = 0;
            for (client, mut wish) in rest {
                if let Some(mut other) = open.clients.remove(&client) {
                    // It was wished again meanwhile, and counted.
                    wish.waiters.append(&mut other.waiters);
                    twice += 1;
                }
                open.clients.insert(client, wish);
            }
            all.count = all.count.saturating_sub(twice);
        }
    }

    /// A batch was not written, or nobody knows: it is to be written another time.
    pub(super) fn failed(&self, mut batch: Batch) {
        let mut all = self.all();
        for (client, wish) in batch.clients.drain(..) {
            all.count = all.count.saturating_sub(1);
            all.wish(&batch.channel, client, wish.is_again);
        }
        all.close(batch.channel);
    }

    /// Lets all go on that wait: it takes long.
    pub(super) fn release(&self) {
        let mut all = self.all();
        for open in all.channels.values_mut() {
            for wish in open.clients.values_mut() {
                wish.waiters = Vec::new();
            }
        }
    }

    /// Forgets all: everything will be written again.
    pub(super) fn clear(&self) {
        let mut all = self.all();
        all.ready.clear();
        let mut dropped = 0;
        all.channels.retain(|_, open| {
            dropped += open.clients.len();
            open.clients = HashMap::new();
            open.is_writing
        });
        all.count = all.count.saturating_sub(dropped);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn wish(&mut self, channel: &ChannelName, client: ClientId, is_again: bool) -> &mut Wish {
        let open = self.channels.entry(channel.clone()).or_default();
        if open.clients.is_empty() && !open.is_writing {
            self.ready.push_back(channel.clone());
        }
        open.clients.entry(client).or_insert_with(|| {
            self.count += 1;
            Wish {
                waiters: Vec::new(),
                is_again,
            }
        })
    }

    fn close(&mut self, channel: ChannelName) {
        let Some(open) = self.channels.get_mut(&channel) else {
            return;
        };
        open.is_writing = false;
        if open.clients.is_empty() {
            self.channels.remove(&channel);
        } else {
            self.ready.push_back(channel);
        }
    }
}
