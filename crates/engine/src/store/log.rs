//! The log while it is open: appending groups, beginning segments, closing.
//!
//! It owns the end of the newest segment, and there is one of it. It never makes a group durable by
//! itself, except that every segment is durable before the next one begins. What threads share is in
//! [`Segments`]; how a log is opened is in [`super::opening`].

use std::sync::Arc;
use std::{fmt, io};

use super::directory::{Directory, is_full};
use super::group::{Group, Slot, Stamp};
use super::record::{LogTime, Place, Record};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::segments::Segments;
use super::{OpenError, Opening};

/// How a log is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// Bytes that are reserved for a segment; a group that is larger gets a segment of its own size.
    /// At most 4 GiB.
    pub segment_bytes: u64,
    /// Whether groups count as published before they are durable.
    pub is_relaxed: bool,
    /// What names this boot of the machine: within one, what was written survives the end of the
    /// process. `None` when that is not known.
    pub boot_id: Option<String>,
}

/// An open log.
pub struct Log {
    directory: Arc<dyn Directory>,
    segment_bytes: u64,
    segments: Arc<Segments>,
    tail: Tail,
    /// Of the last group.
    sequence: u64,
    time: LogTime,
    /// Whether a failed write may have left bytes behind the end.
    is_soiled: bool,
    /// Whether there is a spare.
    has_spare: bool,
}

/// The file that keeps some room on the disk for [`Log::append_upkeep`]. What is in it means nothing.
const SPARE_FILE: &str = "spare";

/// Bytes of the spare, at most: enough for some marks and some groups of compaction.
const SPARE_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of a segment that is begun on a full disk, at most: a piece of the spare.
const SCANTY_SEGMENT_BYTES_MAX: u64 = 64 * 1024;

/// The segment that is written to.
pub(super) struct Tail {
    pub(super) segment: Arc<Segment>,
    pub(super) salt: u32,
    /// How long it may become.
    pub(super) capacity: u64,
}

/// A group that has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The segment that it is in.
    pub segment: u32,
    /// Where it begins in the segment's file.
    pub base: u32,
    /// Its sequence number.
    pub sequence: u64,
}

impl Appended {
    /// Where the record is that had this slot in the group.
    #[must_use]
    pub const fn place(&self, slot: Slot) -> Place {
        Place {
            segment: self.segment,
            offset: self.base + slot.offset,
            length: slot.length,
        }
    }
}

/// Why a group was not appended.
#[derive(Debug)]
pub enum AppendError {
    /// Writing failed, and the log is as it was: the same group can be appended again.
    Write(io::Error),
    /// Making something durable failed, so that nobody can say what is on disk. Nothing can be
    /// appended until the log is opened again.
    Sync(io::Error),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => write!(f, "cannot write the publication log: {error}"),
            Self::Sync(error) => write!(f, "cannot make the publication log durable: {error}"),
        }
    }
}

impl std::error::Error for AppendError {}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("segments", &self.segments)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `directory`, or begins one where there is none, and gives `fold` every record
    /// with the time of its group, in the order they were written.
    ///
    /// # Errors
    /// It cannot be opened without losing what may have been promised. What `fold` was given is then
    /// worth nothing, and no file was changed.
    pub fn open(
        directory: Arc<dyn Directory>,
        options: LogOptions,
        wall_now: LogTime,
        fold: &mut dyn FnMut(LogTime, Record, Place),
    ) -> Result<(Self, Opening), OpenError> {
        super::opening::open(directory, options, wall_now, fold)
    }

    pub(super) fn new(
        directory: Arc<dyn Directory>,
        segment_bytes: u64,
        segments: Segments,
        tail: Tail,
        time: LogTime,
    ) -> Self {
        Self {
            directory,
            segment_bytes,
            sequence: segments.written(),
            segments: Arc::new(segments),
            tail,
            time,
            is_soiled: false,
            has_spare: false,
        }
    }

    /// Sees to it that there is room for what a publish may need: in the newest segment or in a new
    /// one, and for a spare. For a log that found a full disk.
    ///
    /// # Errors
    /// There is no such room, or something else is wrong.
    pub fn make_room(&mut self) -> Result<(), AppendError> {
        self.segments.check().map_err(AppendError::Sync)?;
        self.keep_spare().map_err(AppendError::Write)?;
        let left = self.tail.capacity - self.tail.segment.used().min(self.tail.capacity);
        if left < self.segment_bytes / 2 {
            self.clean().map_err(AppendError::Write)?;
            self.roll(0, self.time, self.segment_bytes)?;
        }
        Ok(())
    }

    /// Sees to it that there is a spare.
    ///
    /// # Errors
    /// There is no room for it, or something else is wrong.
    pub fn keep_spare(&mut self) -> io::Result<()> {
        if !self.has_spare {
            let bytes = SPARE_BYTES_MAX.min(4 * self.segment_bytes);
            self.directory.create(SPARE_FILE, bytes)?;
            self.has_spare = true;
        }
        Ok(())
    }

    /// Like [`Log::append`], for what is written to make room: on a full disk it takes the spare.
    ///
    /// # Errors
    /// The group is not in the log.
    pub fn append_upkeep(
        &mut self,
        group: &mut Group,
        now: LogTime,
    ) -> Result<Appended, AppendError> {
        match self.append(group, now) {
            Err(AppendError::Write(error)) if is_full(&error) => {
                if std::mem::take(&mut self.has_spare) {
                    let removed = self.directory.remove(SPARE_FILE);
                    removed.map_err(AppendError::Write)?;
                }
                let length = group.len() as u64;
                if self.tail.segment.used() + length > self.tail.capacity {
                    let bytes = SCANTY_SEGMENT_BYTES_MAX.min(self.segment_bytes / 2);
                    self.roll(length, now.max(self.time), bytes)?;
                }
                self.append(group, now)
            }
            outcome => outcome,
        }
    }

    /// What threads share of it.
    #[must_use]
    pub const fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Writes `group` to the end with one write, and gives it the next sequence number. The group
    /// stays as it is. Its time is `now`, or that of the group before where that is later.
    ///
    /// # Errors
    /// The group is not in the log.
    pub fn append(&mut self, group: &mut Group, now: LogTime) -> Result<Appended, AppendError> {
        self.segments.check().map_err(AppendError::Sync)?;
        self.clean().map_err(AppendError::Write)?;
        let length = group.len() as u64;
        if HEADER_BYTES as u64 + length > u64::from(u32::MAX) {
            let error = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(AppendError::Write(error));
        }
        let time = now.max(self.time);
        if self.tail.segment.used() + length > self.tail.capacity {
            self.roll(length, time, self.segment_bytes)?;
        }
        let segment = &self.tail.segment;
        let base = segment.used();
        let stamp = Stamp {
            sequence: self.sequence + 1,
            synced: self.segments.synced(),
            time,
        };
        let outcome = group.framed(self.tail.salt, stamp, |bytes| {
            segment.file.write_at(bytes, base)
        });
        if let Err(error) = outcome {
            self.is_soiled = true;
            // Now rather than later: a group of which all was written must not be found if the
            // process ends. If this fails, it is tried again before the next append.
            let _ = self.clean();
            return Err(AppendError::Write(error));
        }
        self.segments
            .note_written(segment, length, stamp.sequence, time);
        self.sequence = stamp.sequence;
        self.time = time;
        Ok(Appended {
            segment: segment.id,
            base: u32::try_from(base).expect("a segment ends below 4 GiB"),
            sequence: stamp.sequence,
        })
    }

    /// Ends the newest segment, durably, and begins the next one, so that everything that was written
    /// until now can be removed.
    ///
    /// # Errors
    /// There is no new segment.
    pub fn begin_segment(&mut self) -> Result<(), AppendError> {
        self.segments.check().map_err(AppendError::Sync)?;
        self.clean().map_err(AppendError::Write)?;
        self.roll(0, self.time, self.segment_bytes)
    }

    /// Makes what is behind the end zeros again, which is what opening takes for an end.
    fn clean(&mut self) -> io::Result<()> {
        if self.is_soiled {
            let Tail {
                segment, capacity, ..
            } = &self.tail;
            segment.file.set_len(segment.used())?;
            self.is_soiled = false;
            // Without it the file grows with each group, which is slower and nothing else.
            let _ = segment.file.set_len(*capacity);
        }
        Ok(())
    }

    /// Ends the newest segment, durably, and begins the next one of about `bytes`, with room for
    /// `length` at least.
    fn roll(&mut self, length: u64, now: LogTime, bytes: u64) -> Result<(), AppendError> {
        self.segments.finish(&self.tail.segment)?;
        let id = self.tail.segment.id.checked_add(1).ok_or_else(|| {
            AppendError::Write(io::Error::other("the log's segments are used up"))
        })?;
        let header = Header::new(id, self.sequence + 1, now);
        let capacity = bytes.max(HEADER_BYTES as u64 + length);
        let fresh =
            segment::create(&*self.directory, &header, capacity).map_err(AppendError::Write)?;
        // From here on its name may be there after a power cut, so that nothing may be appended to the
        // segment before it any more: there is no way back.
        self.segments.sync_names().map_err(AppendError::Sync)?;
        let segment = Segment::new(id, fresh.file, HEADER_BYTES as u64, now);
        self.tail = Tail {
            segment: Arc::new(segment),
            salt: header.salt,
            capacity: fresh.capacity,
        };
        self.segments.push(Arc::clone(&self.tail.segment));
        Ok(())
    }

    /// Makes everything durable and marks the clean stop. A log that is dropped instead is found as
    /// after a crash.
    ///
    /// # Errors
    /// The disk's; the next opening will take it for a crash.
    pub fn close(self, now: LogTime) -> io::Result<()> {
        self.segments
            .finish(&self.tail.segment)
            .map_err(|error| match error {
                AppendError::Write(error) | AppendError::Sync(error) => error,
            })?;
        let mut running = self.segments.running();
        // In what is kept of it too: a segment may still be removed after this, and the mark written
        // again.
        running.mark.is_stopped = true;
        running.mark.time = running.mark.time.max(now);
        if self.has_spare {
            // The next run makes its own; one that stays is only room that is not used.
            let _ = self.directory.remove(SPARE_FILE);
        }
        self.segments.current_mark(&running).write(&*self.directory)
    }
}
