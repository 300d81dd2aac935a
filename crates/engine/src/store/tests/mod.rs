//! The log on a disk in memory.

mod codec;
mod damage;
mod disk;
mod failures;
mod files;
mod life;
mod survey;

use campanile_protocol::{Epoch, Publication};

use super::segment::file_name as segment_name;
use super::*;
use disk::Disk;

/// Room for the head and about three of the groups below.
const SEGMENT_BYTES: u64 = 400;

fn options(boot_id: &str) -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES,
        is_relaxed: false,
        boot_id: Some(boot_id.to_owned()),
    }
}

/// What a log told when it was opened.
#[derive(Debug)]
struct Told {
    log: Log,
    opening: Opening,
    records: Vec<(LogTime, Record, Place)>,
}

impl Told {
    /// Offsets of the publications, in order.
    fn offsets(&self) -> Vec<u64> {
        let tops = self.records.iter().map(|(_, record, _)| offset(record));
        tops.collect()
    }
}

fn open_as(disk: &Disk, options: LogOptions, wall_now: LogTime) -> Result<Told, OpenError> {
    let mut records = Vec::new();
    let mut fold = |time, record, place| records.push((time, record, place));
    let (log, opening) = Log::open(disk.shared(), options, wall_now, &mut fold)?;
    Ok(Told {
        log,
        opening,
        records,
    })
}

fn open(disk: &Disk) -> Told {
    open_as(disk, options("boot"), 1_000).unwrap()
}

fn offset(record: &Record) -> u64 {
    match record {
        Record::Channel { state, .. } => state.top,
        Record::Era { .. } => 0,
    }
}

/// A record of about eighty bytes.
fn record(offset: u64) -> Record {
    Record::Channel {
        channel: crate::channel::ChannelName::trusted("news"),
        state: StreamState {
            epoch: Epoch::new("epoch"),
            top: offset,
            floor: 1,
            history_expires: 1_000_000,
            meta_expires: Some(2_000_000),
            version: None,
        },
        publication: Some(Publication {
            offset,
            data: vec![b'x'; 40].into(),
            info: None,
            tags: None,
        }),
        keys: Vec::new(),
    }
}

/// Appends a group of one record.
fn append(log: &mut Log, offset: u64) -> Result<Place, AppendError> {
    let mut group = Group::new();
    let slot = group.push(RecordRef::from(&record(offset)));
    let appended = log.append(&mut group, 1_000 + offset)?;
    Ok(appended.place(slot))
}

fn append_all(log: &mut Log, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        append(log, offset).unwrap();
    }
}
