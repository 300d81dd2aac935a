//! What can be saved is saved, and nothing else appears.

use std::collections::BTreeSet;
use std::sync::Arc;

use campanile_engine::store::Directory;
use campanile_engine::testkit::disk::SimulatedDisk;
use campanile_engine::upkeep::{Repaired, repair};

use super::world::{Content, Contents, World, circumstances, read};

/// Repairs the log on `disk`; returns what there is then.
fn repaired(world: &World, disk: &SimulatedDisk, what: &str) -> (Repaired, Contents) {
    let files = |disk: &SimulatedDisk| -> Vec<_> {
        let names = disk.list().expect("a disk that works").into_iter();
        names.map(|name| (disk.bytes(&name), name)).collect()
    };
    let (before, new) = (files(disk), SimulatedDisk::default());
    let repaired = repair(disk, Arc::new(new.clone()), &circumstances());
    let repaired = repaired.expect("a disk that works");
    assert_eq!(files(disk), before, "{what}: the old one stays as it is");
    let (contents, epochs) = read(&new, "boot");
    assert!(epochs.is_disjoint(&world.epochs()), "{what}");
    assert!(epochs.len() <= 1, "{what}");
    for (name, content) in &contents {
        // Texts say where they were published.
        let mut lives = BTreeSet::new();
        for (offset, text) in &content.publications {
            let mut parts = text.split('/');
            assert_eq!(parts.next(), Some(&**name), "{what}");
            lives.insert(parts.next());
            assert_eq!(parts.next(), Some(&*offset.to_string()), "{what}");
        }
        assert!(lives.len() <= 1, "{what}: of two lives: {content:?}");
        assert!(
            content
                .keys
                .values()
                .flatten()
                .all(|offset| *offset <= content.top)
        );
    }
    (repaired, contents)
}

#[test]
fn a_whole_log_comes_out_whole() {
    for seed in 0..50 {
        let world = World::new(seed, 60);
        let (told, contents) = repaired(&world, &world.disk, "whole");
        assert_eq!(contents, world.contents(), "seed {seed}");
        assert_eq!((told.problems, told.losses), (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_flipped_bit_costs_nothing_outside_its_commit() {
    let world = World::new(11, 24);
    let whole = world.contents();
    let mut damaged_commits = 0;
    for name in world.disk.list().unwrap() {
        let segment = name.strip_suffix(".segment");
        let segment = segment.map(|number| number.parse::<u32>().unwrap());
        for at in 0..world.disk.bytes(&name).unwrap().len() {
            let what = format!("{name} {at}");
            let disk = world.disk.kill();
            disk.rot(&name, at);
            let (told, contents) = repaired(&world, &disk, &what);
            assert!(!told.problems.is_empty(), "{what}");
            let mut commits = world.commits.iter();
            let hit = commits
                .find(|commit| Some(commit.segment) == segment && commit.bytes.contains(&at));
            damaged_commits += usize::from(hit.is_some());
            let is_hit = |name: &str| hit.is_some_and(|commit| commit.channels.contains(name));
            for (name, content) in &whole {
                if is_hit(name) {
                    check_hit(content, contents.get(name), &what);
                } else {
                    assert_eq!(contents.get(name), Some(content), "{what}");
                }
            }
            for name in contents.keys().filter(|name| !whole.contains_key(*name)) {
                assert!(is_hit(name), "{what}: {name} is back");
            }
        }
    }
    assert!(damaged_commits > 0);
}

/// Of a channel with records in the damaged commit: what is left is a part of what was there, or older.
fn check_hit(whole: &Content, left: Option<&Content>, what: &str) {
    let Some(left) = left else { return };
    assert!(
        left.top <= whole.top || left.version != whole.version,
        "{what}"
    );
    let both = left
        .publications
        .keys()
        .filter(|offset| whole.publications.contains_key(*offset));
    if left.top == whole.top && left.version == whole.version {
        for offset in both {
            assert_eq!(
                left.publications[offset], whole.publications[offset],
                "{what}"
            );
        }
    }
}

#[test]
fn a_hole_in_a_history_is_told_and_what_is_newer_is_kept() {
    let world = World::new(11, 24);
    let whole = world.contents();
    let mut holes = 0;
    for commit in &world.commits {
        let disk = world.disk.kill();
        let name = format!("{:010}.segment", commit.segment);
        disk.rot(&name, commit.bytes.start + 4);
        let (told, contents) = repaired(&world, &disk, &name);
        for loss in &told.losses {
            let name = loss.channel.as_str();
            let (before, after) = (&whole[name], &contents[name]);
            let lost: BTreeSet<_> = loss.missing.iter().cloned().flatten().collect();
            let kept: BTreeSet<_> = after.publications.keys().copied().collect();
            let old: BTreeSet<_> = before.publications.keys().copied().collect();
            assert!(lost.is_disjoint(&kept));
            if old.iter().next_back() == kept.iter().next_back() {
                holes += 1;
                assert_eq!(old.len(), lost.len() + kept.len() + loss.left_out);
                assert_eq!(after.top, before.top);
                assert_eq!(
                    after.keys.len(),
                    before.keys.len() - lost_keys(before, &lost)
                );
            }
        }
    }
    assert!(holes > 0);
}

/// Keys whose record is lost with their publication.
fn lost_keys(before: &Content, lost: &BTreeSet<u64>) -> usize {
    let offsets = before.keys.values().flatten();
    offsets.filter(|offset| lost.contains(offset)).count()
}

#[test]
fn missing_files_and_lost_ends_cost_what_was_in_them() {
    let world = World::new(5, 40);
    let whole = world.contents();
    for name in world.disk.list().unwrap() {
        let disk = world.disk.kill();
        disk.remove(&name).unwrap();
        let (told, contents) = repaired(&world, &disk, &name);
        let is_mark = name == "mark";
        assert_eq!(told.problems.is_empty(), is_mark, "{name}");
        assert_eq!(contents == whole, is_mark, "{name}");

        let length = world.disk.bytes(&name).unwrap().len();
        for cut in [0, 1, 40, length / 2, length - 1] {
            let disk = world.disk.kill();
            disk.open(&name).unwrap().set_len(cut as u64).unwrap();
            let (told, _) = repaired(&world, &disk, &format!("{name} cut at {cut}"));
            assert!(!told.problems.is_empty(), "{name} {cut}");
        }
    }
}
