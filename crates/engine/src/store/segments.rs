//! The side of an open log that threads share: reading, syncing, removing.
//!
//! It owns the list of segments and what is known to be durable. It refuses to know how groups get
//! into them; that is [`Log`](super::Log), of which there is one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::{fmt, io};

use super::directory::{DataFile, Directory};
use super::group::only_record;
use super::log::AppendError;
use super::mark::{self, Mark};
use super::record::{LogTime, Place, Record};
use super::segment::{Segment, file_name};

/// Why a record could not be read back.
#[derive(Debug)]
pub enum ReadError {
    /// The disk's.
    Io(io::Error),
    /// What is there is not what was written.
    Corrupt,
    /// Its segment has been removed.
    Gone,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the publication log: {error}"),
            Self::Corrupt => f.write_str("a record of the publication log is damaged"),
            Self::Gone => f.write_str("the record's segment has been removed"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The segments of an open log. Their numbers are contiguous, and there is always one.
pub struct Segments {
    directory: Arc<dyn Directory>,
    list: RwLock<VecDeque<Arc<Segment>>>,
    bytes: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    /// Held during every sync: the operating system tells of a failure once, and who comes next must
    /// not take the silence afterwards for success.
    syncing: Mutex<()>,
    has_failed: AtomicBool,
    mark: Mutex<Running>,
}

/// Reads the record at `place` of its segment's file.
pub(super) fn read_record(file: &dyn DataFile, place: Place) -> Result<Record, ReadError> {
    let length = usize::try_from(place.length).map_err(|_| ReadError::Corrupt)?;
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, u64::from(place.offset))
        .map_err(ReadError::Io)?;
    let record = only_record(&bytes).ok_or(ReadError::Corrupt)?;
    Record::decode(record).map_err(|_| ReadError::Corrupt)
}

/// What the mark says while the log is open.
pub(super) struct Running {
    pub(super) mark: Mark,
    /// The last sequence number at opening: nobody was told of a loss before something follows it.
    pub(super) opened_at: u64,
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("oldest", &self.oldest())
            .field("newest", &self.newest())
            .field("written", &self.written())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

impl Segments {
    /// Of segments that are durable, all of them.
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        list: VecDeque<Arc<Segment>>,
        running: Running,
    ) -> Self {
        let durable = running.opened_at;
        Self {
            directory,
            bytes: AtomicU64::new(list.iter().map(|segment| segment.used()).sum()),
            list: RwLock::new(list),
            written: AtomicU64::new(durable),
            synced: AtomicU64::new(durable),
            syncing: Mutex::new(()),
            has_failed: AtomicBool::new(false),
            mark: Mutex::new(running),
        }
    }

    /// Reads the record at `place`.
    ///
    /// # Errors
    /// It is not there any more, or not as it was written.
    pub fn read(&self, place: Place) -> Result<Record, ReadError> {
        let segment = self.segment(place.segment).ok_or(ReadError::Gone)?;
        let end = u64::from(place.offset) + u64::from(place.length);
        if end > segment.used() {
            return Err(ReadError::Corrupt);
        }
        read_record(&*segment.file, place)
    }

    /// Bytes that all segments use, without what is only reserved.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// The oldest segment.
    #[must_use]
    pub fn oldest(&self) -> u32 {
        let list = self.list();
        list.front().expect("there is always one").id
    }

    /// The newest segment, the one that is written to.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.newest_segment().id
    }

    /// The time of the segment's last group, or of its beginning while it has none; `None` when it
    /// is not there.
    #[must_use]
    pub fn last_time(&self, segment: u32) -> Option<LogTime> {
        self.segment(segment).map(|segment| segment.last_time())
    }

    /// The newest sequence number that was written; 0 before the first.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The newest sequence number that is known to be durable; 0 before the first.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Makes durable what has been written, and says up to which sequence number.
    ///
    /// # Errors
    /// The disk's. From then on this and every append fails, since nobody can say what is on disk.
    pub fn sync(&self) -> io::Result<u64> {
        let _turn = self.syncing();
        // In this order: what is written until here is in this newest segment, or in older ones that
        // were synced before it became the newest.
        let sequence = self.written();
        let newest = self.newest_segment();
        self.noting_failure(|| newest.file.sync_data())?;
        self.synced.store(sequence, Ordering::Release);
        Ok(sequence)
    }

    /// Cuts the newest segment at its end and makes all that was written durable; for the only writer.
    pub(super) fn finish(&self, newest: &Segment) -> Result<(), AppendError> {
        let _turn = self.syncing();
        self.check().map_err(AppendError::Sync)?;
        // First the cut, so that one sync is for both.
        newest
            .file
            .set_len(newest.used())
            .map_err(AppendError::Write)?;
        self.noting_failure(|| newest.file.sync_data())
            .map_err(AppendError::Sync)?;
        self.synced.store(self.written(), Ordering::Release);
        Ok(())
    }

    /// Does what makes something durable, unless that has failed before. For who holds the turn.
    fn noting_failure(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        sync().inspect_err(|_| {
            self.has_failed.store(true, Ordering::Release);
            self.disown_boot();
        })
    }

    /// Lets the next opening trust this boot no more than another one: what the system could not write
    /// it may have forgotten, though the machine stays up. A disk that fails may refuse this too.
    fn disown_boot(&self) {
        let mut running = self.running();
        running.mark.boot_id = None;
        let written = self.current_mark(&running).write(&*self.directory);
        if written.is_err() && running.mark.is_relaxed {
            // Without a mark the worst is assumed, and a name goes where no byte can be written. What
            // a run that synced had acknowledged is not worth new epochs.
            let _ = self.directory.remove(mark::FILE_NAME);
        }
    }

    /// An error once a sync has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "an earlier sync failed, and what is on disk is not known until a restart",
            ));
        }
        Ok(())
    }

    /// Gives the directory away. To be called when nothing writes any more.
    pub(crate) fn release(&self) {
        self.directory.release();
    }

    /// Makes the names of the directory durable.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        let _turn = self.syncing();
        self.noting_failure(|| self.directory.sync())
    }

    /// Removes the oldest segment, unless it is the newest one too. What is still needed of it must
    /// be durable in newer ones.
    ///
    /// # Errors
    /// The disk's. The segment may be gone nevertheless; else it goes at the next opening.
    pub fn remove_oldest(&self) -> io::Result<()> {
        self.check()?;
        let mut running = self.running();
        let Some(next) = self.list().get(1).map(|segment| segment.id) else {
            return Ok(());
        };
        // Without this, a missing segment could be one that somebody else removed.
        let mut mark = self.current_mark(&running);
        mark.oldest = next;
        mark.write(&*self.directory)?;
        running.mark = mark;

        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let removed = list.pop_front();
        drop(list);
        if let Some(removed) = removed {
            self.bytes.fetch_sub(removed.used(), Ordering::AcqRel);
            self.directory.remove(&file_name(removed.id))?;
        }
        self.directory.sync()
    }

    /// The mark as it is now, with `running` held.
    pub(super) fn current_mark(&self, running: &Running) -> Mark {
        let mut mark = running.mark.clone();
        mark.sequence = self.synced();
        mark.is_lossy = mark.is_lossy && mark.sequence == running.opened_at;
        mark.time = mark.time.max(self.newest_segment().last_time());
        mark
    }

    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a group in the newest segment; for the only writer.
    pub(super) fn note_written(&self, segment: &Segment, bytes: u64, sequence: u64, time: LogTime) {
        segment.extend(bytes, time);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.written.store(sequence, Ordering::Release);
    }

    /// Adds a newest segment; all others are durable.
    pub(super) fn push(&self, segment: Arc<Segment>) {
        self.bytes.fetch_add(segment.used(), Ordering::AcqRel);
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push_back(segment);
    }

    fn newest_segment(&self) -> Arc<Segment> {
        let list = self.list();
        Arc::clone(list.back().expect("there is always one"))
    }

    fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        let list = self.list();
        let index = id.checked_sub(list.front()?.id)?;
        list.get(usize::try_from(index).ok()?).map(Arc::clone)
    }

    fn list(&self) -> RwLockReadGuard<'_, VecDeque<Arc<Segment>>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn syncing(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
