//! The disk does what real ones do at their worst.

use super::*;

fn disk_with(name: &str, bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let file = disk.create(name, 0).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync().unwrap();
    disk
}

fn kind<T>(outcome: io::Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_a_power_cut_what_it_synced() {
    let disk = disk_with("a", b"one");
    disk.open("a").unwrap().write_at(b"two", 0).unwrap();
    drop(disk.create("b", 100).unwrap());
    let killed = disk.kill();
    assert_eq!(killed.bytes("a").unwrap(), b"two");
    assert_eq!(killed.bytes("b").unwrap(), [0; 100]);
    let cut = killed.power_cut(Loss::Everything);
    assert_eq!(cut.bytes("a").unwrap(), b"one", "a kill syncs nothing");
    assert_eq!(cut.bytes("b"), None);
}

#[test]
fn those_who_had_the_disk_before_a_crash_change_nothing_after_it() {
    let disk = disk_with("a", b"one");
    let before = disk.open("a").unwrap();
    let after = disk.kill();
    assert!(before.write_at(b"two", 0).is_err() && before.sync_data().is_err());
    assert!(disk.remove("a").is_err());
    assert_eq!(after.bytes("a").unwrap(), b"one");
}

#[test]
fn a_removed_file_can_still_be_read_by_who_has_it() {
    let disk = disk_with("a", b"one");
    let file = disk.open("a").unwrap();
    disk.remove("a").unwrap();
    let mut bytes = [0; 3];
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"one");
    assert_eq!(kind(disk.open("a")), Some(ErrorKind::NotFound));
    let cut = disk.power_cut(Loss::Everything);
    assert_eq!(
        cut.bytes("a").unwrap(),
        b"one",
        "the removal was not synced"
    );
}

#[test]
fn a_planned_fault_comes_once_and_its_write_is_there_or_half_or_not() {
    let mut seen = BTreeSet::new();
    for earlier in 0..3 {
        let disk = disk_with("a", b"....");
        disk.fail_next(Operation::Write, earlier + 1, ErrorKind::Other);
        let file = disk.open("a").unwrap();
        for _ in 0..=earlier {
            file.write_at(b"1", 0).unwrap();
        }
        assert_eq!(kind(file.write_at(b"23", 1)), Some(ErrorKind::Other));
        assert!(disk.log().iter().any(|step| step.has_failed));
        seen.insert(disk.bytes("a").unwrap());
        file.write_at(b"234", 1).unwrap();
        assert_eq!(disk.bytes("a").unwrap(), b"1234");
        assert_eq!(disk.count(Operation::Write), earlier + 4);
    }
    assert_eq!(
        seen,
        [b"1...", b"12..", b"123."].map(|left| left.to_vec()).into()
    );
}

#[test]
fn a_failed_sync_loses_what_the_next_one_would_have_to_bring() {
    let disk = disk_with("a", &[0; 64 * 1024]);
    let file = disk.open("a").unwrap();
    file.write_at(&[1; 64 * 1024], 0).unwrap();
    disk.fail_next(Operation::SyncBytes, 0, ErrorKind::Other);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    let cut = disk.power_cut(Loss::Everything);
    assert!(cut.bytes("a").unwrap().contains(&0));
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_keeps_what_was_reserved() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(1000);
    let reserved = disk.create("a", 600).unwrap();
    assert_eq!(kind(disk.create("b", 401)), Some(ErrorKind::StorageFull));
    assert_eq!(disk.bytes("b"), None);
    let grown = disk.create("c", 0).unwrap();
    let refused = grown.write_at(&[1; 500], 0);
    assert_eq!(kind(refused), Some(ErrorKind::StorageFull));
    assert_eq!(disk.used(), 1000, "what fits was written");
    reserved.write_at(&[1; 600], 0).unwrap();
    disk.remove("c").unwrap();
    drop(disk.create("b", 400).unwrap());
}

#[test]
fn a_read_only_disk_is_read() {
    let disk = disk_with("a", b"one");
    disk.set_read_only(true);
    let file = disk.open("a").unwrap();
    file.read_at(&mut [0; 3], 0).unwrap();
    let refused = Some(ErrorKind::ReadOnlyFilesystem);
    assert_eq!(kind(file.write_at(b"two", 0)), refused);
    assert_eq!(kind(disk.create("b", 0)), refused);
    assert_eq!(kind(disk.rename("a", "b")), refused);
    disk.set_read_only(false);
    disk.rename("a", "b").unwrap();
}

#[test]
fn a_held_operation_waits_until_it_is_released_or_the_disk_turned_off() {
    let disk = disk_with("a", b"one");
    for is_crash in [false, true] {
        disk.hold(Operation::SyncBytes);
        let file = disk.open("a").unwrap();
        let waiting = std::thread::spawn(move || file.sync_data().is_ok());
        disk.await_held(Operation::SyncBytes);
        if is_crash {
            let _next = disk.kill();
        } else {
            disk.release();
        }
        assert_eq!(waiting.join().unwrap(), !is_crash);
    }
}

#[test]
fn a_disk_that_forgets_to_sync_says_nothing_about_it() {
    let disk = SimulatedDisk::default();
    disk.forget(Operation::SyncBytes);
    disk.forget(Operation::SyncNames);
    let file = disk.create("a", 10).unwrap();
    file.sync_data().unwrap();
    disk.sync().unwrap();
    assert_eq!(disk.power_cut(Loss::Everything).bytes("a"), None);
}

#[test]
fn a_reused_name_is_the_old_file_the_new_one_or_a_mixture() {
    let disk = disk_with("a", &[1; 1024]);
    let file = disk.create("a", 1024).unwrap();
    file.write_at(&[2; 512], 512).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let fork = disk.0.state.lock().unwrap().contents.clone();
        let cut = disk.successor(fork).power_cut(Loss::Scattered(seed));
        let left = cut.bytes("a").unwrap();
        seen.insert((left.len(), left.first().copied(), left.get(512).copied()));
    }
    assert!(seen.contains(&(1024, Some(1), Some(1))));
    assert!(seen.contains(&(1024, Some(1), Some(2))));
    assert!(seen.contains(&(1024, Some(0), Some(2))));
    assert!(seen.contains(&(0, None, None)));
}

#[test]
fn kill_points_call_before_in_the_middle_and_after() {
    for (when, written) in [
        (When::Before, &b"...."[..]),
        (When::Middle, b"..1."),
        (When::After, b"..12"),
    ] {
        let disk = disk_with("a", b"....");
        let point = KillPoint {
            operation: Some(Operation::Write),
            after: 1,
            when,
        };
        let victim = disk.clone();
        let points = KillPoints::new(Arc::new(disk.clone()), point, move || victim.turn_off());
        let file = points.open("a").unwrap();
        file.write_at(b".", 0).unwrap();
        assert!(!disk.is_off(), "not yet");
        let outcome = file.write_at(b"12", 2);
        assert_eq!(outcome.is_ok(), when == When::After);
        assert_eq!(disk.kill().bytes("a").unwrap(), written, "{when:?}");
    }
}

#[test]
fn a_kill_point_of_any_kind_counts_what_changes_the_disk() {
    let disk = disk_with("a", b"one");
    let point = KillPoint {
        operation: None,
        after: 2,
        when: When::Before,
    };
    let victim = disk.clone();
    let points = KillPoints::new(Arc::new(disk.clone()), point, move || victim.turn_off());
    let file = points.open("a").unwrap();
    file.read_at(&mut [0; 1], 0).unwrap();
    file.write_at(b"two", 0).unwrap();
    file.sync_data().unwrap();
    assert!(points.list().is_ok());
    assert!(points.rename("a", "b").is_err());
    assert!(disk.is_off());
    assert_eq!(disk.kill().bytes("a").unwrap(), b"two");
}
