//! A disk that refuses: what was written before stays, and nothing half-written is ever found.

use std::io::ErrorKind;

use super::disk::Operation;
use super::*;

fn is_write(outcome: &Result<Place, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Write(_)))
}

fn is_sync(outcome: &Result<Place, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Sync(_)))
}

#[test]
fn a_failed_write_leaves_the_log_as_it_was() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let first = append(&mut log, 1).unwrap();
    disk.fail(Operation::Write, ErrorKind::StorageFull);
    assert!(is_write(&append(&mut log, 2)));
    assert_eq!(log.segments().written(), 1);
    assert_eq!(open(&disk.copy()).opening.torn_bytes, 0);
    let second = append(&mut log, 2).unwrap();
    assert_eq!(second.offset, first.offset + first.length + 37);
    assert_eq!(log.segments().written(), 2);
    drop(log);
    assert_eq!(open(&disk).offsets(), [1, 2]);
}

#[test]
fn nothing_is_written_before_a_failed_write_is_cleared_away() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append(&mut log, 1).unwrap();
    disk.fail(Operation::Write, ErrorKind::Other);
    disk.fail(Operation::SetLen, ErrorKind::Other);
    disk.fail(Operation::SetLen, ErrorKind::Other);
    assert!(is_write(&append(&mut log, 2)));
    assert!(is_write(&append(&mut log, 2)));
    append(&mut log, 2).unwrap();
    drop(log);
    let told = open(&disk);
    assert_eq!((told.offsets(), told.opening.torn_bytes), (vec![1, 2], 0));
}

#[test]
fn a_segment_that_cannot_begin_leaves_the_log_as_it_was() {
    for operation in [
        Operation::SetLen,
        Operation::Create,
        Operation::Write,
        Operation::Rename,
    ] {
        let disk = Disk::default();
        let mut log = open(&disk).log;
        append_all(&mut log, 1..=3);
        disk.fail(operation, ErrorKind::StorageFull);
        assert!(is_write(&append(&mut log, 4)), "{operation:?}");
        assert_eq!(disk.names(), ["0000000000.segment", "mark"]);
        // The end of the process now, and going on, are both fine.
        assert_eq!(open(&disk.copy()).offsets(), [1, 2, 3]);
        append_all(&mut log, 4..=8);
        drop(log);
        assert_eq!(open(&disk).offsets(), (1..=8).collect::<Vec<_>>());
    }
}

#[test]
fn after_a_segment_could_not_begin_a_smaller_group_may_still_fit() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=3);
    disk.fail(Operation::Create, ErrorKind::StorageFull);
    assert!(is_write(&append(&mut log, 4)));
    let time_only = log.append(&mut Group::new(), 9_000).unwrap();
    assert_eq!((time_only.segment, time_only.sequence), (0, 4));
    drop(log);
    assert_eq!(open(&disk).opening.now, 9_000);
}

#[test]
fn after_a_failed_sync_nothing_is_appended_synced_or_closed() {
    for operation in [Operation::Sync, Operation::SyncNames] {
        let disk = Disk::default();
        let mut log = open(&disk).log;
        append_all(&mut log, 1..=3);
        disk.fail(operation, ErrorKind::Other);
        assert!(is_sync(&append(&mut log, 4)), "{operation:?}");
        assert!(is_sync(&append(&mut log, 4)));
        log.segments().sync().unwrap_err();
        log.close(0).unwrap_err();
        let told = open(&disk);
        assert!(!told.opening.was_clean);
        assert_eq!(told.offsets(), [1, 2, 3]);
    }
}

#[test]
fn a_failure_that_one_thread_was_told_of_is_one_for_all() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append(&mut log, 1).unwrap();
    disk.fail(Operation::Sync, ErrorKind::Other);
    log.segments().sync().unwrap_err();
    assert_eq!(log.segments().synced(), 0);
    assert!(is_sync(&append(&mut log, 2)));
}

#[test]
fn after_a_failed_sync_a_relaxed_run_is_lossy_though_the_machine_stays_up() {
    for is_relaxed in [true, false] {
        let disk = Disk::default();
        let options = || LogOptions {
            is_relaxed,
            ..options("boot")
        };
        let mut log = open_as(&disk, options(), 0).unwrap().log;
        append_all(&mut log, 1..=2);
        disk.fail(Operation::Sync, ErrorKind::Other);
        log.segments().sync().unwrap_err();
        // The system has forgotten the first group, and still knows the second.
        disk.edit(&segment_name(0), |bytes| bytes[40..80].fill(0));
        let told = open_as(&disk, options(), 0).unwrap();
        assert_eq!(told.opening.is_lossy, is_relaxed);
        assert!(told.offsets().is_empty());
    }
}

#[test]
fn a_failed_sync_is_not_forgotten_though_the_mark_cannot_be_written() {
    for is_relaxed in [true, false] {
        let disk = Disk::default();
        let options = || LogOptions {
            is_relaxed,
            ..options("boot")
        };
        let mut log = open_as(&disk, options(), 0).unwrap().log;
        append(&mut log, 1).unwrap();
        for operation in [Operation::Sync, Operation::Create] {
            disk.fail(operation, ErrorKind::Other);
        }
        log.segments().sync().unwrap_err();
        drop(log);
        let opening = open_as(&disk, options(), 0).unwrap().opening;
        assert_eq!(opening.is_lossy, is_relaxed);
    }
}

#[test]
fn a_mark_that_cannot_be_written_keeps_the_segment() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=8);
    disk.fail(Operation::Create, ErrorKind::StorageFull);
    log.segments().remove_oldest().unwrap_err();
    assert_eq!(log.segments().oldest(), 0);
    drop(log);
    assert_eq!(open(&disk).offsets(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_has_room_for_what_was_on_it() {
    let disk = Disk::default();
    append_all(&mut open(&disk).log, 1..=8);
    disk.fail(Operation::Create, ErrorKind::StorageFull);
    assert_eq!(open(&disk).offsets(), (1..=8).collect::<Vec<_>>());
}
