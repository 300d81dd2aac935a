//! Looking at a log whatever has become of it: told is what opening would refuse, read is what is
//! behind it too, changed is nothing.

use super::damage::{GROUPS, Run, sample};
use super::*;

struct Seen {
    survey: Survey,
    records: Vec<Record>,
}

impl Seen {
    fn offsets(&self) -> Vec<u64> {
        self.records.iter().map(offset).collect()
    }
}

fn survey_as(disk: &Disk, boot: &str) -> Seen {
    let mut records = Vec::new();
    let mut fold = |_, record, _| records.push(record);
    let survey = Survey::of(&disk.clone(), Some(boot), &mut fold).unwrap();
    for told in &records {
        assert_eq!(*told, record(offset(told)), "nothing is invented");
    }
    Seen { survey, records }
}

fn content(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names().into_iter();
    names
        .map(|name| (name.clone(), disk.bytes(&name)))
        .collect()
}

/// Surveys and opens the same disk; returns what the survey saw.
fn compared(disk: &Disk, boot: &str, what: &str) -> Seen {
    let before = content(disk);
    let seen = survey_as(disk, boot);
    assert_eq!(content(disk), before, "{what}: a survey changed something");
    match open_as(disk, options(boot), 1_000) {
        Ok(told) => {
            let problems = &seen.survey.problems;
            assert!(problems.is_empty(), "{what}: {problems:?}");
            assert_eq!(seen.offsets(), told.offsets(), "{what}");
            assert_eq!(seen.survey.torn_bytes, told.opening.torn_bytes, "{what}");
            assert_eq!(seen.survey.is_lossy, told.opening.is_lossy, "{what}");
        }
        Err(error) => assert!(!seen.survey.problems.is_empty(), "{what}: {error}"),
    }
    seen
}

const RUNS: [Run; 3] = [Run::Closed, Run::Synced, Run::Relaxed];
const BOOTS: [&str; 2] = ["boot", "other"];

#[test]
fn a_survey_finds_problems_exactly_where_opening_refuses() {
    for run in RUNS {
        let disk = sample(run);
        for boot in BOOTS {
            compared(&disk.copy(), boot, "untouched");
            for name in disk.names() {
                for at in 0..disk.bytes(&name).len() {
                    let what = format!("{run:?} {boot} {name} {at}");
                    let changed = disk.copy();
                    changed.edit(&name, |bytes| bytes[at] ^= 0xff);
                    compared(&changed, boot, &what);
                    let cut = disk.copy();
                    cut.edit(&name, |bytes| bytes.truncate(at));
                    compared(&cut, boot, &what);
                }
            }
        }
    }
}

#[test]
fn a_survey_loses_the_damaged_group_and_nothing_behind_it() {
    let disk = sample(Run::Closed);
    let all: Vec<_> = (1..=GROUPS).collect();
    for name in disk.names() {
        let mut lost = std::collections::BTreeSet::new();
        for at in 0..disk.bytes(&name).len() {
            let changed = disk.copy();
            changed.edit(&name, |bytes| bytes[at] ^= 0x10);
            let seen = survey_as(&changed, "boot");
            let problems = &seen.survey.problems;
            let missing = all.iter().filter(|n| !seen.offsets().contains(n));
            let missing: Vec<_> = missing.copied().collect();
            assert!(missing.len() <= 1, "{name} {at}: {missing:?}");
            assert!(!problems.is_empty(), "{name} {at}");
            let told: u64 = problems.iter().map(|problem| problem.groups_lost).sum();
            assert_eq!(told, missing.len() as u64, "{name} {at}: {problems:?}");
            lost.extend(missing);
        }
        let is_segment = name.ends_with(".segment");
        assert_eq!(!lost.is_empty(), is_segment, "{name}: {lost:?}");
    }
}

#[test]
fn a_missing_segment_costs_what_was_in_it() {
    let disk = sample(Run::Closed);
    let whole = survey_as(&disk, "boot");
    for (index, segment) in whole.survey.segments.iter().enumerate() {
        let cut = disk.copy();
        cut.shared().remove(&segment_name(segment.id)).unwrap();
        let seen = compared(&cut, "boot", "missing");
        let [problem] = &seen.survey.problems[..] else {
            panic!("{:?}", seen.survey.problems);
        };
        // That the newest one is missing shows at the end of the one before.
        let is_newest = index + 1 == whole.survey.segments.len();
        let shows_in = segment.id - u32::from(is_newest);
        assert_eq!(problem.file, segment_name(shows_in));
        assert_eq!(problem.groups_lost, segment.groups, "{index}");
        let read = GROUPS - segment.groups;
        assert_eq!(seen.records.len() as u64, read);
    }
}

#[test]
fn a_segment_without_head_and_first_group_is_lost_alone() {
    let disk = sample(Run::Closed);
    disk.edit(&segment_name(1), |bytes| bytes[..120].fill(0));
    let seen = compared(&disk, "boot", "overwritten");
    let in_it = seen.survey.segments[0].groups;
    let offsets = seen.offsets();
    assert!(offsets.contains(&1) && offsets.contains(&GROUPS));
    assert_eq!(seen.survey.problems.len(), 1);
    assert_eq!(
        seen.survey.problems[0].groups_lost,
        GROUPS - offsets.len() as u64
    );
    assert!(in_it > 0);
}

#[test]
fn records_beside_a_damaged_one_are_named() {
    let disk = Disk::default();
    let mut log = open(&disk).log;
    let mut group = Group::new();
    let slots: Vec<_> = (1..=3)
        .map(|n| group.push(RecordRef::from(&record(n))))
        .collect();
    let base = log.append(&mut group, 2_000).unwrap().base;
    log.close(2_000).unwrap();
    let in_second = (base + slots[1].offset + slots[1].length - 1) as usize;
    disk.edit(&segment_name(0), |bytes| bytes[in_second] ^= 1);
    let seen = compared(&disk, "boot", "damaged");
    assert_eq!(seen.records, []);
    let [problem] = &seen.survey.problems[..] else {
        panic!("{:?}", seen.survey.problems);
    };
    assert_eq!(problem.groups_lost, 1);
    let named: Vec<_> = problem.affected.iter().map(|one| one.offset).collect();
    assert_eq!(named, [Some(1), Some(3)]);
}

#[test]
fn what_does_not_belong_to_a_log_is_not_looked_at() {
    let disk = sample(Run::Closed);
    disk.put("notes.txt", b"x".to_vec());
    assert!(has_log(&disk).unwrap());
    let seen = compared(&disk, "boot", "notes");
    assert_eq!(seen.survey.leftovers, Vec::<String>::new());
    assert!(!has_log(&Disk::default()).unwrap());
}
