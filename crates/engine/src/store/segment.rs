//! One file of the log: its name, its head, and what is known of it while it is open.
//!
//! A segment gets its name only once its head is durable, so that a file with a segment's name and
//! without a right head is damage, never the trace of an interruption.
//!
//! | Head of a segment | Bytes |
//! |---|---|
//! | `campanil` | 8 |
//! | format | 4 |
//! | the segment's number | 4 |
//! | sequence number of its first group | 8 |
//! | the log's time when it was begun | 8 |
//! | salt of its groups, never 0 | 4 |
//! | CRC-32 of everything in front | 4 |
//!
//! Every later format has a head of the same length, with its format and its checksum at these places,
//! so that "newer" can be told from "damaged". Numbers are little-endian.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::{DataFile, Directory};
use super::group::{u32_at, u64_at};
use super::record::LogTime;

/// The format that is written, and the newest one that is read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"campanil";
/// Bytes of a segment in front of its groups.
pub(super) const HEADER_BYTES: usize = 40;
const SUMMED_BYTES: usize = HEADER_BYTES - 4;
const EXTENSION: &str = ".segment";
const UNFINISHED: &str = ".tmp";
/// Digits of the largest number, so that names sort like numbers.
const DIGITS: usize = 10;

/// The name of segment `id`.
pub(super) fn file_name(id: u32) -> String {
    format!("{id:0DIGITS$}{EXTENSION}")
}

/// The segment with this name; `None` for a file that is something else.
pub(super) fn id_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(EXTENSION)?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

/// The name of a file that becomes `name` when it is complete.
pub(super) fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

/// The name that the file would have got; `None` when it is none of these.
pub(super) fn finished(name: &str) -> Option<&str> {
    name.strip_suffix(UNFINISHED)
}

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) id: u32,
    /// Of its first group, whether that is there yet or not.
    pub(super) first: u64,
    pub(super) begun: LogTime,
    pub(super) salt: u32,
}

/// Why a segment's head cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadHeader {
    Damaged,
    Newer { found: u32 },
}

impl Header {
    /// The head of a new segment.
    pub(super) fn new(id: u32, first: u64, begun: LogTime) -> Self {
        let salt = getrandom::u32().expect("the system has random numbers");
        Self {
            id,
            first,
            begun,
            // Zeros behind the last group must not look like a group.
            salt: salt.max(1),
        }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.begun.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..SUMMED_BYTES]);
        bytes[SUMMED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the head at the beginning of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let head = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(BadHeader::Damaged)?;
        let sum = crc32fast::hash(&head[..SUMMED_BYTES]);
        if !head.starts_with(MAGIC) || u32_at(head, SUMMED_BYTES) != sum {
            return Err(BadHeader::Damaged);
        }
        match u32_at(head, 8) {
            FORMAT => Ok(Self {
                id: u32_at(head, 12),
                first: u64_at(head, 16),
                begun: u64_at(head, 24),
                salt: u32_at(head, 32),
            }),
            0 => Err(BadHeader::Damaged),
            found => Err(BadHeader::Newer { found }),
        }
    }
}

/// A segment that is in use.
pub(super) struct Segment {
    pub(super) id: u32,
    pub(super) file: Arc<dyn DataFile>,
    used: AtomicU64,
    last_time: AtomicU64,
}

impl Segment {
    pub(super) fn new(id: u32, file: Arc<dyn DataFile>, used: u64, last_time: LogTime) -> Self {
        Self {
            id,
            file,
            used: AtomicU64::new(used),
            last_time: AtomicU64::new(last_time),
        }
    }

    /// Bytes up to the end of its last group.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// The time of its last group.
    pub(super) fn last_time(&self) -> LogTime {
        self.last_time.load(Ordering::Acquire)
    }

    /// Notes a group; for the only writer.
    pub(super) fn extend(&self, bytes: u64, time: LogTime) {
        self.last_time.store(time, Ordering::Release);
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// A segment's file and how much may be written into it.
pub(super) struct Fresh {
    pub(super) file: Arc<dyn DataFile>,
    pub(super) capacity: u64,
}

/// Creates a segment with nothing but its head. Its name is durable once the directory is synced.
pub(super) fn create(
    directory: &dyn Directory,
    header: &Header,
    capacity: u64,
) -> io::Result<Fresh> {
    replace(directory, header.id, &header.encode(), capacity)
}

/// Puts a durable file that begins with `content` in the place of segment `id`. Its name is durable
/// once the directory is synced.
pub(super) fn replace(
    directory: &dyn Directory,
    id: u32,
    content: &[u8],
    capacity: u64,
) -> io::Result<Fresh> {
    let name = file_name(id);
    let temporary = unfinished(&name);
    let capacity = capacity.max(content.len() as u64);
    let file = directory.create(&temporary, capacity)?;
    let outcome = file
        .write_at(content, 0)
        .and_then(|()| file.sync_data())
        .and_then(|()| directory.rename(&temporary, &name));
    if let Err(error) = outcome {
        // It takes room from whatever is tried next; if it stays, the next opening removes it.
        let _ = directory.remove(&temporary);
        return Err(error);
    }
    Ok(Fresh { file, capacity })
}
