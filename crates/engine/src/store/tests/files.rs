//! Which files belong to a log, and what is made of those that are missing, strange or left over.

use super::*;
use crate::store::segment::FORMAT;

fn closed(groups: u64) -> Disk {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=groups);
    log.close(5_000).unwrap();
    disk
}

fn dropped(groups: u64) -> Disk {
    let disk = Disk::default();
    append_all(&mut open(&disk).log, 1..=groups);
    disk
}

fn remove(disk: &Disk, name: &str) {
    disk.shared().remove(name).unwrap();
}

fn is_missing(outcome: &Result<Told, OpenError>, id: u32) -> bool {
    matches!(outcome, Err(OpenError::Missing { file }) if file.ends_with(segment_name(id)))
}

#[test]
fn a_missing_segment_is_named() {
    for disk in [closed(10), dropped(10)] {
        for id in [0, 1] {
            let less = disk.copy();
            remove(&less, &segment_name(id));
            assert!(is_missing(&open_as(&less, options("boot"), 0), id));
        }
        for id in 0..4 {
            let _ = disk.shared().remove(&segment_name(id));
        }
        assert!(is_missing(&open_as(&disk, options("boot"), 0), 0));
    }
    let disk = closed(10);
    remove(
        &disk,
        &segment_name(open(&disk.copy()).log.segments().newest()),
    );
    assert!(matches!(
        open_as(&disk, options("boot"), 0),
        Err(OpenError::Corrupt { .. })
    ));
}

#[test]
fn a_message_says_what_to_do() {
    let disk = closed(10);
    remove(&disk, &segment_name(1));
    let error = open_as(&disk, options("boot"), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "disk/0000000001.segment is missing; run `campanile data verify disk` to see what is affected"
    );
}

#[test]
fn without_its_mark_a_log_may_have_lost_something() {
    let disk = closed(10);
    remove(&disk, "mark");
    let told = open(&disk);
    assert_eq!(told.offsets(), (1..=10).collect::<Vec<_>>());
    assert!(told.opening.is_lossy && !told.opening.was_clean);
}

#[test]
fn segments_that_the_log_removed_are_not_missed() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=10);
    let bytes = log.segments().bytes();
    log.segments().remove_oldest().unwrap();
    assert_eq!(log.segments().oldest(), 1);
    let removed = bytes - log.segments().bytes();
    assert!(removed > 0 && removed <= SEGMENT_BYTES);
    drop(log);

    let told = open(&disk);
    assert_eq!(told.opening.bytes, bytes - removed);
    assert!(told.offsets()[0] > 1);
    assert_eq!(told.offsets().last(), Some(&10));
    for _ in 0..5 {
        told.log.segments().remove_oldest().unwrap();
    }
    assert_eq!(told.log.segments().oldest(), told.log.segments().newest());
    told.log.close(0).unwrap();
    assert_eq!(open(&disk).offsets().last(), Some(&10));
}

#[test]
fn a_removal_that_failed_is_made_up_for() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=10);
    disk.fail(disk::Operation::Remove, std::io::ErrorKind::Other);
    log.segments().remove_oldest().unwrap_err();
    log.segments().remove_oldest().unwrap();
    assert!(disk.names().contains(&segment_name(0)));
    drop(log);
    assert_eq!(open(&disk).log.segments().oldest(), 2);
    assert!(!disk.names().contains(&segment_name(0)));
}

#[test]
fn a_record_of_a_removed_segment_is_gone() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let place = append(&mut log, 1).unwrap();
    append_all(&mut log, 2..=10);
    log.segments().remove_oldest().unwrap();
    assert!(matches!(log.segments().read(place), Err(ReadError::Gone)));
    assert_eq!(log.segments().last_time(place.segment), None);
    assert_eq!(
        log.segments().last_time(log.segments().newest()),
        Some(1_010)
    );
}

#[test]
fn a_damaged_record_is_not_read() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let place = append(&mut log, 1).unwrap();
    append(&mut log, 2).unwrap();
    for place in [
        Place {
            length: place.length - 1,
            ..place
        },
        Place {
            length: u32::MAX,
            ..place
        },
        Place {
            offset: place.offset + 1,
            ..place
        },
        Place { length: 3, ..place },
    ] {
        assert!(matches!(
            log.segments().read(place),
            Err(ReadError::Corrupt)
        ));
    }
    let at = place.offset as usize + 20;
    disk.edit(&segment_name(0), |bytes| bytes[at] ^= 1);
    assert!(matches!(
        log.segments().read(place),
        Err(ReadError::Corrupt)
    ));
}

#[test]
fn a_newer_format_is_not_touched() {
    let of_segment = closed(10);
    of_segment.edit(&segment_name(1), |bytes| {
        bytes[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        let sum = crc32fast::hash(&bytes[..36]);
        bytes[36..40].copy_from_slice(&sum.to_le_bytes());
    });
    let of_mark = closed(10);
    of_mark.edit("mark", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (text, _) = text.rsplit_once("checksum").unwrap();
        let text = text.replace("format 1\n", "format 2\nwhatever\n");
        let sum = crc32fast::hash(text.as_bytes());
        *bytes = format!("{text}checksum {sum:08x}\n").into_bytes();
    });
    for (disk, name) in [(of_segment, segment_name(1)), (of_mark, "mark".to_owned())] {
        let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
        let error = open_as(&disk, options("boot"), 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "disk/{name} has format 2, and this version reads formats up to 1; \
                 start the version that wrote it, or a newer one"
            )
        );
        let after: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn what_was_not_finished_is_removed_and_what_is_not_ours_stays() {
    let disk = closed(3);
    let unfinished = [
        "mark.tmp",
        "0000000000.segment.tmp",
        "0000000001.segment.tmp",
    ];
    let foreign = [
        "lost+found",
        "notes.tmp",
        "00.segment",
        "+000000001.segment",
        "mark.bak",
    ];
    for name in unfinished.iter().chain(&foreign) {
        disk.put(name, b"something".to_vec());
    }
    assert_eq!(open(&disk).offsets(), [1, 2, 3]);
    let names = disk.names();
    assert!(
        unfinished
            .iter()
            .all(|name| !names.contains(&(*name).to_owned()))
    );
    assert!(
        foreign
            .iter()
            .all(|name| names.contains(&(*name).to_owned()))
    );
}

#[test]
fn a_segment_without_a_head_is_damage() {
    // One gets its name after its head is durable.
    for content in [Vec::new(), vec![0; 400]] {
        let disk = dropped(8);
        disk.put(&segment_name(2), content);
        let outcome = open_as(&disk, options("boot"), 0);
        assert!(matches!(outcome, Err(OpenError::Corrupt { offset: 0, .. })));
    }
}

#[test]
fn a_segment_of_another_log_or_place_is_refused() {
    let disk = closed(10);
    for (from, to) in [(0, 1), (1, 0)] {
        let mixed = disk.copy();
        mixed.put(&segment_name(to), disk.bytes(&segment_name(from)));
        let outcome = open_as(&mixed, options("boot"), 0);
        assert!(matches!(outcome, Err(OpenError::Corrupt { .. })));
    }
    let other = Disk::default();
    append_all(&mut open(&other).log, 1..=2);
    let mixed = disk.copy();
    mixed.put(&segment_name(0), other.bytes(&segment_name(0)));
    assert!(matches!(
        open_as(&mixed, options("boot"), 0),
        Err(OpenError::Corrupt { .. })
    ));
}

#[test]
fn a_first_opening_that_was_interrupted_is_begun_again() {
    let disk = Disk::default();
    drop(open(&disk));
    remove(&disk, "mark");
    let told = open(&disk);
    assert!(told.opening.was_clean && !told.opening.is_lossy);
}
