//! What goes wrong with the simulated disk, and when.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};

/// What is asked of a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// [`Directory::list`](crate::store::Directory::list).
    List,
    /// [`Directory::open`](crate::store::Directory::open).
    Open,
    /// [`Directory::create`](crate::store::Directory::create).
    Create,
    /// [`Directory::rename`](crate::store::Directory::rename).
    Rename,
    /// [`Directory::remove`](crate::store::Directory::remove).
    Remove,
    /// [`Directory::sync`](crate::store::Directory::sync).
    SyncNames,
    /// [`DataFile::read_at`](crate::store::DataFile::read_at).
    Read,
    /// [`DataFile::write_at`](crate::store::DataFile::write_at).
    Write,
    /// [`DataFile::sync_data`](crate::store::DataFile::sync_data).
    SyncBytes,
    /// [`DataFile::set_len`](crate::store::DataFile::set_len).
    SetLength,
}

impl Operation {
    /// Those that change what is on the disk.
    pub const CHANGES: [Self; 7] = [
        Self::Create,
        Self::Rename,
        Self::Remove,
        Self::SyncNames,
        Self::Write,
        Self::SyncBytes,
        Self::SetLength,
    ];

    /// Whether it changes what is on the disk.
    #[must_use]
    pub fn is_change(self) -> bool {
        Self::CHANGES.contains(&self)
    }
}

#[derive(Default)]
pub(super) struct Faults {
    /// What fails, after how many more of its kind, and how.
    planned: Vec<(Operation, usize, ErrorKind)>,
    pub(super) is_read_only: bool,
    pub(super) is_off: bool,
    /// What waits until it is released.
    pub(super) held: BTreeSet<Operation>,
}

impl Faults {
    pub(super) fn plan(&mut self, operation: Operation, after: usize, error: ErrorKind) {
        self.planned.push((operation, after, error));
    }

    pub(super) fn forget(&mut self) {
        self.planned.clear();
    }

    /// What becomes of an operation that begins now.
    pub(super) fn of(&mut self, operation: Operation) -> io::Result<()> {
        if self.is_off {
            return Err(io::Error::other("the machine is off"));
        }
        if self.is_read_only && operation.is_change() {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let mut failure = None;
        self.planned.retain_mut(|(planned, after, error)| {
            let is_now = *planned == operation && *after == 0;
            if is_now {
                failure = Some(*error);
            } else if *planned == operation {
                *after -= 1;
            }
            !is_now
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}
