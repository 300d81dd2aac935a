//! A directory that nobody writes to: neither a server, which would hold its lock, nor we.
//!
//! It owns that guarantee, also on a file system that could not be written. What is read through it
//! is the store's.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{DataFile, Directory, LOCK_FILE, LockError, names};

/// A directory of this machine that can be read only. Locked for as long as this lives, unless there
/// is no lock in it: then it is a copy that no server has been started on.
#[derive(Debug)]
pub struct StoppedDirectory {
    path: PathBuf,
    _lock: Option<File>,
}

impl StoppedDirectory {
    /// Locks the directory at `path` against servers, and creates nothing.
    ///
    /// # Errors
    /// Another process has it, or the operating system refused; also when there is no directory.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        let path = path.canonicalize()?;
        if !path.is_dir() {
            return Err(LockError::Io(ErrorKind::NotADirectory.into()));
        }
        let lock = match File::open(path.join(LOCK_FILE)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        match lock.as_ref().map(File::try_lock) {
            None | Some(Ok(())) => {}
            Some(Err(TryLockError::WouldBlock)) => return Err(LockError::InUse),
            Some(Err(TryLockError::Error(error))) => return Err(error.into()),
        }
        Ok(Self { path, _lock: lock })
    }
}

fn refused<T>() -> io::Result<T> {
    Err(ErrorKind::ReadOnlyFilesystem.into())
}

impl Directory for StoppedDirectory {
    fn list(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    /// The file can only be read.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }

    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn DataFile>> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
