//! A table by session, small while it has few entries.
//!
//! Most channels and most users have a handful of sessions, and there may be as many channels as
//! sessions: a list that is searched takes a sixth of the memory of a hash table. Large ones get
//! the hash table, so that nothing becomes slow by being popular.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::SessionIndex;

/// Entries from which on a list is no longer searched.
const FEW: usize = 16;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum SessionTable<V> {
    /// At most [`FEW`], in no order.
    Few(Vec<(SessionIndex, V)>),
    /// Keyed by indices of ours, which nobody can choose: a fixed hash is safe.
    Many(HashMap<SessionIndex, V, FixedState>),
}

impl<V> Default for SessionTable<V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<V> SessionTable<V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an entry; returns whether it is a new one.
    pub(super) fn insert(&mut self, session: SessionIndex, value: V) -> bool {
        match self {
            Self::Many(map) => map.insert(session, value).is_none(),
            Self::Few(list) => {
                if let Some(entry) = list.iter_mut().find(|(held, _)| *held == session) {
                    entry.1 = value;
                    return false;
                }
                if list.len() == FEW {
                    let mut map: HashMap<_, _, _> = list.drain(..).collect();
                    map.insert(session, value);
                    *self = Self::Many(map);
                } else {
                    // One at a time: very many tables have just one entry for ever.
                    list.reserve_exact(1);
                    list.push((session, value));
                }
                true
            }
        }
    }

    /// Removes an entry and returns it. A table does not become a list again, since what was popular
    /// once may be so again.
    pub(super) fn remove(&mut self, session: SessionIndex) -> Option<V> {
        match self {
            Self::Many(map) => map.remove(&session),
            Self::Few(list) => {
                let index = list.iter().position(|(held, _)| *held == session)?;
                Some(list.swap_remove(index).1)
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionIndex, &V)> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(map) => (None, Some(map)),
        };
        let few = few.into_iter().flatten();
        let many = many.into_iter().flat_map(|map| map.iter());
        few.map(|(session, value)| (*session, value))
            .chain(many.map(|(session, value)| (*session, value)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SessionIndex, &mut V)> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(map) => (None, Some(map)),
        };
        let few = few
            .into_iter()
            .flatten()
            .map(|(session, value)| (*session, value));
        few.chain(
            many.into_iter()
                .flatten()
                .map(|(session, value)| (*session, value)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_what_was_put_in_whatever_its_size() {
        for size in [0, 1, 2, 15, 16, 17, 18, 1000] {
            let mut table = SessionTable::default();
            for session in 0..size {
                assert!(table.insert(session, session));
            }
            for session in 0..size {
                assert!(
                    !table.insert(session, session * 2),
                    "{session} of {size} is there already"
                );
            }
            let mut all: Vec<_> = table.iter().map(|(key, value)| (key, *value)).collect();
            all.sort_unstable();
            assert_eq!(
                all,
                (0..size)
                    .map(|session| (session, session * 2))
                    .collect::<Vec<_>>()
            );
            for session in (0..size).rev() {
                assert!(table.remove(session).is_some() && table.remove(session).is_none());
                assert_eq!(table.len(), session as usize);
            }
            assert!(table.is_empty());
        }
    }
}
