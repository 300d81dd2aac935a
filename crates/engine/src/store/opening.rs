//! Opening a log: which files belong to it, what is in them, and whether that is all there was.
//!
//! It owns the order of the steps. Nothing is changed before every segment has been read and found
//! whole ([`super::scan`] judges that); then the newest one is put on disk again if the last run did
//! not end well, and the mark says that the log is in use.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use super::directory::{Directory, is_full};
use super::log::{Log, LogOptions, Tail};
use super::mark::{self, BadMark, Mark};
use super::record::{LogTime, Place, Record};
use super::scan::{LastRun, Newest, Scan};
use super::segment::{self, FORMAT, Fresh, HEADER_BYTES, Header, Segment, file_name, id_of};
use super::segments::{Running, Segments};

/// What was found when a log was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The log's time now: the wall clock's, or the log's last time where that is later.
    pub now: LogTime,
    /// Whether something may be lost that the last run had acknowledged, without more being known.
    /// Said at every opening until a group has followed.
    pub is_lossy: bool,
    /// Whether the log was closed, or is new.
    pub was_clean: bool,
    /// Bytes of an unfinished write at the end, which are dropped.
    pub torn_bytes: u64,
    /// How far the wall clock is behind the log's time.
    pub clock_went_back: Option<Duration>,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes that they use.
    pub bytes: u64,
}

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The operating system refused something.
    Io {
        /// What it was about.
        file: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A newer version of Campanile has written it.
    NewerFormat {
        /// Where that shows.
        file: PathBuf,
        /// The file's format.
        found: u32,
        /// The newest one that this version reads.
        known: u32,
    },
    /// A segment is not there.
    Missing {
        /// Which.
        file: PathBuf,
    },
    /// Something that was on disk is not there, or not as it was written.
    Corrupt {
        /// Where.
        file: PathBuf,
        /// From which byte on.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, error } => write!(f, "cannot use {}: {error}", file.display()),
            Self::NewerFormat { file, found, known } => write!(
                f,
                "{} has format {found}, and this version reads formats up to {known}; \
                 start the version that wrote it, or a newer one",
                file.display()
            ),
            Self::Missing { file } => {
                write!(f, "{} is missing; {}", file.display(), Advice(file))
            }
            Self::Corrupt {
                file,
                offset,
                reason,
            } => write!(
                f,
                "{} is damaged at byte {offset}: {reason}; {}",
                file.display(),
                Advice(file)
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// What to do about a file that is not as it was.
struct Advice<'a>(&'a Path);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.0.parent().unwrap_or(self.0).display();
        write!(
            f,
            "run `campanile data verify {directory}` to see what is affected"
        )
    }
}

/// Makes errors that name a file of the directory.
#[derive(Clone, Copy)]
pub(super) struct Blame<'a>(pub(super) &'a dyn Directory);

impl Blame<'_> {
    pub(super) fn io(self, name: &str) -> impl FnOnce(io::Error) -> OpenError {
        let file = self.0.path().join(name);
        move |error| OpenError::Io { file, error }
    }

    pub(super) fn corrupt(self, name: &str, offset: usize, reason: &'static str) -> OpenError {
        OpenError::Corrupt {
            file: self.0.path().join(name),
            offset: offset as u64,
            reason,
        }
    }

    pub(super) fn newer(self, name: &str, found: u32) -> OpenError {
        OpenError::NewerFormat {
            file: self.0.path().join(name),
            found,
            known: FORMAT,
        }
    }
}

pub(super) fn open(
    directory: Arc<dyn Directory>,
    options: LogOptions,
    wall_now: LogTime,
    fold: &mut dyn FnMut(LogTime, Record, Place),
) -> Result<(Log, Opening), OpenError> {
    let boot_id = mark::plausible(options.boot_id);
    let segment_bytes = options.segment_bytes.min(u64::from(u32::MAX));
    let last_mark = read_mark(&*directory)?;
    let last_run = LastRun::of(last_mark.as_ref(), boot_id.as_deref());
    let files = Files::survey(&*directory, last_mark.as_ref())?;

    let mut list = VecDeque::with_capacity(files.segments.len() + 1);
    let newest = match files.segments.split_last() {
        None => None,
        Some((&newest, older)) => {
            let mut scan = Scan::new(&*directory, &last_run, fold);
            for &id in older {
                list.push_back(Arc::new(scan.older(id)?));
            }
            Some(scan.newest(newest)?)
        }
    };
    let end = newest.as_ref().map_or(End::default(), End::of);
    let last_time = end.time.max(last_mark.as_ref().map_or(0, |mark| mark.time));
    let now = wall_now.max(last_time);

    files.remove_leftovers(&*directory)?;
    let tail = match newest {
        Some(newest) if last_run.was_clean => reuse(newest, segment_bytes),
        Some(newest) => restore(&*directory, &newest, segment_bytes)?,
        None => begin(&*directory, segment_bytes, now)?,
    };
    list.push_back(Arc::clone(&tail.segment));

    // Nothing is acknowledged before there is a mark.
    let is_new = last_mark.is_none() && end.sequence == 0;
    let opening = Opening {
        now,
        is_lossy: last_run.is_lossy(end.sequence) && !is_new,
        was_clean: last_run.was_clean || is_new,
        torn_bytes: end.torn_bytes,
        clock_went_back: Some(Duration::from_millis(now - wall_now)).filter(|d| !d.is_zero()),
        segments: list.len(),
        bytes: list.iter().map(|segment| segment.used()).sum(),
    };
    let mark = Mark {
        is_stopped: false,
        is_relaxed: options.is_relaxed,
        is_lossy: opening.is_lossy,
        boot_id,
        oldest: list.front().map_or(0, |segment| segment.id),
        sequence: end.sequence,
        time: now,
    };
    let blame = Blame(&*directory);
    mark.write(&*directory).map_err(blame.io(mark::FILE_NAME))?;
    let running = Running {
        mark,
        opened_at: end.sequence,
    };
    let segments = Segments::new(Arc::clone(&directory), list, running);
    Ok((
        Log::new(directory, segment_bytes, segments, tail, now),
        opening,
    ))
}

/// What a log ends with; by default, a new one.
#[derive(Default)]
struct End {
    sequence: u64,
    time: LogTime,
    torn_bytes: u64,
}

impl End {
    fn of(newest: &Newest) -> Self {
        Self {
            sequence: newest.sequence,
            time: newest.time,
            torn_bytes: newest.torn_bytes,
        }
    }
}

fn read_mark(directory: &dyn Directory) -> Result<Option<Mark>, OpenError> {
    let blame = Blame(directory);
    Mark::read(directory).map_err(|error| match error {
        BadMark::Io(error) => blame.io(mark::FILE_NAME)(error),
        BadMark::Damaged => blame.corrupt(mark::FILE_NAME, 0, "its checksum or a field is wrong"),
        BadMark::Newer { found } => blame.newer(mark::FILE_NAME, found),
    })
}

/// The files of the directory that are ours.
struct Files {
    /// Contiguous numbers.
    segments: Vec<u32>,
    /// Segments that have been removed as far as the mark knows, and files that were not finished.
    leftovers: Vec<String>,
}

impl Files {
    fn survey(directory: &dyn Directory, mark: Option<&Mark>) -> Result<Self, OpenError> {
        let blame = Blame(directory);
        let names = directory.list().map_err(blame.io(""))?;
        let mut files = Self {
            segments: names.iter().filter_map(|name| id_of(name)).collect(),
            leftovers: names
                .into_iter()
                .filter(|name| is_unfinished(name))
                .collect(),
        };
        files.segments.sort_unstable();
        if let Some(mark) = mark {
            let needed = files.segments.partition_point(|id| *id < mark.oldest);
            let removed = files.segments.drain(..needed);
            files.leftovers.extend(removed.map(file_name));
        }
        // Nobody but the mark can tell an oldest segment that was removed from one that is missing.
        let first = mark.map_or_else(
            || files.segments.first().copied().unwrap_or(0),
            |mark| mark.oldest,
        );
        let mut numbered = files.segments.iter().zip(first..=u32::MAX);
        let gap = numbered.find_map(|(id, expected)| (*id != expected).then_some(expected));
        // A log with a mark has a segment.
        let none = (mark.is_some() && files.segments.is_empty()).then_some(first);
        if let Some(missing) = gap.or(none) {
            return Err(OpenError::Missing {
                file: directory.path().join(file_name(missing)),
            });
        }
        Ok(files)
    }

    fn remove_leftovers(&self, directory: &dyn Directory) -> Result<(), OpenError> {
        if self.leftovers.is_empty() {
            return Ok(());
        }
        // The mark that they are judged by may be one that a power cut would undo.
        directory.sync().map_err(Blame(directory).io(""))?;
        for name in &self.leftovers {
            directory.remove(name).map_err(Blame(directory).io(name))?;
        }
        Ok(())
    }
}

/// Whether the file is one of ours that has not got its name.
pub(super) fn is_unfinished(name: &str) -> bool {
    segment::finished(name).is_some_and(|name| name == mark::FILE_NAME || id_of(name).is_some())
}

/// Goes on in the newest segment as it is: it is durable, and ends where it should.
fn reuse(newest: Newest, segment_bytes: u64) -> Tail {
    let used = newest.content.len() as u64;
    Tail {
        segment: Arc::new(Segment::new(
            newest.header.id,
            newest.file,
            used,
            newest.time,
        )),
        salt: newest.header.salt,
        capacity: segment_bytes.max(used),
    }
}

/// Puts the newest segment on disk again. After a failed sync the operating system may show bytes
/// that are in its memory only and that it no longer intends to write.
fn restore(
    directory: &dyn Directory,
    newest: &Newest,
    segment_bytes: u64,
) -> Result<Tail, OpenError> {
    let id = newest.header.id;
    let content = &newest.content;
    let replaced = match segment::replace(directory, id, content, segment_bytes) {
        // What is there must be readable on a full disk too.
        Err(error) if is_full(&error) => rewrite(newest),
        other => other,
    };
    named(
        directory,
        replaced,
        &newest.header,
        newest.time,
        content.len(),
    )
}

/// The same in its place, which gives room back instead of taking some. Whatever comes in between, a
/// byte is overwritten with itself.
fn rewrite(newest: &Newest) -> io::Result<Fresh> {
    let capacity = newest.content.len() as u64;
    newest.file.write_at(&newest.content, 0)?;
    newest.file.set_len(capacity)?;
    newest.file.sync_data()?;
    Ok(Fresh {
        file: Arc::clone(&newest.file),
        capacity,
    })
}

/// Begins a log.
fn begin(directory: &dyn Directory, segment_bytes: u64, now: LogTime) -> Result<Tail, OpenError> {
    let header = Header::new(0, 1, now);
    let created = segment::create(directory, &header, segment_bytes);
    named(directory, created, &header, now, HEADER_BYTES)
}

fn named(
    directory: &dyn Directory,
    fresh: io::Result<Fresh>,
    header: &Header,
    last_time: LogTime,
    used: usize,
) -> Result<Tail, OpenError> {
    let blame = Blame(directory);
    let name = file_name(header.id);
    let fresh = fresh.map_err(blame.io(&name))?;
    directory.sync().map_err(blame.io(&name))?;
    Ok(Tail {
        segment: Arc::new(Segment::new(header.id, fresh.file, used as u64, last_time)),
        salt: header.salt,
        capacity: fresh.capacity,
    })
}
