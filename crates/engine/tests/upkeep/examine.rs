//! Looking at what was written.

use super::world::{World, examine_as, read};

#[test]
fn a_log_says_what_was_written() {
    for seed in 0..200 {
        let world = World::new(seed, 60);
        let (contents, epochs) = read(&world.disk, "boot");
        assert_eq!(contents, world.contents(), "seed {seed}");
        assert!(epochs.is_subset(&world.epochs()));
    }
}

#[test]
fn numbers_are_those_of_what_is_there() {
    let world = World::new(1, 60);
    let contents = world.contents();
    let examination = examine_as(&world.disk, "boot");
    let publications: usize = contents.values().map(|one| one.publications.len()).sum();
    let keys: usize = contents.values().map(|one| one.keys.len()).sum();
    assert_eq!(examination.publications(), publications);
    assert_eq!(examination.keys(), keys);
    let live = examination.live_bytes();
    assert!(live > 0 && live < examination.survey.bytes(), "{live}");
    let ending = examination.survey.ending.as_ref().unwrap();
    assert!(ending.was_clean && !ending.is_relaxed);
}
