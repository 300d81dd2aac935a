//! The file layer: one flat directory of files.
//!
//! Everything that the store does to a disk goes through these two traits, so that a test can put a
//! disk underneath that fails, fills up, or forgets what was not synced. It knows names, bytes and
//! offsets; it refuses to know what is in a file.
//!
//! What is promised after a power cut, and what the store must therefore not rely on otherwise:
//! bytes of a file survive once [`DataFile::sync_data`] has returned, in any order before that;
//! names (created, renamed, removed) survive once [`Directory::sync`] has returned.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;

/// A flat directory that one store owns.
pub trait Directory: Send + Sync + 'static {
    /// The names of all files in it, in no order.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens the file `name` for reading and writing.
    ///
    /// # Errors
    /// The disk's; [`ErrorKind::NotFound`] when there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>>;

    /// Creates the empty file `name` with `reserved` bytes of zeros at its beginning, for which the
    /// disk has set room aside where it can. A file of that name is replaced.
    ///
    /// # Errors
    /// The disk's; [`ErrorKind::StorageFull`] when it has no such room, and then there is no file.
    fn create(&self, name: &str, reserved: u64) -> io::Result<Arc<dyn DataFile>>;

    /// Gives file `from` the name `to`, in place of whatever had it.
    ///
    /// # Errors
    /// The disk's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the file `name`. Who has it open can still read it.
    ///
    /// # Errors
    /// The disk's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// The disk's.
    fn sync(&self) -> io::Result<()>;

    /// Lets another store have the directory from here on. This one touches it no more.
    fn release(&self) {}

    /// Where it is, for messages to people.
    fn path(&self) -> &Path;
}

/// An open file.
pub trait DataFile: Send + Sync + 'static {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// The disk's; [`ErrorKind::UnexpectedEof`] when the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The disk's; any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// The disk's. Nothing is known then of what was written since the last success, not even by
    /// trying again.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// The disk's.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The disk's.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// The disk's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The file whose lock says that the directory is taken. Never removed: a lock on a file that has
/// lost its name would protect nobody.
pub(super) const LOCK_FILE: &str = "lock";

/// A directory of this machine, locked until it is released or dropped.
#[derive(Debug)]
pub struct OsDirectory {
    path: PathBuf,
    /// Opened once: what is synced is the directory that was locked.
    handle: File,
    lock: File,
}

/// Why a directory could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it, or another store of this one.
    InUse,
    /// The operating system refused something.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl OsDirectory {
    /// Creates the directory at `path` where there is none, readable for its owner only, and locks
    /// it against everybody else, in this process and in others.
    ///
    /// # Errors
    /// Somebody else has it, or the operating system refused.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        let is_new = !path.exists();
        if is_new {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(path)?;
        }
        let path = path.canonicalize()?;
        if is_new && let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let lock = options.open(path.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::InUse),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let handle = File::open(&path)?;
        Ok(Self { path, handle, lock })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Directory for OsDirectory {
    fn list(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str, reserved: u64) -> io::Result<Arc<dyn DataFile>> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&path)?;
        if let Err(error) = reserve(&file, reserved) {
            drop(file);
            // Better no file than one without room; if it cannot be removed either, the first error
            // says more.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn release(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the data directory stays locked until nobody holds its broker");
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The files of a store's directory, without the lock.
pub(super) fn names(path: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(path)?.map(|entry| {
        let name = entry?.file_name().into_string();
        // Whatever is no text is none of ours.
        Ok(name.ok().filter(|name| name != LOCK_FILE))
    });
    names.filter_map(Result::transpose).collect()
}

/// Extends `file` by `bytes` of zeros. Where the file system cannot set room aside, a write that
/// finds none fails later.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let fallocate = || rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes);
    match rustix::io::retry_on_intr(fallocate) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes),
        Err(error) => Err(error.into()),
    }
}

impl DataFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Whether the disk, or what its owner may use of it, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
