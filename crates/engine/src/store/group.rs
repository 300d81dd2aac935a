//! One commit: records that are written together, and are there together or not at all.
//!
//! It owns the framing of groups and records, with little-endian numbers. It refuses to know files
//! and what a record says.
//!
//! | Frame of a group | Bytes |
//! |---|---|
//! | salt of the segment | 4 |
//! | CRC-32 of everything behind it | 4 |
//! | length of the records, all together | 4 |
//! | sequence number, from 1, one more than that of the group before | 8 |
//! | synced: the newest sequence number that was known to be durable | 8 |
//! | time, in milliseconds | 8 |
//! | records | |
//! | end, never 0 | 1 |
//!
//! | Frame of a record | Bytes |
//! |---|---|
//! | CRC-32 of everything behind it | 4 |
//! | length of the record | 4 |
//! | record, as [`super::codec`] spells it | |
//!
//! The salt is a random number of each segment that nobody outside learns: behind a damaged group, the
//! groups that follow are found by it, and no publisher can put something that looks like a group
//! into a payload. The end shows whether an interrupted write had written everything.

use super::record::{LogTime, RecordRef};

/// Bytes of a group in front of its records.
pub(super) const HEAD_BYTES: usize = 36;
/// Of a group behind its records.
const END: u8 = 0xe5;
/// Bytes of a record's frame.
const RECORD_HEAD_BYTES: usize = 8;

/// The checksum covers what is behind it.
const GROUP_SUMMED_FROM: usize = 8;
const RECORD_SUMMED_FROM: usize = 4;

/// A commit that is being put together, in a buffer that is used again and again.
#[derive(Debug)]
pub struct Group {
    /// Room for the head, then the records.
    bytes: Vec<u8>,
}

/// Where a record is in its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Of the record's first byte from the group's first.
    pub offset: u32,
    /// The record's length in bytes, framing included.
    pub length: u32,
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl Group {
    /// A group without records. It may be appended like this, to write the time down.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; HEAD_BYTES],
        }
    }

    /// Adds a record.
    ///
    /// # Panics
    /// The group becomes larger than 4 GiB; who fills it bounds it far below.
    pub fn push(&mut self, record: RecordRef<'_>) -> Slot {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
        record.encode(&mut self.bytes);
        let slot = Slot {
            offset: narrow(start),
            length: narrow(self.bytes.len() - start),
        };
        let framed = &mut self.bytes[start..];
        let length = slot.length - narrow(RECORD_HEAD_BYTES);
        framed[RECORD_SUMMED_FROM..RECORD_HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        let sum = crc32fast::hash(&framed[RECORD_SUMMED_FROM..]);
        framed[..RECORD_SUMMED_FROM].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    /// Bytes that the group takes in a segment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + 1
    }

    /// Whether there are no records in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    /// Makes it empty and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEAD_BYTES);
    }

    /// Gives `write` the group's bytes for a segment with this salt.
    pub(super) fn framed<T>(
        &mut self,
        salt: u32,
        stamp: Stamp,
        write: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let length = narrow(self.bytes.len() - HEAD_BYTES);
        let head = &mut self.bytes[..HEAD_BYTES];
        head[..4].copy_from_slice(&salt.to_le_bytes());
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..20].copy_from_slice(&stamp.sequence.to_le_bytes());
        head[20..28].copy_from_slice(&stamp.synced.to_le_bytes());
        head[28..].copy_from_slice(&stamp.time.to_le_bytes());
        self.bytes.push(END);
        let sum = crc32fast::hash(&self.bytes[GROUP_SUMMED_FROM..]);
        self.bytes[4..GROUP_SUMMED_FROM].copy_from_slice(&sum.to_le_bytes());
        let outcome = write(&self.bytes);
        self.bytes.pop();
        outcome
    }
}

fn narrow(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a group is bounded far below 4 GiB")
}

/// What a group says beside its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) sequence: u64,
    pub(super) synced: u64,
    pub(super) time: LogTime,
}

/// The beginning of what may be a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) salt: u32,
    pub(super) stamp: Stamp,
    sum: u32,
    records: usize,
}

impl Head {
    /// Reads the head at the beginning of `bytes`; `None` where no group of the segment begins.
    pub(super) fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        if u32_at(head, 0) != salt {
            return None;
        }
        Some(Self {
            salt,
            sum: u32_at(head, 4),
            records: usize::try_from(u32_at(head, 8)).ok()?,
            stamp: Stamp {
                sequence: u64_at(head, 12),
                synced: u64_at(head, 20),
                time: u64_at(head, 28),
            },
        })
    }

    /// Bytes of the whole group, if the head is right.
    pub(super) fn length(&self) -> usize {
        self.records.saturating_add(HEAD_BYTES + 1)
    }

    /// The group's records; `None` unless all of it is there and is what was written.
    pub(super) fn records<'a>(&self, bytes: &'a [u8]) -> Option<Records<'a>> {
        let group = bytes.get(..self.length())?;
        if crc32fast::hash(&group[GROUP_SUMMED_FROM..]) != self.sum {
            return None;
        }
        let (_, records) = group[..group.len() - 1].split_at_checked(HEAD_BYTES)?;
        Some(Records {
            offset: HEAD_BYTES,
            rest: records,
        })
    }
}

/// Whether so many bytes have a head among them.
pub(super) const fn holds_head(bytes: usize) -> bool {
    bytes >= HEAD_BYTES
}

/// The records of a group, in order: each one's slot and spelling, or `None` for a damaged one, which
/// is the last then.
pub(super) struct Records<'a> {
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<(Slot, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((record, rest)) = split_record(self.rest) else {
            self.rest = &[];
            return Some(None);
        };
        let length = self.rest.len() - rest.len();
        let slot = Slot {
            offset: u32::try_from(self.offset).ok()?,
            length: u32::try_from(length).ok()?,
        };
        self.offset += length;
        self.rest = rest;
        Some(Some((slot, record)))
    }
}

/// The records in `bytes` that are whole, if the lengths of those that are not can be believed. For
/// telling people what a damaged group was about.
pub(super) fn loose_records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<RECORD_HEAD_BYTES>()?;
        let length = usize::try_from(u32_at(head, RECORD_SUMMED_FROM)).ok()?;
        let (framed, rest) = bytes.split_at_checked(length.checked_add(RECORD_HEAD_BYTES)?)?;
        bytes = rest;
        Some(only_record(framed))
    })
    .flatten()
}

/// The spelling of the framed record that `bytes` are; `None` when they are not what was written.
pub(super) fn only_record(bytes: &[u8]) -> Option<&[u8]> {
    let (record, rest) = split_record(bytes)?;
    rest.is_empty().then_some(record)
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = bytes.first_chunk::<RECORD_HEAD_BYTES>()?;
    let length = usize::try_from(u32_at(head, RECORD_SUMMED_FROM)).ok()?;
    let (framed, rest) = bytes.split_at_checked(length.checked_add(RECORD_HEAD_BYTES)?)?;
    if crc32fast::hash(&framed[RECORD_SUMMED_FROM..]) != u32_at(head, 0) {
        return None;
    }
    Some((&framed[RECORD_HEAD_BYTES..], rest))
}

/// The number at a place that is known to be in `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let number = bytes[at..].first_chunk().expect("the place is in a head");
    u32::from_le_bytes(*number)
}

/// The number at a place that is known to be in `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let number = bytes[at..].first_chunk().expect("the place is in a head");
    u64::from_le_bytes(*number)
}
