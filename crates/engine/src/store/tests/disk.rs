//! A disk in memory whose files a test can look into, damage and copy, and whose operations it can
//! let fail. It knows what a power cut would leave of files; names are durable at once.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::store::{DataFile, Directory};

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Create,
    /// The first half of the bytes gets written.
    Write,
    Sync,
    SetLen,
    Rename,
    Remove,
    SyncNames,
}

#[derive(Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

type Content = Arc<Mutex<Bytes>>;
type Failures = Arc<Mutex<VecDeque<(Operation, ErrorKind)>>>;

#[derive(Clone, Default)]
pub(super) struct Disk {
    files: Arc<Mutex<BTreeMap<String, Content>>>,
    failures: Failures,
}

struct OpenFile {
    content: Content,
    failures: Failures,
}

impl Disk {
    /// Lets the next such operation fail; several are taken in order.
    pub(super) fn fail(&self, operation: Operation, kind: ErrorKind) {
        self.failures.lock().unwrap().push_back((operation, kind));
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.content(name).lock().unwrap().now.clone()
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Bytes {
            now: bytes,
            ..Bytes::default()
        };
        let content = Arc::new(Mutex::new(content));
        self.files.lock().unwrap().insert(name.to_owned(), content);
    }

    /// Changes a file as nobody of ours would.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.content(name).lock().unwrap().now);
    }

    /// Another disk with the same files.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        for name in self.names() {
            copy.put(&name, self.bytes(&name));
        }
        copy
    }

    /// Another disk with what a power cut would leave.
    pub(super) fn after_power_cut(&self) -> Self {
        let copy = Self::default();
        for (name, content) in &*self.files.lock().unwrap() {
            copy.put(name, content.lock().unwrap().synced.clone());
        }
        copy
    }

    pub(super) fn shared(&self) -> Arc<dyn Directory> {
        Arc::new(self.clone())
    }

    fn content(&self, name: &str) -> Content {
        Arc::clone(&self.files.lock().unwrap()[name])
    }

    fn opened(&self, content: Content) -> Arc<dyn DataFile> {
        Arc::new(OpenFile {
            content,
            failures: Arc::clone(&self.failures),
        })
    }
}

fn check(failures: &Failures, operation: Operation) -> io::Result<()> {
    let mut failures = failures.lock().unwrap();
    match failures.front() {
        Some((next, kind)) if *next == operation => {
            let error = io::Error::from(*kind);
            failures.pop_front();
            Err(error)
        }
        _ => Ok(()),
    }
}

impl Directory for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let files = self.files.lock().unwrap();
        let content = files.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.opened(Arc::clone(content)))
    }

    fn create(&self, name: &str, reserved: u64) -> io::Result<Arc<dyn DataFile>> {
        check(&self.failures, Operation::Create)?;
        self.put(name, vec![0; usize::try_from(reserved).unwrap()]);
        Ok(self.opened(self.content(name)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check(&self.failures, Operation::Rename)?;
        let mut files = self.files.lock().unwrap();
        let content = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check(&self.failures, Operation::Remove)?;
        let removed = self.files.lock().unwrap().remove(name);
        removed.map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        check(&self.failures, Operation::SyncNames)
    }

    fn path(&self) -> &Path {
        Path::new("disk")
    }
}

impl DataFile for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let read = content.now.get(start..start + bytes.len());
        bytes.copy_from_slice(read.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let outcome = check(&self.failures, Operation::Write);
        let written = match &outcome {
            Ok(()) => bytes,
            Err(_) => &bytes[..bytes.len() / 2],
        };
        let content = &mut self.content.lock().unwrap().now;
        let start = usize::try_from(offset).unwrap();
        let end = start + written.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(written);
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        check(&self.failures, Operation::Sync)?;
        let mut content = self.content.lock().unwrap();
        content.synced = content.now.clone();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        check(&self.failures, Operation::SetLen)?;
        let length = usize::try_from(bytes).unwrap();
        self.content.lock().unwrap().now.resize(length, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }
}
