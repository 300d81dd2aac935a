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
const STRIPES: usize = 64;

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
            let mut stripe = self.stripe(channel);
            let attendees = stripe.entry(channel.clone()).or_default();
            attendees.remove(info.client);
            *attendees.users.entry(info.user.clone()).or_default() += 1;
            attendees.clients.insert(info.client, info);
            Ok(())
        })
    }

    fn remove<'a>(&'a self, channel: &'a ChannelName, client: ClientId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut stripe = self.stripe(channel);
            if let Some(attendees) = stripe.get_mut(channel) {
                attendees.remove(client);
                if attendees.clients.is_empty() {
                    stripe.remove(channel);
                }
            }
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
    fn remove(&mut self, client: ClientId) {
        let Some(info) = self.clients.remove(&client) else {
            return;
        };
        if let Some(sessions) = self.users.get_mut(&info.user) {
            *sessions -= 1;
            if *sessions == 0 {
                self.users.remove(&info.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn info(user: &str, number: u8) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            user: UserId::new(user),
            client: ClientId::from_random([number; 16], 0),
            conn_info: None,
            chan_info: None,
        })
    }

    fn now<T>(future: BoxFuture<'_, T>) -> T {
        future.now_or_never().expect("memory never waits")
    }

    #[test]
    fn a_user_with_two_sessions_counts_once() {
        let presence = MemoryPresence::default();
        let channel = ChannelName::trusted("c");
        for (user, number) in [("a", 1), ("a", 2), ("b", 3), ("b", 3)] {
            now(presence.add(&channel, info(user, number))).unwrap();
        }
        let stats = || now(presence.stats(&channel)).unwrap();
        assert_eq!(
            stats(),
            PresenceStats {
                clients: 3,
                users: 2
            }
        );
        now(presence.remove(&channel, info("a", 1).client));
        now(presence.remove(&channel, info("a", 1).client));
        assert_eq!(
            stats(),
            PresenceStats {
                clients: 2,
                users: 2
            }
        );
        now(presence.remove(&channel, info("a", 2).client));
        now(presence.remove(&channel, info("b", 3).client));
        assert_eq!(stats(), PresenceStats::default());
        assert!(
            presence.stripe(&channel).is_empty(),
            "an empty channel is forgotten"
        );
    }

    #[test]
    fn a_channel_with_too_many_is_counted_but_not_listed() {
        let presence = MemoryPresence::default();
        let channel = ChannelName::trusted("c");
        now(presence.add(&channel, info("a", 1))).unwrap();
        now(presence.add(&channel, info("a", 2))).unwrap();
        assert_eq!(now(presence.list(&channel, 1)).unwrap(), None);
        assert_eq!(now(presence.list(&channel, 2)).unwrap().unwrap().len(), 2);
    }
}
