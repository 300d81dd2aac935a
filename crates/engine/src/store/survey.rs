//! Reading a log that nobody has open, whatever state it is in, and changing nothing.
//!
//! It owns what is told of damage, and where reading goes on behind it. It refuses to judge by rules
//! of its own: groups are read and the end is judged as at opening ([`super::scan`]), so that a log
//! without problems here is one that opens, and the other way round.
//!
//! Behind damage the next readable group of the segment is found by the segment's salt. Where the head
//! of a segment is damaged, the salt is that of the first group, if that one is whole; if not either,
//! nothing of the segment can be told from bytes that somebody has published.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::{fmt, mem};

use campanile_protocol::Publication;

use super::directory::{DataFile, Directory};
use super::group::{HEAD_BYTES, Head, loose_records};
use super::mark::{self, BadMark, Mark};
use super::opening::{Blame, OpenError, is_unfinished};
use super::record::{LogTime, Place, Record};
use super::scan::{LastRun, Scan, groups_behind, torn_bytes};
use super::segment::{BadHeader, HEADER_BYTES, Header, file_name, id_of};
use super::segments::{ReadError, read_record};
use crate::channel::ChannelName;

/// What is told of one place, at most: a list for people.
const AFFECTED_MAX: usize = 100;
/// What a disk fails to read at a time, about.
const PAGE_BYTES: usize = 4096;

/// A log as it was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// How the last run ended; `None` without a readable mark.
    pub ending: Option<Ending>,
    /// The segments that are there, the oldest first.
    pub segments: Vec<SegmentSummary>,
    /// Everything for which the log would not be opened.
    pub problems: Vec<Problem>,
    /// Bytes of an interrupted last write, which are dropped at opening.
    pub torn_bytes: u64,
    /// Files that the next opening removes.
    pub leftovers: Vec<String>,
    /// Whether the next opening gives every stream a new epoch, since what was acknowledged may be
    /// lost.
    pub is_lossy: bool,
    /// The newest time in the log.
    pub time: LogTime,
}

/// Whether there is a log in `directory`, or what is left of one.
///
/// # Errors
/// The directory cannot be listed.
pub fn has_log(directory: &dyn Directory) -> io::Result<bool> {
    let names = directory.list()?;
    Ok(names
        .iter()
        .any(|name| name == mark::FILE_NAME || id_of(name).is_some()))
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// Whether it closed the log.
    pub was_clean: bool,
    /// Whether it acknowledged what was not durable.
    pub is_relaxed: bool,
    /// The boot of the machine that it belonged to.
    pub boot_id: Option<String>,
    /// When the mark was written.
    pub time: LogTime,
}

/// One segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSummary {
    /// Its number.
    pub id: u32,
    /// Bytes of it that are used, damaged ones included.
    pub bytes: u64,
    /// Groups that can be read.
    pub groups: u64,
    /// When it was begun; `None` where its head is damaged.
    pub begun: Option<LogTime>,
}

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// Which bytes of it are affected; none of a file that is missing.
    pub bytes: Range<u64>,
    /// What is wrong.
    pub reason: &'static str,
    /// How many groups are known to be lost by it.
    pub groups_lost: u64,
    /// Records that can be told to have been there; a part of them, if there were many.
    pub affected: Vec<Affected>,
}

/// A record in a group that is damaged elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Affected {
    /// Its channel.
    pub channel: ChannelName,
    /// The offset of its publication, if it has one.
    pub offset: Option<u64>,
}

impl Survey {
    /// Reads the log in `directory`, and gives `fold` every record that can be read, with the time of
    /// its group, in the order they were written. `boot_id` is that of the machine now.
    ///
    /// # Errors
    /// The directory cannot be listed or a file not be opened, or a newer version has written it.
    pub fn of(
        directory: &dyn Directory,
        boot_id: Option<&str>,
        fold: &mut dyn FnMut(LogTime, Record, Place),
    ) -> Result<Self, OpenError> {
        let mut survey = Self::default();
        let mark = survey.read_mark(directory)?;
        let last_run = LastRun::of(mark.as_ref(), boot_id);
        let ids = survey.list(directory, mark.as_ref())?;
        let mut surveyor = Surveyor {
            scan: Scan::new(directory, &last_run, fold),
            survey: &mut survey,
            has_gap: false,
        };
        surveyor.segments(&ids, mark.as_ref())?;
        let last = surveyor.scan.next.map_or(0, |next| next - 1);
        let time = surveyor.scan.time;
        survey.is_lossy = last_run.is_lossy(last) && !(mark.is_none() && last == 0);
        survey.time = time.max(mark.as_ref().map_or(0, |mark| mark.time));
        Ok(survey)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn read_mark(&mut self, directory: &dyn Directory) -> Result<Option<Mark>, OpenError> {
        let blame = Blame(directory);
        let mark = match Mark::read(directory) {
            Ok(mark) => mark,
            Err(BadMark::Newer { found }) => return Err(blame.newer(mark::FILE_NAME, found)),
            Err(BadMark::Io(error)) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(blame.io(mark::FILE_NAME)(error));
            }
            Err(BadMark::Damaged | BadMark::Io(_)) => {
                let reason = "its checksum or a field is wrong";
                self.report(mark::FILE_NAME, 0..0, reason);
                None
            }
        };
        self.ending = mark.as_ref().map(|mark| Ending {
            was_clean: mark.is_stopped,
            is_relaxed: mark.is_relaxed,
            boot_id: mark.boot_id.clone(),
            time: mark.time,
        });
        Ok(mark)
    }

    /// The segments that are there and needed, ascending.
    fn list(
        &mut self,
        directory: &dyn Directory,
        mark: Option<&Mark>,
    ) -> Result<Vec<u32>, OpenError> {
        let names = directory.list().map_err(Blame(directory).io(""))?;
        let oldest = mark.map_or(0, |mark| mark.oldest);
        let mut ids = Vec::new();
        for name in names {
            match id_of(&name) {
                Some(id) if id >= oldest => ids.push(id),
                None if !is_unfinished(&name) => {}
                _ => self.leftovers.push(name),
            }
        }
        ids.sort_unstable();
        self.leftovers.sort_unstable();
        Ok(ids)
    }

    fn report(&mut self, file: &str, bytes: Range<u64>, reason: &'static str) {
        self.problems.push(Problem {
            file: file.to_owned(),
            bytes,
            reason,
            groups_lost: 0,
            affected: Vec::new(),
        });
    }
}

/// Reads on where opening would stop.
struct Surveyor<'a, 'b> {
    scan: Scan<'a>,
    survey: &'b mut Survey,
    /// Whether it has been told that groups are missing in front of the next segment.
    has_gap: bool,
}

impl Surveyor<'_, '_> {
    fn segments(&mut self, ids: &[u32], mark: Option<&Mark>) -> Result<(), OpenError> {
        let first = mark.map(|mark| mark.oldest).or(ids.first().copied());
        let mut expected = first.unwrap_or(0);
        if expected == 0 {
            self.scan.next = Some(1);
        }
        for (index, &id) in ids.iter().enumerate() {
            if id > expected {
                self.missing(expected);
            }
            self.segment(id, index + 1 == ids.len())?;
            expected = id.saturating_add(1);
        }
        if mark.is_some() && ids.is_empty() {
            self.missing(expected);
        }
        if let Some(durable) = mark.map(|mark| mark.sequence)
            && self.next() <= durable
        {
            self.skip_to(durable + 1);
        }
        Ok(())
    }

    fn missing(&mut self, id: u32) {
        self.survey.report(&file_name(id), 0..0, "it is missing");
        self.has_gap = true;
    }

    /// The sequence number of the next group.
    fn next(&self) -> u64 {
        self.scan.next.unwrap_or(1)
    }

    /// Notes that the groups before `sequence` are lost, by what was reported last.
    fn skip_to(&mut self, sequence: u64) {
        let lost = sequence.saturating_sub(self.next());
        if let Some(problem) = self.survey.problems.last_mut() {
            problem.groups_lost += lost;
        }
        self.scan.next = Some(sequence);
    }

    fn segment(&mut self, id: u32, is_newest: bool) -> Result<(), OpenError> {
        let name = file_name(id);
        if !self.load(&name)? {
            self.has_gap = true;
            return Ok(());
        }
        let summary = SegmentSummary {
            id,
            bytes: self.used() as u64,
            groups: 0,
            begun: None,
        };
        self.survey.segments.push(summary);
        let Some(header) = self.header(id, &name)? else {
            self.has_gap = true;
            return Ok(());
        };
        if self.scan.next.is_none() {
            self.scan.next = Some(header.first);
        }
        if self.next() != header.first && !(self.has_gap && self.next() < header.first) {
            let reason = "it does not follow the segment before it";
            self.survey.report(&name, 0..HEADER_BYTES as u64, reason);
        }
        if self.next() < header.first {
            self.skip_to(header.first);
        }
        self.has_gap = false;
        self.scan.time = self.scan.time.max(header.begun);
        self.groups(&name, &header, is_newest);
        Ok(())
    }

    /// Reads the file into memory, with zeros for what the disk cannot read.
    fn load(&mut self, name: &str) -> Result<bool, OpenError> {
        let blame = Blame(self.scan.directory);
        let file = self.scan.directory.open(name).map_err(blame.io(name))?;
        let length = file.len().map_err(blame.io(name))?;
        let Ok(length) = u32::try_from(length) else {
            let reason = "it is larger than any segment";
            self.survey.report(name, 0..length, reason);
            return Ok(false);
        };
        let mut bytes = mem::take(&mut self.scan.bytes);
        bytes.clear();
        bytes.resize(length as usize, 0);
        if file.read_at(&mut bytes, 0).is_err() {
            for (page, start) in bytes.chunks_mut(PAGE_BYTES).zip((0..).step_by(PAGE_BYTES)) {
                if let Err(error) = file.read_at(page, start) {
                    page.fill(0);
                    self.unreadable(name, start..start + page.len() as u64, &error);
                }
            }
        }
        self.scan.bytes = bytes;
        Ok(true)
    }

    fn unreadable(&mut self, name: &str, bytes: Range<u64>, error: &io::Error) {
        const REASON: &str = "the disk cannot read it";
        tracing::debug!(name, ?bytes, %error, "{REASON}");
        if let Some(last) = self.survey.problems.last_mut()
            && last.reason == REASON
            && last.file == name
            && last.bytes.end == bytes.start
        {
            last.bytes.end = bytes.end;
            return;
        }
        self.survey.report(name, bytes, REASON);
    }

    /// Bytes up to the last one that is not zero.
    fn used(&self) -> usize {
        let last = self.scan.bytes.iter().rposition(|byte| *byte != 0);
        last.map_or(0, |last| last + 1)
    }

    /// The segment's head, or what can be known of it otherwise; `None` when that is too little.
    fn header(&mut self, id: u32, name: &str) -> Result<Option<Header>, OpenError> {
        let reason = match Header::decode(&self.scan.bytes) {
            Ok(header) if header.id == id && header.first > 0 => {
                if let Some(summary) = self.survey.segments.last_mut() {
                    summary.begun = Some(header.begun);
                }
                return Ok(Some(header));
            }
            Ok(_) => "it is another segment under this name",
            Err(BadHeader::Damaged) => "it does not begin like a segment",
            Err(BadHeader::Newer { found }) => {
                return Err(Blame(self.scan.directory).newer(name, found));
            }
        };
        let groups = self.scan.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let first = groups.first_chunk().and_then(|salt| {
            let head = Head::read(groups, u32::from_le_bytes(*salt))?;
            head.records(groups).is_some().then_some(head)
        });
        let end = match first {
            Some(_) => HEADER_BYTES,
            None => self.used(),
        };
        self.survey.report(name, 0..end as u64, reason);
        Ok(first.map(|head| Header {
            id,
            first: head.stamp.sequence,
            begun: 0,
            salt: head.salt,
        }))
    }

    /// Reads the groups of the segment in memory, also those behind damage.
    fn groups(&mut self, name: &str, header: &Header, is_newest: bool) {
        let mut from = HEADER_BYTES;
        loop {
            let end = self.scan.groups(header, from);
            if let Some(summary) = self.survey.segments.last_mut() {
                summary.groups += end.groups;
            }
            let rest = &self.scan.bytes[end.at..];
            let next = self.next();
            let reason = match end.reason {
                Some(reason) => reason,
                None if is_newest => {
                    match torn_bytes(rest, header.salt, next, self.scan.last_run) {
                        Ok(torn) => {
                            self.survey.torn_bytes = torn as u64;
                            return self.check_end(name, end.at);
                        }
                        Err(reason) => reason,
                    }
                }
                None if rest.is_empty() => return,
                None => "a group cannot be read",
            };
            let later = groups_behind(rest, header.salt, next).next();
            let damaged = match later {
                Some((start, _)) => end.at..end.at + start,
                None => end.at..self.used().max(end.at),
            };
            let affected = affected(&self.scan.bytes[damaged.clone()]);
            let bytes = damaged.start as u64..damaged.end as u64;
            self.survey.report(name, bytes, reason);
            if let Some(problem) = self.survey.problems.last_mut() {
                problem.affected = affected;
            }
            let Some((start, stamp)) = later else {
                self.has_gap = true;
                return;
            };
            self.skip_to(stamp.sequence);
            from = end.at + start;
        }
    }

    /// Whether the newest segment has every group that was durable.
    fn check_end(&mut self, name: &str, at: usize) {
        if self.next() <= self.scan.last_run.durable {
            let reason = "groups that were on disk are missing";
            self.survey.report(name, at as u64..at as u64, reason);
        }
    }
}

/// Reads records of a log that nobody has open.
pub struct PlaceReader<'a> {
    directory: &'a dyn Directory,
    /// The file that was read last: places come in order, or nearly so.
    open: Option<(u32, Arc<dyn DataFile>)>,
}

impl fmt::Debug for PlaceReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlaceReader")
            .field(&self.directory.path())
            .finish()
    }
}

impl<'a> PlaceReader<'a> {
    /// Of the log in `directory`.
    #[must_use]
    pub const fn new(directory: &'a dyn Directory) -> Self {
        Self {
            directory,
            open: None,
        }
    }

    /// The publication of the record at `place`.
    ///
    /// # Errors
    /// It is not there, or not as it was written.
    pub fn publication(&mut self, place: Place) -> Result<Publication, ReadError> {
        let file = match &self.open {
            Some((segment, file)) if *segment == place.segment => file,
            _ => {
                let file = self.directory.open(&file_name(place.segment));
                let file = file.map_err(ReadError::Io)?;
                &self.open.insert((place.segment, file)).1
            }
        };
        match read_record(&**file, place)? {
            Record::Channel {
                publication: Some(publication),
                ..
            } => Ok(publication),
            _ => Err(ReadError::Corrupt),
        }
    }
}

/// The records of a damaged group that are whole.
fn affected(bytes: &[u8]) -> Vec<Affected> {
    let records = bytes.get(HEAD_BYTES..).unwrap_or_default();
    loose_records(records)
        .filter_map(|record| match Record::decode(record).ok()? {
            Record::Channel {
                channel,
                publication,
                ..
            } => Some(Affected {
                channel,
                offset: publication.map(|publication| publication.offset),
            }),
            Record::Era { .. } => None,
        })
        .take(AFFECTED_MAX)
        .collect()
}
