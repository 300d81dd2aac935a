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
