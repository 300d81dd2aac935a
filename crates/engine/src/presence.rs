//! Who is in which channel now, over all shards of the node.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campanile_protocol::{ClientId, ClientInfo, UserId};

use crate::broker::{BoxFuture, BrokerError};
use crate::channel::ChannelName;

/// How many are in a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PresenceStats {
    /// Sessions.
    pub clients: usize,
    /// Distinct users.
    pub users: usize,
}

/// Keeps who is present. All operations are idempotent.
pub trait Presence: Send + Sync + 'static {
    /// Adds a session to a channel, or replaces what is known of it.
    ///
    /// # Errors
    /// The session was not added.
    fn add<'a>(
        &'a self,
        channel: &'a ChannelName,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Removes a session from a channel.
    fn remove<'a>(&'a self, channel: &'a ChannelName, client: ClientId) -> BoxFuture<'a, ()>;

    /// The sessions in a channel; `None` when there are more than `max`.
    ///
    /// # Errors
    /// Nobody could be asked.
    fn list<'a>(
        &'a self,
        channel: &'a ChannelName,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Arc<ClientInfo>>>, BrokerError>>;

    /// How many are in a channel; costs no more than one look-up.
    ///
    /// # Errors
    /// Nobody could be asked.
    fn stats<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>>;

    /// What is in the memory of this node and has to be told to others, if there is such.
    fn here(&self) -> Option<&MemoryPresence> {
        None
    }
}

/// Locks that channels are spread over.
pub const STRIPES: usize = 64;

/// Presence in this node's memory. Each stripe's lock is held for one operation.
#[derive(Debug)]
pub struct MemoryPresence {
    stripes: Box<[Mutex<HashMap<ChannelName, Attendees>>]>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Attendees {
    clients: HashMap<ClientId, Arc<ClientInfo>>,
    /// How many sessions each user has here.
    users: HashMap<UserId, usize>,
}

impl Default for MemoryPresence {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl MemoryPresence {
    /// Whether nobody is in any channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let stripes = self.stripes.iter();
        stripes
            .map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
            .all(|stripe| stripe.is_empty())
    }

    /// The sessions in a channel; `None` when there are more than `max`.
    pub(crate) fn attendees(
        &self,
        channel: &ChannelName,
        max: usize,
    ) -> Option<Vec<Arc<ClientInfo>>> {
        match self.stripe(channel).get(channel) {
            None => Some(Vec::new()),
            Some(attendees) if attendees.clients.len() > max => None,
            Some(attendees) => Some(attendees.clients.values().cloned().collect()),
        }
    }

    /// How many sessions are in a channel, and a number for each of their users: the same for the
    /// same user on all nodes.
    pub(crate) fn users(&self, channel: &ChannelName) -> (usize, Vec<u64>) {
        let stripe = self.stripe(channel);
        stripe.get(channel).map_or((0, Vec::new()), |attendees| {
            let users = attendees.users.keys();
            (attendees.clients.len(), users.map(fingerprint).collect())
        })
    }

    /// Adds a session, or replaces what is known of it; `false` when that is known already.
    pub fn insert(&self, channel: &ChannelName, info: Arc<ClientInfo>) -> bool {
        let mut stripe = self.stripe(channel);
        let attendees = stripe.entry(channel.clone()).or_default();
        if attendees.clients.get(&info.client) == Some(&info) {
            return false;
        }
        attendees.remove(info.client);
        *attendees.users.entry(info.user.clone()).or_default() += 1;
        attendees.clients.insert(info.client, info);
        true
    }

    /// Takes a session out; `false` when it is not there.
    pub fn take(&self, channel: &ChannelName, client: ClientId) -> bool {
        let mut stripe = self.stripe(channel);
        let Some(attendees) = stripe.get_mut(channel) else {
            return false;
        };
        let was_there = attendees.remove(client);
        if attendees.clients.is_empty() {
            stripe.remove(channel);
        }
        was_there
    }

    /// What is known of a session in a channel.
    #[must_use]
    pub fn find(&self, channel: &ChannelName, client: ClientId) -> Option<Arc<ClientInfo>> {
        let stripe = self.stripe(channel);
        stripe.get(channel)?.clients.get(&client).cloned()
    }

    /// The sessions in a channel, in no order.
    #[must_use]
    pub fn clients(&self, channel: &ChannelName) -> Vec<ClientId> {
        let stripe = self.stripe(channel);
        let attendees = stripe.get(channel);
        attendees.map_or_else(Vec::new, |known| known.clients.keys().copied().collect())
    }

    /// The channels of one of the [`STRIPES`], for whoever goes through them all in pieces; `None`
    /// behind the last.
    #[must_use]
    pub fn channels(&self, stripe: usize) -> Option<Vec<ChannelName>> {
        let stripe = self.stripes.get(stripe)?;
        let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        Some(stripe.keys().cloned().collect())
    }

    fn stripe(&self, channel: &ChannelName) -> MutexGuard<'_, HashMap<ChannelName, Attendees>> {
        let hash = self.hasher.hash_one(channel);
        let index = usize::try_from(hash % STRIPES as u64).expect("below STRIPES");
        self.stripes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence for MemoryPresence {
    fn add<'a>(
        &'a self,
        channel: &'a ChannelName,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            self.insert(channel, info);
            Ok(())
        })
    }

    fn remove<'a>(&'a self, channel: &'a ChannelName, client: ClientId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.take(channel, client);
        })
    }

    fn list<'a>(
        &'a self,
        channel: &'a ChannelName,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Arc<ClientInfo>>>, BrokerError>> {
        Box::pin(async move { Ok(self.attendees(channel, max)) })
    }

    fn stats<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>> {
        Box::pin(async move {
            Ok(self
                .stripe(channel)
                .get(channel)
                .map_or_else(PresenceStats::default, |attendees| PresenceStats {
                    clients: attendees.clients.len(),
                    users: attendees.users.len(),
                }))
        })
    }
}

/// FNV-1a: part of what nodes of different versions tell each other, so no hasher of a library's. Two
/// users with the same number count as one.
fn fingerprint(user: &UserId) -> u64 {
    let bytes = user.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Attendees {
    fn remove(&mut self, client: ClientId) -> bool {
        let Some(info) = self.clients.remove(&client) else {
            return false;
        };
        if let Some(sessions) = self.users.get_mut(&info.user) {
            *sessions -= 1;
            if *sessions == 0 {
                self.users.remove(&info.user);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::channel;
    use crate::testkit::contract::presence::attendee;

    mod contract {
        fn run<T>(future: impl Future<Output = T>) -> T {
            futures_util::FutureExt::now_or_never(future).expect("memory never waits")
        }

        crate::presence_contract!(async || Box::new(super::MemoryPresence::default()), run);
    }

    #[test]
    fn an_empty_channel_is_forgotten() {
        let presence = MemoryPresence::default();
        let (channel, info) = (channel("c"), attendee("a", 1));
        assert!(presence.insert(&channel, Arc::clone(&info)));
        assert!(!presence.insert(&channel, Arc::clone(&info)), "nothing new");
        assert!(presence.take(&channel, info.client));
        assert!(!presence.take(&channel, info.client));
        assert!(presence.is_empty());
    }
}
