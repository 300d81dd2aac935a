//! Channels from elsewhere: what is refused, and what becomes of channels that are there.

use std::sync::Arc;

use campanile_engine::testkit::disk::SimulatedDisk;
use campanile_engine::upkeep::{ImportError, Importer, NewStream, UpkeepError, merge};

use super::world::{NOW, World, at_every_step, circumstances, key, publication, read};

fn stream(channel: &str, floor: u64, top: u64) -> NewStream {
    NewStream {
        channel: channel.to_owned(),
        top,
        floor,
        history_expires: NOW + 1,
        meta_expires: Some(NOW + 1),
        version: None,
    }
}

fn importer(disk: &SimulatedDisk) -> Importer {
    Importer::begin(Arc::new(disk.clone()), &circumstances()).expect("an empty disk")
}

/// A log with these channels, of three publications and a key each.
fn staged(channels: &[&str]) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut importer = importer(&disk);
    for channel in channels {
        let added = importer.channel(stream(channel, 4, 6));
        added.expect("a channel that makes sense");
        for offset in 4..=6 {
            let text = format!("{channel}/{offset}");
            let added = importer.publication(channel, &publication(offset, &text));
            added.expect("the next one");
        }
        let added = importer.key(channel, key("k", Some(5)));
        added.expect("a key that makes sense");
    }
    let imported = importer.finish().expect("complete channels");
    assert_eq!(imported.channels, channels.len());
    assert_eq!(imported.publications, 3 * channels.len());
    disk
}

#[test]
fn what_is_imported_is_there_under_a_new_epoch() {
    let disk = staged(&["a", "b"]);
    let (contents, epochs) = read(&disk, "boot");
    assert_eq!(epochs.len(), 1);
    assert_eq!(contents["a"].publications[&4], "a/4");
    assert_eq!((contents["b"].floor, contents["b"].top), (4, 6));
    assert_eq!(contents["b"].keys["k"], Some(5));
    assert_ne!(read(&staged(&["a"]), "boot").1, epochs);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refusal = |add: &dyn Fn(&mut Importer) -> Result<(), ImportError>| {
        let mut importer = importer(&SimulatedDisk::default());
        importer.channel(stream("a", 1, 2)).unwrap();
        let added = add(&mut importer);
        added
            .and_then(|()| importer.finish().map(drop))
            .unwrap_err()
            .to_string()
    };
    let one = || publication(1, "1");
    let past_9999 = NewStream {
        history_expires: u64::MAX,
        ..stream("b", 1, 0)
    };
    for (told, reason) in [
        (
            refusal(&|_| Ok(())),
            "without its publication with offset 1",
        ),
        (refusal(&|to| to.publication("a", &one())), "with offset 2"),
        (
            refusal(&|to| to.publication("a", &publication(2, "2"))),
            "expected the publication with offset 1",
        ),
        (
            refusal(&|to| to.publication("b", &one())),
            "another channel",
        ),
        (
            refusal(&|to| to.key("b", key("k", None))),
            "another channel",
        ),
        (refusal(&|to| to.key("a", key("", None))), "keys are 1 to"),
        (
            refusal(&|to| to.key("a", key("k", Some(3)))),
            "floor must be",
        ),
        (
            refusal(&|to| {
                to.key("a", key("k", None))?;
                to.key("a", key("k", None))
            }),
            "different from each other",
        ),
    ] {
        assert!(told.contains(reason), "{told}");
    }
    let mut importer = importer(&SimulatedDisk::default());
    importer.channel(stream("a", 1, 0)).unwrap();
    for (stream, reason) in [
        (stream("a", 1, 0), "was there before"),
        (stream("", 1, 0), "needs a name"),
        (stream("b", 0, 0), "floor must be"),
        (stream("c", 3, 1), "floor must be"),
        (stream("d", u64::MAX, u64::MAX), "floor must be"),
        (past_9999, "before the year 10000"),
    ] {
        let told = importer.channel(stream).unwrap_err().to_string();
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn what_is_past_its_time_is_left_out() {
    let disk = SimulatedDisk::default();
    let mut importer = importer(&disk);
    let gone = NewStream {
        meta_expires: Some(NOW),
        ..stream("gone", 1, 1)
    };
    importer.channel(gone).unwrap();
    importer.publication("gone", &publication(1, "1")).unwrap();
    let keys = NewStream {
        meta_expires: None,
        ..stream("keys", 1, 0)
    };
    importer.channel(keys).unwrap();
    importer.key("keys", key("c0/old", None)).unwrap();
    let imported = importer.finish().unwrap();
    assert_eq!((imported.channels, imported.expired), (0, 2));
    assert!(read(&disk, "boot").0.is_empty());
}

#[test]
fn channels_that_are_there_are_replaced_only_if_that_is_wanted() {
    let world = World::new(2, 40);
    let before = read(&world.disk, "boot");
    assert!(before.0.contains_key("c1"));
    let staged = staged(&["c1", "new"]);
    let into = || Arc::new(world.disk.clone());
    let refused = merge(&staged, into(), false, &circumstances()).unwrap_err();
    let UpkeepError::Taken(channels) = refused else {
        panic!("{refused}");
    };
    assert_eq!(channels.len(), 1);
    assert_eq!(read(&world.disk, "boot"), before);

    merge(&staged, into(), true, &circumstances()).unwrap();
    let (after, _) = read(&world.disk, "boot");
    let added = read(&staged, "boot").0;
    for (name, content) in before.0.iter().filter(|(name, _)| *name != "c1") {
        assert_eq!(after.get(name), Some(content));
    }
    assert_eq!(after["c1"], added["c1"]);
    assert_eq!(after["new"], added["new"]);
}

#[test]
fn an_import_that_was_killed_can_be_done_again() {
    let world = World::new(2, 20);
    let (before, _) = read(&world.disk, "boot");
    let staged = staged(&["c1", "new"]);
    let (added, _) = read(&staged, "boot");
    at_every_step(
        &world.disk,
        |directory| {
            let _ = merge(&staged, directory, true, &circumstances());
        },
        |disk, boot| {
            // Whole, also here.
            let (between, _) = read(disk, boot);
            for (name, content) in before.iter().filter(|(name, _)| *name != "c1") {
                assert_eq!(between.get(name), Some(content));
            }
            merge(&staged, Arc::new(disk.clone()), true, &circumstances()).unwrap();
            let (after, _) = read(disk, "boot");
            assert_eq!((&after["c1"], &after["new"]), (&added["c1"], &added["new"]));
        },
    );
}
