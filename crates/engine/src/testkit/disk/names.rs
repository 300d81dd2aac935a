//! The names of the simulated disk: which file has which, and what a power cut leaves of that.

use std::collections::{BTreeMap, BTreeSet};

use super::Loss;
use crate::testkit::Random;

/// A file, whatever its name.
pub(super) type FileId = u64;

/// See the [module](self).
#[derive(Clone, Default)]
pub(super) struct Names {
    /// What every process sees.
    current: BTreeMap<String, FileId>,
    /// What is on the disk for sure.
    durable: BTreeMap<String, FileId>,
    /// What was done since then, in order. Each is on the disk whole or not at all.
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Created(String, FileId),
    Renamed { from: String, to: String },
    Removed(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Created(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Renamed { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Created(name, _) | Self::Removed(name) => vec![name],
            Self::Renamed { from, to } => vec![from, to],
        }
    }
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<FileId> {
        self.current.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, FileId)> {
        self.current.iter().map(|(name, file)| (name, *file))
    }

    /// The files that have a name, or may have one again after a power cut.
    pub(super) fn files(&self) -> BTreeSet<FileId> {
        let created = self.unsynced.iter().filter_map(|change| match change {
            Change::Created(_, file) => Some(file),
            _ => None,
        });
        let named = self.current.values().chain(self.durable.values());
        named.chain(created).copied().collect()
    }

    pub(super) fn create(&mut self, name: &str, file: FileId) {
        self.change(Change::Created(name.to_owned(), file));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
        });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Removed(name.to_owned()));
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.current);
        self.unsynced.clear();
    }

    /// Forgets what `loss` takes of what was not synced.
    pub(super) fn power_cut(&mut self, loss: Loss, random: &Random) {
        let changes = std::mem::take(&mut self.unsynced);
        let prefix = match loss {
            Loss::Everything => 0,
            Loss::Suffix(_) => random.below(changes.len() + 1),
            Loss::Scattered(_) => changes.len(),
        };
        let mut lost = BTreeSet::new();
        for change in changes.iter().take(prefix) {
            let is_lost = matches!(loss, Loss::Scattered(_)) && random.one_in(2);
            // Journals keep at least the order of what is done to one name.
            if is_lost || change.names().iter().any(|name| lost.contains(name)) {
                lost.extend(change.names());
            } else {
                change.apply(&mut self.durable);
            }
        }
        self.current.clone_from(&self.durable);
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(names: &Names, loss: Loss, seed: u64) -> Vec<(String, FileId)> {
        let mut names = names.clone();
        names.power_cut(loss, &Random::new(seed));
        let names = names.iter().map(|(name, file)| (name.clone(), file));
        names.collect()
    }

    #[test]
    fn a_rename_is_whole_or_not_at_all() {
        let mut names = Names::default();
        names.create("old", 1);
        names.create("new", 2);
        names.sync();
        names.rename("new", "old");
        let seen: BTreeSet<_> = (0..50)
            .flat_map(|seed| [Loss::Suffix(seed), Loss::Scattered(seed)].map(|loss| (loss, seed)))
            .map(|(loss, seed)| after(&names, loss, seed))
            .collect();
        let before = vec![("new".to_owned(), 2), ("old".to_owned(), 1)];
        let done = vec![("old".to_owned(), 2)];
        assert_eq!(seen, [before, done].into());
    }

    #[test]
    fn names_are_lost_in_any_combination_or_as_a_suffix() {
        let mut names = Names::default();
        for (name, file) in [("a", 1), ("b", 2)] {
            names.create(name, file);
        }
        let count = |loss: fn(u64) -> Loss| {
            let seen: BTreeSet<_> = (0..50)
                .map(|seed| after(&names, loss(seed), seed))
                .collect();
            seen.len()
        };
        assert_eq!(count(Loss::Scattered), 4);
        assert_eq!(count(Loss::Suffix), 3, "b never without a");
        assert_eq!(count(|_| Loss::Everything), 1);
        names.sync();
        assert_eq!(after(&names, Loss::Everything, 0).len(), 2);
    }

    #[test]
    fn what_follows_a_lost_change_of_a_name_is_lost_too() {
        let mut names = Names::default();
        names.create("a", 1);
        names.rename("a", "b");
        names.remove("b");
        for seed in 0..50 {
            let left = after(&names, Loss::Scattered(seed), seed);
            let possible = [vec![], vec![("a".to_owned(), 1)], vec![("b".to_owned(), 1)]];
            assert!(possible.contains(&left), "{left:?}");
        }
    }
}
