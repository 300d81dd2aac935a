//! Smaller, and still the same; new epochs, and still the same otherwise.

use std::sync::Arc;

use campanile_engine::store::Directory;
use campanile_engine::upkeep::{compact, renew};

use super::world::{World, at_every_step, circumstances, examine_as, read};

#[test]
fn compaction_keeps_everything_that_is_needed_and_nothing_else() {
    for seed in 0..100 {
        let world = World::new(seed, 80);
        let before = read(&world.disk, "boot");
        let directory: Arc<dyn Directory> = Arc::new(world.disk.clone());
        let compacted = compact(&directory, &circumstances()).unwrap();
        assert_eq!(read(&world.disk, "boot"), before, "seed {seed}");
        assert!(!compacted.is_reborn);
        assert!(compacted.bytes < compacted.bytes_before, "{compacted:?}");
        let examination = examine_as(&world.disk, "boot");
        assert_eq!(examination.survey.bytes(), compacted.bytes);
        assert_eq!(examination.publications(), compacted.publications);
        assert!(examination.survey.ending.unwrap().was_clean);
        let names = world.disk.list().unwrap();
        let segments = names.iter().filter(|name| name.ends_with(".segment"));
        assert_eq!(segments.count(), examination.survey.segments.len());

        let again = compact(&directory, &circumstances()).unwrap();
        let gained = compacted.bytes.abs_diff(again.bytes);
        assert!(
            gained <= compacted.bytes / 4,
            "only frames differ: {again:?}"
        );
        assert_eq!(read(&world.disk, "boot"), before);
    }
}

#[test]
fn compaction_can_be_killed_at_every_step() {
    let world = World::new(7, 30);
    let before = read(&world.disk, "boot");
    at_every_step(
        &world.disk,
        |directory| {
            let directory: Arc<dyn Directory> = directory;
            let _ = compact(&directory, &circumstances());
        },
        |disk, boot| assert_eq!(read(disk, boot), before),
    );
}

#[test]
fn renewing_changes_epochs_and_nothing_else() {
    let world = World::new(3, 60);
    let (contents, old) = read(&world.disk, "boot");
    let renewed = renew(Arc::new(world.disk.clone()), &circumstances()).unwrap();
    assert_eq!(renewed.channels, contents.len());
    let (after, new) = read(&world.disk, "boot");
    assert_eq!(after, contents);
    assert!(new.is_disjoint(&world.epochs()), "{new:?}");
    assert!(new.is_disjoint(&old));
    let era = examine_as(&world.disk, "boot").era.unwrap();
    assert!(
        era.1 <= circumstances().wall_now,
        "streams that begin get another epoch"
    );
}

#[test]
fn renewing_is_done_or_not_wherever_it_is_killed() {
    let world = World::new(3, 20);
    let (contents, old) = read(&world.disk, "boot");
    at_every_step(
        &world.disk,
        |directory| {
            let _ = renew(directory, &circumstances());
        },
        |disk, boot| {
            let (after, epochs) = read(disk, boot);
            assert_eq!(after, contents);
            assert!(epochs == old || epochs.is_disjoint(&world.epochs()));
        },
    );
}
