//! What a log is for: what was appended is there, now and after any end of the process.

use super::*;

#[test]
fn what_was_appended_is_read_back_and_told_again() {
    let disk = Disk::default();
    let mut told = open(&disk);
    let places: Vec<_> = (1..=10)
        .map(|n| append(&mut told.log, n).unwrap())
        .collect();
    assert!(told.log.segments().newest() >= 2);
    for (offset, place) in (1..).zip(&places) {
        assert_eq!(told.log.segments().read(*place).unwrap(), record(offset));
    }
    told.log.close(5_000).unwrap();

    let told = open(&disk);
    assert!(told.opening.was_clean && !told.opening.is_lossy);
    let again: Vec<_> = told.records.iter().map(|(_, _, place)| *place).collect();
    assert_eq!(again, places);
    assert_eq!(told.offsets(), (1..=10).collect::<Vec<_>>());
    assert!(
        told.records
            .iter()
            .all(|(time, record, _)| *time == 1_000 + offset(record))
    );
    assert_eq!(told.log.segments().written(), 10);
    assert_eq!(told.log.segments().synced(), 10);
}

#[test]
fn a_log_that_was_dropped_goes_on_where_it_ended() {
    let disk = Disk::default();
    for run in 0..4 {
        let mut told = open(&disk);
        assert_eq!(told.offsets(), (1..=run * 3).collect::<Vec<_>>());
        assert_eq!(told.opening.was_clean, run == 0);
        assert!(!told.opening.is_lossy);
        assert_eq!(told.opening.torn_bytes, 0);
        append_all(&mut told.log, run * 3 + 1..=run * 3 + 3);
    }
}

#[test]
fn a_log_that_was_closed_can_be_closed_and_opened_again() {
    let disk = Disk::default();
    for run in 0..4 {
        let mut told = open(&disk);
        assert!(told.opening.was_clean);
        assert_eq!(told.offsets(), (1..=run).collect::<Vec<_>>());
        append(&mut told.log, run + 1).unwrap();
        told.log.close(0).unwrap();
    }
    open(&disk).log.close(0).unwrap();
    assert_eq!(open(&disk).offsets(), [1, 2, 3, 4]);
}

#[test]
fn a_segment_that_is_removed_while_the_log_is_closed_makes_it_no_crash() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append_all(&mut log, 1..=10);
    let segments = std::sync::Arc::clone(log.segments());
    log.close(0).unwrap();
    segments.remove_oldest().unwrap();
    let told = open(&disk);
    assert!(told.opening.was_clean);
    assert!(told.offsets().len() < 10, "it was removed");
}

#[test]
fn after_a_crash_the_newest_segment_is_written_again_and_is_durable() {
    let disk = Disk::default();
    append_all(&mut open(&disk).log, 1..=8);
    let shown = disk.after_power_cut();
    assert!(
        open_as(&shown, options("other"), 0)
            .unwrap()
            .offsets()
            .len()
            < 8
    );
    // The process ended and the machine went on: everything written is read, and then kept.
    let reopened = open(&disk);
    assert_eq!(reopened.log.segments().synced(), 8);
    assert_eq!(
        open_as(&disk.after_power_cut(), options("other"), 0)
            .unwrap()
            .offsets()
            .len(),
        8
    );
}

#[test]
fn several_records_of_a_group_have_places_of_their_own() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let mut group = Group::new();
    assert!(group.is_empty());
    let slots: Vec<_> = (1..=3)
        .map(|n| group.push(RecordRef::from(&record(n))))
        .collect();
    let length = group.len() as u64;
    let before = log.segments().bytes();
    let appended = log.append(&mut group, 7).unwrap();
    assert_eq!(log.segments().bytes() - before, length);
    for (offset, slot) in (1..).zip(slots) {
        assert_eq!(
            log.segments().read(appended.place(slot)).unwrap(),
            record(offset)
        );
    }
    group.clear();
    assert!(group.is_empty());
    assert_eq!(
        log.append(&mut group, 7).unwrap().sequence,
        appended.sequence + 1
    );
    drop(log);
    assert_eq!(open(&disk).offsets(), [1, 2, 3]);
}

#[test]
fn a_group_larger_than_a_segment_gets_one_of_its_own() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    append(&mut log, 1).unwrap();
    let mut group = Group::new();
    let slots: Vec<_> = (2..=9)
        .map(|n| group.push(RecordRef::from(&record(n))))
        .collect();
    assert!(group.len() as u64 > SEGMENT_BYTES);
    let appended = log.append(&mut group, 0).unwrap();
    assert_eq!(appended.segment, 1);
    assert_eq!(
        log.segments().read(appended.place(slots[7])).unwrap(),
        record(9)
    );
    assert_eq!(append(&mut log, 10).unwrap().segment, 2);
    drop(log);
    assert_eq!(open(&disk).offsets(), (1..=10).collect::<Vec<_>>());
}

#[test]
fn the_logs_time_never_goes_back() {
    let disk = Disk::default();
    let mut told = open_as(&disk, options("boot"), 10_000).unwrap();
    assert_eq!(
        (told.opening.now, told.opening.clock_went_back),
        (10_000, None)
    );
    let mut group = Group::new();
    group.push(RecordRef::from(&record(1)));
    told.log.append(&mut group, 12_000).unwrap();
    told.log.append(&mut group, 11_000).unwrap();
    drop(told);

    let told = open_as(&disk, options("boot"), 9_000).unwrap();
    let times: Vec<_> = told.records.iter().map(|(time, ..)| *time).collect();
    assert_eq!(times, [12_000, 12_000]);
    assert_eq!(told.opening.now, 12_000);
    assert_eq!(
        told.opening.clock_went_back,
        Some(std::time::Duration::from_secs(3))
    );
    told.log.close(15_000).unwrap();
    assert_eq!(
        open_as(&disk, options("boot"), 9_000).unwrap().opening.now,
        15_000
    );
}

#[test]
fn a_relaxed_run_that_the_machine_ended_is_lossy_until_a_group_follows() {
    let relaxed = |boot| LogOptions {
        is_relaxed: true,
        ..options(boot)
    };
    let disk = Disk::default();
    append_all(&mut open_as(&disk, relaxed("first"), 0).unwrap().log, 1..=2);
    assert!(
        !open_as(&disk, relaxed("first"), 0)
            .unwrap()
            .opening
            .is_lossy
    );
    // Whoever was told and ended before writing it down is told again: in the same boot, in another
    // durability, after a close.
    assert!(
        open_as(&disk, relaxed("second"), 0)
            .unwrap()
            .opening
            .is_lossy
    );
    assert!(
        open_as(&disk, relaxed("second"), 0)
            .unwrap()
            .opening
            .is_lossy
    );
    let told = open_as(&disk, options("second"), 0).unwrap();
    assert!(told.opening.is_lossy);
    told.log.close(0).unwrap();
    let mut told = open_as(&disk, options("third"), 0).unwrap();
    assert!(told.opening.is_lossy && told.opening.was_clean);
    append(&mut told.log, 3).unwrap();
    drop(told);
    assert!(
        !open_as(&disk, options("third"), 0)
            .unwrap()
            .opening
            .is_lossy
    );
}

#[test]
fn a_boot_that_is_not_known_is_another_one() {
    let unknown = || LogOptions {
        is_relaxed: true,
        boot_id: None,
        ..options("")
    };
    for odd in [
        unknown().boot_id,
        Some("a\nb".into()),
        Some("-".into()),
        Some(String::new()),
    ] {
        let disk = Disk::default();
        let odd = || LogOptions {
            boot_id: odd.clone(),
            ..unknown()
        };
        append(&mut open_as(&disk, odd(), 0).unwrap().log, 1).unwrap();
        assert!(open_as(&disk, odd(), 0).unwrap().opening.is_lossy);
    }
}

#[test]
fn what_sync_says_is_durable_is_while_segments_begin() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let segments = std::sync::Arc::clone(log.segments());
    let writer = std::thread::spawn(move || append_all(&mut log, 1..=200));
    let mut durable = 0;
    while durable < 200 {
        let now = segments.sync().unwrap();
        assert!(now >= durable);
        durable = now;
        assert!(segments.synced() >= durable);
        let told = open_as(&disk.after_power_cut(), options("other"), 0).unwrap();
        assert!(told.offsets().len() as u64 >= durable);
    }
    writer.join().unwrap();
}
