//! What was on disk and is no longer what it was refuses the opening; only what may never have been on
//! disk is dropped.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

pub(super) const GROUPS: u64 = 8;

/// How the sample's run went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Run {
    Closed,
    /// Each group was synced before the next one was written.
    Synced,
    /// Nothing was synced except at rolls.
    Relaxed,
}

/// A log of a few segments in which group n has the record n.
pub(super) fn sample(run: Run) -> Disk {
    let disk = Disk::default();
    let mut options = options("boot");
    options.is_relaxed = run == Run::Relaxed;
    let mut log = open_as(&disk, options, 1_000).unwrap().log;
    for offset in 1..=GROUPS {
        append(&mut log, offset).unwrap();
        if run == Run::Synced {
            log.segments().sync().unwrap();
        }
    }
    assert_eq!(log.segments().newest(), 2);
    if run == Run::Closed {
        log.close(5_000).unwrap();
    }
    disk
}

fn newest_name() -> String {
    segment_name(2)
}

/// Where the groups of the newest segment begin, and where the last one ends.
fn bounds(disk: &Disk) -> Vec<usize> {
    let told = open(&disk.copy());
    let newest = told.records.iter().filter(|(.., place)| place.segment == 2);
    let mut frames =
        newest.map(|(.., place)| (place.offset as usize - 36, place.length as usize + 37));
    let mut bounds: Vec<_> = frames.clone().map(|(start, _)| start).collect();
    bounds.extend(frames.next_back().map(|(start, length)| start + length));
    assert!(
        bounds.len() > 2,
        "more than one group is in the newest segment"
    );
    bounds
}

/// Opens every sample with one byte of one file changed, and tells `judge` what came of it.
fn with_each_byte_changed(
    disk: &Disk,
    boot: &str,
    mut judge: impl FnMut(&str, usize, Result<Told, OpenError>),
) {
    for name in disk.names() {
        for at in 0..disk.bytes(&name).len() {
            for mask in [0x01, 0x80, 0xff] {
                let damaged = disk.copy();
                damaged.edit(&name, |bytes| bytes[at] ^= mask);
                judge(&name, at, open_as(&damaged, options(boot), 1_000));
            }
        }
    }
}

/// The outcome's offsets, every record of which is what was written.
fn intact(told: &Told) -> Vec<u64> {
    for (_, told, _) in &told.records {
        assert_eq!(*told, record(offset(told)));
    }
    told.offsets()
}

#[test]
fn no_changed_byte_of_a_closed_log_goes_unnoticed() {
    for boot in ["boot", "other"] {
        with_each_byte_changed(&sample(Run::Closed), boot, |name, at, outcome| {
            assert!(outcome.is_err(), "{name} {at}: {outcome:?}");
        });
    }
}

#[test]
fn a_changed_byte_loses_no_group_that_another_one_follows() {
    let disk = sample(Run::Synced);
    let [.., start, end] = bounds(&disk)[..] else {
        panic!("there are groups");
    };
    for boot in ["boot", "other"] {
        with_each_byte_changed(&disk, boot, |name, at, outcome| {
            let Ok(told) = outcome else { return };
            assert_eq!(name, newest_name(), "{at}");
            assert!(!told.opening.was_clean);
            let all = (1..=GROUPS).collect::<Vec<_>>();
            if at >= end {
                assert_eq!(intact(&told), all, "reserved bytes, {at}");
                return;
            }
            assert!(at >= start, "{at}");
            assert_eq!(intact(&told), all[..all.len() - 1], "{at}");
            let is_length = (start + 8..start + 12).contains(&at);
            assert!(
                boot == "other" || is_length,
                "while the machine was up, {at}"
            );
        });
    }
}

#[test]
fn what_a_relaxed_run_loses_is_said() {
    let disk = sample(Run::Relaxed);
    let bounds = bounds(&disk);
    let durable = GROUPS - (bounds.len() as u64 - 1);
    let mut losses = 0;
    with_each_byte_changed(&disk, "other", |name, at, outcome| {
        let Ok(told) = outcome else { return };
        assert_eq!(name, newest_name());
        assert!(told.opening.is_lossy);
        // Every group in front of the changed byte is there.
        let whole = bounds[1..].iter().filter(|end| **end <= at).count() as u64;
        assert_eq!(intact(&told), (1..=durable + whole).collect::<Vec<_>>());
        losses += u64::from(whole + durable < GROUPS);
    });
    assert!(losses > 0);
    with_each_byte_changed(&disk, "boot", |_, _, outcome| {
        let Ok(told) = outcome else { return };
        assert!(!told.opening.is_lossy);
        assert!(intact(&told).len() as u64 >= GROUPS - 1);
    });
}

#[test]
fn a_newest_segment_that_was_cut_keeps_what_is_in_front_of_the_cut() {
    let disk = sample(Run::Synced);
    let bounds = bounds(&disk);
    let older = GROUPS - (bounds.len() as u64 - 1);
    for length in 0..disk.bytes(&newest_name()).len() {
        let cut = disk.copy();
        cut.edit(&newest_name(), |bytes| bytes.truncate(length));
        let outcome = open_as(&cut, options("other"), 1_000);
        if length < 40 {
            assert!(
                matches!(outcome, Err(OpenError::Corrupt { .. })),
                "{length}"
            );
            continue;
        }
        let told = outcome.unwrap();
        let whole = bounds[1..].iter().filter(|end| **end <= length).count() as u64;
        assert_eq!(intact(&told), (1..=older + whole).collect::<Vec<_>>());
    }
}

#[test]
fn a_closed_segment_that_was_cut_is_refused() {
    let disk = sample(Run::Closed);
    for id in 0..=2 {
        for length in 0..disk.bytes(&segment_name(id)).len() {
            let cut = disk.copy();
            cut.edit(&segment_name(id), |bytes| bytes.truncate(length));
            assert!(
                open_as(&cut, options("boot"), 1_000).is_err(),
                "{id} {length}"
            );
        }
    }
}

#[test]
fn an_interrupted_write_is_dropped_wherever_it_ended() {
    let disk = sample(Run::Synced);
    let [.., start, end] = bounds(&disk)[..] else {
        panic!("there are groups");
    };
    for boot in ["boot", "other"] {
        for written in start..end {
            let torn = disk.copy();
            torn.edit(&newest_name(), |bytes| bytes[written..end].fill(0));
            let mut told = open_as(&torn, options(boot), 1_000).unwrap();
            assert_eq!(intact(&told), (1..GROUPS).collect::<Vec<_>>());
            assert!(told.opening.torn_bytes <= (written - start) as u64);
            assert_eq!(told.opening.torn_bytes == 0, written == start);
            append(&mut told.log, GROUPS).unwrap();
            drop(told);
            let again = open_as(&torn, options(boot), 1_000).unwrap();
            assert_eq!(intact(&again), (1..=GROUPS).collect::<Vec<_>>());
        }
    }
}

#[test]
fn pages_that_a_power_cut_left_out_are_torn_and_else_damage() {
    let disk = sample(Run::Synced);
    let [.., start, end] = bounds(&disk)[..] else {
        panic!("there are groups");
    };
    for lost in [start..start + 20, start + 20..start + 60, start..end - 1] {
        let torn = disk.copy();
        torn.edit(&newest_name(), |bytes| bytes[lost].fill(0));
        let told = open_as(&torn.copy(), options("other"), 1_000).unwrap();
        assert_eq!(intact(&told), (1..GROUPS).collect::<Vec<_>>());
        let same_boot = open_as(&torn, options("boot"), 1_000);
        assert!(matches!(same_boot, Err(OpenError::Corrupt { .. })));
    }
}

#[test]
fn an_unreadable_group_that_a_later_one_knew_to_be_durable_is_damage() {
    let disk = Disk::default();
    let roomy = || LogOptions {
        segment_bytes: 4_000,
        ..options("boot")
    };
    let mut log = open_as(&disk, roomy(), 1_000).unwrap().log;
    append_all(&mut log, 1..=3);
    let damaged = append(&mut log, 4).unwrap().offset as usize;
    append(&mut log, 5).unwrap();
    let before = disk.copy();
    log.segments().sync().unwrap();
    append(&mut log, 6).unwrap();
    for disk in [&before, &disk] {
        disk.edit(&segment_name(0), |bytes| bytes[damaged] ^= 1);
    }
    let told = open_as(&before.copy(), options("other"), 1_000).unwrap();
    assert_eq!(intact(&told), [1, 2, 3]);
    for (disk, boot) in [(&before, "boot"), (&disk, "other")] {
        let refused = open_as(disk, options(boot), 1_000);
        assert!(matches!(refused, Err(OpenError::Corrupt { .. })));
    }
}

#[test]
fn a_payload_that_looks_like_groups_is_none() {
    let disk = sample(Run::Synced);
    let later = disk.bytes(&newest_name());
    let mut log = open(&disk).log;
    // Of a segment with another salt, with sequence numbers that would be too late.
    let mut forged = later[40..].to_vec();
    forged.extend_from_slice(&later);
    let Record::Channel {
        channel,
        state,
        publication,
        keys,
    } = record(9)
    else {
        panic!("it is one of a channel");
    };
    let publication = publication.map(|publication| Publication {
        data: forged.into(),
        ..publication
    });
    let mut group = Group::new();
    group.push(RecordRef::from(&Record::Channel {
        channel,
        state,
        publication,
        keys,
    }));
    let appended = log.append(&mut group, 0).unwrap();
    let name = segment_name(appended.segment);
    disk.edit(&name, |bytes| bytes[appended.base as usize] ^= 1);
    let told = open_as(&disk, options("other"), 1_000).unwrap();
    assert_eq!(intact(&told), (1..=GROUPS).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn damage_in_many_places_is_never_a_hole(
        run in prop_oneof![Just(Run::Closed), Just(Run::Synced), Just(Run::Relaxed)],
        boot in prop_oneof![Just("boot"), Just("other")],
        edits in vec((any::<Index>(), any::<Index>(), 1..=u8::MAX), 1..5),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let disk = sample(run);
        let names = disk.names();
        for (name, at, mask) in edits {
            disk.edit(&names[name.index(names.len())], |bytes| {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            });
        }
        if let Some(cut) = cut {
            disk.edit(&newest_name(), |bytes| bytes.truncate(cut.index(bytes.len())));
        }
        if let Ok(told) = open_as(&disk, options(boot), 1_000) {
            let offsets = intact(&told);
            prop_assert_eq!(&offsets, &(1..=offsets.len() as u64).collect::<Vec<_>>());
            let is_whole = offsets.len() as u64 == GROUPS;
            let is_told = told.opening.is_lossy || run == Run::Synced || boot == "boot";
            prop_assert!(is_whole || (run != Run::Closed && is_told));
        }
    }
}
