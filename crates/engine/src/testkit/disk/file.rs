//! One file of the simulated disk: what processes see of it, and what a power cut leaves.
//!
//! It knows sectors and what was synced; it refuses to know names, faults and who writes.

use std::collections::{BTreeMap, BTreeSet};

use super::Loss;
use crate::testkit::Random;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// See the [module](self).
#[derive(Clone, Default)]
pub(super) struct SimulatedFile {
    /// The page cache: what every process reads.
    bytes: Vec<u8>,
    /// What is on the disk for sure.
    durable: Vec<u8>,
    /// What may have come to the disk since then, in the order in which it was done.
    unsynced: Vec<Change>,
    /// Whether there may be pages in the cache that are not on the disk and count as written.
    has_failed: bool,
}

#[derive(Clone)]
enum Change {
    Length(usize),
    /// The content of the sector with this number, as far as the file goes.
    Sector(usize, Box<[u8]>),
}

impl Change {
    /// Changes of the same place reach the disk in order, others in any.
    fn place(&self) -> Option<usize> {
        match self {
            Self::Length(_) => None,
            Self::Sector(number, _) => Some(*number),
        }
    }
}

impl SimulatedFile {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.bytes.len() {
            self.set_len(end);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        for number in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let start = number * SECTOR_BYTES;
            let content = &self.bytes[start..self.bytes.len().min(start + SECTOR_BYTES)];
            self.unsynced.push(Change::Sector(number, content.into()));
        }
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.unsynced.push(Change::Length(length));
    }

    /// Changes it everywhere at once, as bits rot.
    pub(super) fn rot(&mut self, offset: usize) {
        self.sync();
        self.bytes[offset] ^= 1;
        self.durable[offset] ^= 1;
    }

    pub(super) fn sync(&mut self) {
        apply(&mut self.durable, &self.unsynced);
        self.unsynced.clear();
    }

    /// A sync that fails after some sectors: the kernel takes all of them for written, so that no
    /// later sync brings those that were not.
    pub(super) fn fail_to_sync(&mut self, random: &Random) {
        let written = scattered(&self.unsynced, random);
        apply(&mut self.durable, written);
        self.unsynced.clear();
        self.has_failed = true;
    }

    /// Some time passes, in which the cache lets go of pages that count as written.
    pub(super) fn evict(&mut self, random: &Random) {
        if !self.has_failed {
            return;
        }
        let dirty: BTreeSet<_> = self.unsynced.iter().map(Change::place).collect();
        self.durable.resize(self.bytes.len(), 0);
        let sectors = self.bytes.chunks_mut(SECTOR_BYTES);
        for (number, sector) in sectors.enumerate() {
            if !dirty.contains(&Some(number)) && random.one_in(2) {
                let start = number * SECTOR_BYTES;
                sector.copy_from_slice(&self.durable[start..start + sector.len()]);
            }
        }
    }

    /// Forgets what `loss` takes of what was not synced.
    pub(super) fn power_cut(&mut self, loss: Loss, random: &Random) {
        let survivors: Vec<_> = match loss {
            Loss::Everything => Vec::new(),
            Loss::Suffix(_) => {
                let count = random.below(self.unsynced.len() + 1);
                self.unsynced.iter().take(count).collect()
            }
            Loss::Scattered(_) => scattered(&self.unsynced, random),
        };
        apply(&mut self.durable, survivors);
        self.bytes.clone_from(&self.durable);
        self.unsynced.clear();
        self.has_failed = false;
    }
}

/// For each place a prefix of what happened to it.
fn scattered<'a>(changes: &'a [Change], random: &Random) -> Vec<&'a Change> {
    let mut counts = BTreeMap::new();
    for change in changes {
        *counts.entry(change.place()).or_insert(0) += 1;
    }
    for count in counts.values_mut() {
        *count = random.below(*count + 1);
    }
    let survives = |change: &&Change| match counts.get_mut(&change.place()) {
        Some(left @ 1..) => {
            *left -= 1;
            true
        }
        _ => false,
    };
    changes.iter().filter(survives).collect()
}

/// Brings changes to the disk.
fn apply<'a>(durable: &mut Vec<u8>, changes: impl IntoIterator<Item = &'a Change>) {
    let mut length = durable.len();
    for change in changes {
        match change {
            Change::Length(new) => {
                // Even if it grows again: what was cut off is zeros then.
                durable.truncate(*new);
                length = *new;
            }
            Change::Sector(number, content) => {
                let start = number * SECTOR_BYTES;
                let end = start + content.len();
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                durable[start..end].copy_from_slice(content);
            }
        }
    }
    durable.resize(length, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut file: SimulatedFile, loss: Loss, seed: u64) -> Vec<u8> {
        file.power_cut(loss, &Random::new(seed));
        file.bytes
    }

    #[test]
    fn what_was_synced_survives_every_loss() {
        let mut file = SimulatedFile::default();
        file.write(&[1; 2000], 0);
        file.sync();
        for seed in 0..20 {
            for loss in [Loss::Everything, Loss::Suffix(seed), Loss::Scattered(seed)] {
                assert_eq!(after(file.clone(), loss, seed), [1; 2000]);
            }
        }
    }

    #[test]
    fn unsynced_sectors_are_lost_independently_of_each_other() {
        let mut file = SimulatedFile::default();
        file.set_len(3 * SECTOR_BYTES);
        file.sync();
        file.write(&[1; 3 * SECTOR_BYTES], 0);
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let left = after(file.clone(), Loss::Scattered(seed), seed);
            let sectors = left.chunks(SECTOR_BYTES);
            for sector in sectors.clone() {
                assert!(sector.iter().all(|byte| byte == &sector[0]), "torn");
            }
            seen.insert(sectors.map(|sector| sector[0]).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8, "every combination");
    }

    #[test]
    fn a_lost_suffix_leaves_no_holes() {
        let mut file = SimulatedFile::default();
        for sector in 0..8 {
            file.write(&[1; SECTOR_BYTES], sector * SECTOR_BYTES);
        }
        let mut lengths = BTreeSet::new();
        for seed in 0..200 {
            let left = after(file.clone(), Loss::Suffix(seed), seed);
            // A length that came without its sector is zeros.
            let written = left.iter().take_while(|byte| **byte == 1).count();
            assert!(left.len() - written <= SECTOR_BYTES);
            lengths.insert(left.len());
        }
        assert_eq!(lengths.len(), 9);
    }

    #[test]
    fn every_version_of_a_sector_may_be_the_one_that_survives() {
        let mut file = SimulatedFile::default();
        file.set_len(SECTOR_BYTES);
        file.sync();
        file.write(&[1; 100], 0);
        file.write(&[2; 100], 100);
        let left = |seed| after(file.clone(), Loss::Scattered(seed), seed);
        let seen: BTreeSet<_> = (0..50).map(left).map(|left| (left[0], left[100])).collect();
        assert_eq!(seen, [(0, 0), (1, 0), (1, 2)].into());
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let mut file = SimulatedFile::default();
        file.set_len(64 * SECTOR_BYTES);
        file.sync();
        file.write(&[1; 64 * SECTOR_BYTES], 0);
        file.fail_to_sync(&Random::new(1));
        file.sync();
        assert_eq!(
            file.bytes(),
            [1; 64 * SECTOR_BYTES],
            "readers see all of it"
        );
        let left = after(file, Loss::Everything, 0);
        assert!(left.contains(&0) && left.contains(&1));
    }

    #[test]
    fn pages_of_a_failed_sync_are_forgotten_and_later_ones_are_not() {
        let mut file = SimulatedFile::default();
        file.set_len(64 * SECTOR_BYTES);
        file.sync();
        file.evict(&Random::new(1));
        file.write(&[1; 64 * SECTOR_BYTES], 0);
        file.fail_to_sync(&Random::new(1));
        file.write(&[2; SECTOR_BYTES], 0);
        file.evict(&Random::new(2));
        assert!(file.bytes().starts_with(&[2; SECTOR_BYTES]));
        assert!(file.bytes().contains(&0) && file.bytes().contains(&1));
    }

    #[test]
    fn what_was_cut_off_comes_back_as_zeros() {
        let mut file = SimulatedFile::default();
        file.write(&[1; 1000], 0);
        file.sync();
        file.set_len(10);
        file.set_len(1000);
        assert_eq!(after(file.clone(), Loss::Everything, 0), [1; 1000]);
        file.sync();
        let left = after(file, Loss::Everything, 0);
        assert!(left[..10] == [1; 10] && left[10..] == [0; 990]);
    }
}
