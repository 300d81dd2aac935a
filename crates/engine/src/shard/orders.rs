//! What the application wants of many sessions at once.

use std::sync::Arc;

use campanile_protocol::{ClientId, Disconnect};

use super::{SessionKey, Shard, Slot};
use crate::application::Caller;
use crate::session::{Input, Order};
use crate::time::Now;

/// Whom an order is for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Target {
    /// Every live session.
    Everybody,
    /// Sessions of one user.
    User {
        /// Whose.
        user: String,
        /// Only this one of them.
        only: Option<ClientId>,
        /// None of these.
        spared: Vec<ClientId>,
    },
}

impl Target {
    /// All sessions of one user; of the anonymous one, when it is empty.
    #[must_use]
    pub fn user(user: impl Into<String>) -> Self {
        Self::User {
            user: user.into(),
            only: None,
            spared: Vec::new(),
        }
    }
}

impl Shard {
    /// Live sessions that `target` means, as the application knows them.
    #[must_use]
    pub fn sessions(&self, target: &Target) -> Vec<Arc<Caller>> {
        let sessions = self.find(target).into_iter();
        let sessions = sessions.filter_map(|key| self.slot(key)?.session.as_ref());
        sessions.map(|session| session.caller()).collect()
    }

    /// Gives an order to every live session that it is for; returns how many there are.
    pub fn order(&mut self, now: Now, target: &Target, order: &Order) -> usize {
        let targets = self.find(target);
        for key in &targets {
            self.step(now, *key, Input::Order(order.clone()));
        }
        targets.len()
    }

    fn find(&self, target: &Target) -> Vec<SessionKey> {
        match target {
            Target::Everybody => {
                let is_live = |slot: &Slot| {
                    slot.session
                        .as_ref()
                        .is_some_and(|session| session.is_live())
                };
                let live = self.slots.iter().filter(|(_, slot)| is_live(slot));
                live.filter_map(|(index, _)| self.key_at(index.try_into().ok()?))
                    .collect()
            }
            Target::User { user, only, spared } => {
                let is_meant = |key: &SessionKey| {
                    let session = self.slot(*key).and_then(|slot| slot.session.as_ref());
                    session
                        .map(|session| session.client())
                        .is_some_and(|client| {
                            only.is_none_or(|only| only == client) && !spared.contains(&client)
                        })
                };
                let sessions = self.hub.sessions_of(user).into_iter();
                sessions
                    .filter_map(|index| self.key_at(index))
                    .filter(is_meant)
                    .collect()
            }
        }
    }

    /// Ends at most `most` sessions with `disconnect`; returns how many there were.
    pub fn drain(&mut self, now: Now, most: usize, disconnect: &Disconnect) -> usize {
        let is_open = |slot: &Slot| slot.closes.is_none() && !slot.is_orphan;
        let open = self
            .slots
            .iter()
            .filter(|(_, slot)| is_open(slot))
            .take(most);
        let keys: Vec<_> = open
            .filter_map(|(index, _)| self.key_at(index.try_into().ok()?))
            .collect();
        for key in &keys {
            self.close(now, *key, disconnect.clone());
        }
        keys.len()
    }
}
