//! Reading segments at opening, and judging what cannot be read.
//!
//! A group that cannot be read is either *torn*, the trace of a write that was interrupted, or
//! *damaged*, something that was on disk and no longer is what it was. What is torn is dropped, since
//! nobody was promised it; what is damaged refuses the opening, whatever is behind it.
//!
//! It is torn only in the newest segment, after a run that was not closed, and if nothing proves that
//! it had been durable: neither the mark nor a readable group behind it says so.
//!
//! * **The machine was up all the time:** what had been written is there, so that only the last write
//!   can be unfinished, and of that one the end is missing. A group of which the end is there is
//!   damaged, and so is whatever has a group behind it. What remains undetected is damage to the length
//!   of the last group, which then looks unfinished.
//! * **The machine was not,** or a sync failed, after which the system may show files with holes:
//!   pages reach a disk in any order, and an unfinished write can look like anything. Groups behind it
//!   that nobody knew to be durable go with it. A run that acknowledged such groups was a relaxed one,
//!   and [`Opening::is_lossy`](super::Opening) says so.
//!
//! Everything in front of the end was whole and in sequence, or this is an error.

use std::mem;
use std::sync::Arc;

use super::directory::{DataFile, Directory};
use super::group::{Head, Records, Stamp, holds_head};
use super::mark::Mark;
use super::opening::{Blame, OpenError};
use super::record::{LogTime, Place, Record};
use super::segment::{BadHeader, HEADER_BYTES, Header, Segment, file_name};

/// How the run before this one went.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastRun {
    /// Whether it closed the log.
    pub(super) was_clean: bool,
    /// Whether the machine has been up since.
    is_same_boot: bool,
    /// Up to here groups are known to have been durable.
    pub(super) durable: u64,
    /// Whether it acknowledged what was not durable.
    is_relaxed: bool,
    /// Whether a loss before it was still to be told.
    is_lossy: bool,
}

impl LastRun {
    /// Without a mark the worst is assumed.
    pub(super) fn of(mark: Option<&Mark>, boot_id: Option<&str>) -> Self {
        let Some(mark) = mark else {
            return Self {
                was_clean: false,
                is_same_boot: false,
                durable: 0,
                is_relaxed: true,
                is_lossy: false,
            };
        };
        Self {
            was_clean: mark.is_stopped,
            is_same_boot: boot_id.is_some() && mark.boot_id.as_deref() == boot_id,
            durable: mark.sequence,
            is_relaxed: mark.is_relaxed,
            is_lossy: mark.is_lossy,
        }
    }

    /// Whether what it acknowledged may be lost, of a log that now ends with group `last`.
    pub(super) fn is_lossy(&self, last: u64) -> bool {
        let is_untold = self.is_lossy && last == self.durable;
        is_untold || (self.is_relaxed && !self.is_same_boot && !self.was_clean)
    }
}

/// Reads one segment after the other.
pub(super) struct Scan<'a> {
    pub(super) directory: &'a dyn Directory,
    pub(super) last_run: &'a LastRun,
    fold: &'a mut dyn FnMut(LogTime, Record, Place),
    /// The segment that is being read, whole.
    pub(super) bytes: Vec<u8>,
    /// The sequence number of the next group, once a segment has said which it begins with.
    pub(super) next: Option<u64>,
    pub(super) time: LogTime,
}

/// Where reading a segment came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    /// Behind the last group that was read.
    pub(super) at: usize,
    /// Groups that were read.
    pub(super) groups: u64,
    /// What is wrong with the group that begins here, if that is more than that there is none.
    pub(super) reason: Option<&'static str>,
}

/// The newest segment, and what the log ends with.
pub(super) struct Newest {
    pub(super) file: Arc<dyn DataFile>,
    pub(super) header: Header,
    /// The segment up to its end.
    pub(super) content: Vec<u8>,
    pub(super) torn_bytes: u64,
    pub(super) sequence: u64,
    pub(super) time: LogTime,
}

/// A segment that has been read into `Scan::bytes`.
struct Loaded {
    name: String,
    file: Arc<dyn DataFile>,
    header: Header,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        directory: &'a dyn Directory,
        last_run: &'a LastRun,
        fold: &'a mut dyn FnMut(LogTime, Record, Place),
    ) -> Self {
        Self {
            directory,
            last_run,
            fold,
            bytes: Vec::new(),
            next: None,
            time: 0,
        }
    }

    /// Reads a segment that is not the newest: it was durable, to its last byte, before the next began.
    pub(super) fn older(&mut self, id: u32) -> Result<Segment, OpenError> {
        let loaded = self.load(id)?;
        let end = self.whole_groups(&loaded)?;
        if end < self.bytes.len() {
            return Err(self.damaged(&loaded, end, "a group cannot be read"));
        }
        Ok(Segment::new(id, loaded.file, end as u64, self.time))
    }

    /// Reads the newest segment.
    pub(super) fn newest(mut self, id: u32) -> Result<Newest, OpenError> {
        let loaded = self.load(id)?;
        let end = self.whole_groups(&loaded)?;
        let next = self.next.unwrap_or(loaded.header.first);
        let torn = torn_bytes(&self.bytes[end..], loaded.header.salt, next, self.last_run)
            .map_err(|reason| self.damaged(&loaded, end, reason))?;
        if next <= self.last_run.durable {
            return Err(self.damaged(&loaded, end, "groups that were on disk are missing"));
        }
        self.bytes.truncate(end);
        Ok(Newest {
            file: loaded.file,
            header: loaded.header,
            content: self.bytes,
            torn_bytes: torn as u64,
            sequence: next - 1,
            time: self.time,
        })
    }

    fn load(&mut self, id: u32) -> Result<Loaded, OpenError> {
        let name = file_name(id);
        let blame = Blame(self.directory);
        let file = self.directory.open(&name).map_err(blame.io(&name))?;
        let length = file.len().map_err(blame.io(&name))?;
        let length = u32::try_from(length).ok().map(|length| length as usize);
        let length =
            length.ok_or_else(|| blame.corrupt(&name, 0, "it is larger than any segment"))?;
        self.bytes.clear();
        self.bytes.resize(length, 0);
        file.read_at(&mut self.bytes, 0).map_err(blame.io(&name))?;
        let header = Header::decode(&self.bytes).map_err(|error| match error {
            BadHeader::Damaged => blame.corrupt(&name, 0, "it does not begin like a segment"),
            BadHeader::Newer { found } => blame.newer(&name, found),
        })?;
        if header.id != id {
            return Err(blame.corrupt(&name, 0, "it is another segment under this name"));
        }
        if header.first == 0 || self.next.is_some_and(|next| next != header.first) {
            return Err(blame.corrupt(&name, 0, "it does not follow the segment before it"));
        }
        self.next = Some(header.first);
        self.time = self.time.max(header.begun);
        Ok(Loaded { name, file, header })
    }

    /// Folds the groups up to the first place where there is none, and tells that.
    fn whole_groups(&mut self, loaded: &Loaded) -> Result<usize, OpenError> {
        let end = self.groups(&loaded.header, HEADER_BYTES);
        match end.reason {
            None => Ok(end.at),
            Some(reason) => Err(self.damaged(loaded, end.at, reason)),
        }
    }

    /// Folds the groups from `at` on, up to the first place where none can be read.
    pub(super) fn groups(&mut self, header: &Header, at: usize) -> End {
        let bytes = mem::take(&mut self.bytes);
        let mut end = End {
            at,
            groups: 0,
            reason: None,
        };
        while let Some(head) = Head::read(&bytes[end.at..], header.salt)
            && let Some(records) = head.records(&bytes[end.at..])
        {
            if self.next != Some(head.stamp.sequence) || head.stamp.sequence == u64::MAX {
                end.reason = Some("a group is out of sequence");
                break;
            }
            self.time = self.time.max(head.stamp.time);
            if !self.records(records, header.id, end.at, head.stamp.time) {
                end.reason = Some("a record cannot be read");
                break;
            }
            self.next = Some(head.stamp.sequence + 1);
            end.at += head.length();
            end.groups += 1;
        }
        self.bytes = bytes;
        end
    }

    /// Folds the records of the group at `base`; false if one cannot be read.
    fn records(&mut self, records: Records<'_>, segment: u32, base: usize, time: LogTime) -> bool {
        for framed in records {
            let decoded = framed.and_then(|(slot, bytes)| {
                let place = Place {
                    segment,
                    offset: u32::try_from(base).ok()?.checked_add(slot.offset)?,
                    length: slot.length,
                };
                Some((Record::decode(bytes).ok()?, place))
            });
            let Some((record, place)) = decoded else {
                return false;
            };
            (self.fold)(time, record, place);
        }
        true
    }

    fn damaged(&self, loaded: &Loaded, at: usize, reason: &'static str) -> OpenError {
        Blame(self.directory).corrupt(&loaded.name, at, reason)
    }
}

/// How many bytes of an unfinished write are at the beginning of `rest`, which is what is behind the
/// last group of the newest segment; an error when it is something else.
pub(super) fn torn_bytes(
    rest: &[u8],
    salt: u32,
    next: u64,
    last_run: &LastRun,
) -> Result<usize, &'static str> {
    // What is reserved and not yet used is zeros.
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else {
        return Ok(0);
    };
    let used = last + 1;
    if last_run.was_clean {
        return Err("there is something behind the end of a log that was closed");
    }
    if next <= last_run.durable {
        return Err("a group that was on disk cannot be read");
    }
    for (_, later) in groups_behind(rest, salt, next) {
        if last_run.is_same_boot || later.synced >= next {
            return Err("a group cannot be read, and there are groups behind it");
        }
    }
    if last_run.is_same_boot && !is_interrupted(rest, used, salt, next) {
        return Err("the last group was written whole and cannot be read");
    }
    Ok(used)
}

/// The readable groups in `rest` that come later than group `next`, and where they begin.
pub(super) fn groups_behind(
    rest: &[u8],
    salt: u32,
    next: u64,
) -> impl Iterator<Item = (usize, Stamp)> {
    let salt_bytes = salt.to_le_bytes();
    let starts = rest.windows(salt_bytes.len()).enumerate();
    starts
        .filter(move |(_, window)| *window == salt_bytes)
        .filter_map(move |(start, _)| {
            let head = Head::read(&rest[start..], salt)?;
            let is_later = head.stamp.sequence > next;
            (is_later && head.records(&rest[start..]).is_some()).then_some((start, head.stamp))
        })
}

/// Whether the first `used` bytes of `rest` can be the beginning of group `next`, of which the end was
/// not written. For a file that has every byte that was written.
fn is_interrupted(rest: &[u8], used: usize, salt: u32, next: u64) -> bool {
    if !holds_head(used) {
        return true;
    }
    Head::read(rest, salt).is_some_and(|head| {
        // A group's last byte is not zero.
        head.stamp.sequence == next && used < head.length()
    })
}
