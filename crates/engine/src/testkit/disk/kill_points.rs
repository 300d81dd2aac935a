//! A directory around another one that calls somebody at a chosen operation, who may end the
//! process there or turn the disk off.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Operation;
use crate::store::{DataFile, Directory};

/// Where the call comes.
#[derive(Clone, Copy, Debug)]
pub struct KillPoint {
    /// At an operation of this kind; `None` for any that [changes](Operation::is_change) something.
    pub operation: Option<Operation>,
    /// After so many others of the kind.
    pub after: usize,
    /// On which side of it.
    pub when: When,
}

/// At which moment of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before it is begun.
    Before,
    /// When half of the bytes are written, or reserved. Of what cannot be halved: before.
    Middle,
    /// When it is done, and nobody knows yet.
    After,
}

/// A directory with a [`KillPoint`].
pub struct KillPoints {
    inner: Arc<dyn Directory>,
    trap: Arc<Trap>,
}

struct Trap {
    point: KillPoint,
    seen: AtomicUsize,
    call: Box<dyn Fn() + Send + Sync>,
}

struct KillPointFile {
    inner: Arc<dyn DataFile>,
    trap: Arc<Trap>,
}

impl KillPoints {
    /// `inner` with a call at `point`.
    pub fn new(
        inner: Arc<dyn Directory>,
        point: KillPoint,
        call: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let trap = Trap {
            point,
            seen: AtomicUsize::new(0),
            call: Box::new(call),
        };
        Self {
            inner,
            trap: Arc::new(trap),
        }
    }

    fn wrap(&self, inner: Arc<dyn DataFile>) -> Arc<dyn DataFile> {
        Arc::new(KillPointFile {
            inner,
            trap: Arc::clone(&self.trap),
        })
    }
}

impl Trap {
    fn whole<T>(&self, operation: Operation, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.around(operation, || (), run)
    }

    /// Runs an operation of which `half` does the first part, with the call where it belongs.
    fn around<T>(
        &self,
        operation: Operation,
        half: impl FnOnce(),
        run: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let is_of_kind = match self.point.operation {
            Some(kind) => kind == operation,
            None => operation.is_change(),
        };
        if !is_of_kind || self.seen.fetch_add(1, Relaxed) != self.point.after {
            return run();
        }
        if self.point.when == When::After {
            let outcome = run();
            (self.call)();
            return outcome;
        }
        if self.point.when == When::Middle {
            half();
        }
        (self.call)();
        run()
    }
}

impl Directory for KillPoints {
    fn list(&self) -> io::Result<Vec<String>> {
        self.trap.whole(Operation::List, || self.inner.list())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let file = self.trap.whole(Operation::Open, || self.inner.open(name));
        Ok(self.wrap(file?))
    }

    fn create(&self, name: &str, reserved: u64) -> io::Result<Arc<dyn DataFile>> {
        let create = |reserved| self.inner.create(name, reserved);
        let half = || drop(create(reserved / 2));
        let file = self
            .trap
            .around(Operation::Create, half, || create(reserved));
        Ok(self.wrap(file?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = || self.inner.rename(from, to);
        self.trap.whole(Operation::Rename, rename)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let remove = || self.inner.remove(name);
        self.trap.whole(Operation::Remove, remove)
    }

    fn sync(&self) -> io::Result<()> {
        self.trap.whole(Operation::SyncNames, || self.inner.sync())
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

impl DataFile for KillPointFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let read = || self.inner.read_at(bytes, offset);
        self.trap.whole(Operation::Read, read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let write = |bytes| self.inner.write_at(bytes, offset);
        let half = || drop(write(&bytes[..bytes.len() / 2]));
        self.trap.around(Operation::Write, half, || write(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = || self.inner.sync_data();
        self.trap.whole(Operation::SyncBytes, sync)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let set = || self.inner.set_len(bytes);
        self.trap.whole(Operation::SetLength, set)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
