//! A disk in memory that loses power, fills up, fails and stalls when it is told to.
//!
//! It keeps what the traits of [`store`](crate::store) promise and nothing beyond: of the bytes and
//! names that were not synced, a power cut takes what it likes.

mod faults;
mod file;
mod kill_points;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub use faults::Operation;
pub use kill_points::{KillPoint, KillPoints, When};

use super::Random;
use crate::store::{DataFile, Directory};
use faults::Faults;
use file::SimulatedFile;
use names::{FileId, Names};

/// What a power cut takes of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// All of it.
    Everything,
    /// Of every file, and of the names, what was done last; the seed says how much.
    Suffix(u64),
    /// Any sectors, lengths and names; the seed says which.
    Scattered(u64),
}

impl Loss {
    /// One of them, as the seed says.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 5 {
            0 => Self::Everything,
            1 | 2 => Self::Suffix(seed),
            _ => Self::Scattered(seed),
        }
    }

    const fn seed(self) -> u64 {
        match self {
            Self::Everything => 0,
            Self::Suffix(seed) | Self::Scattered(seed) => seed,
        }
    }
}

/// Something that was asked of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What.
    pub operation: Operation,
    /// Of which file; empty for the directory.
    pub file: String,
    /// Whether it was refused or failed.
    pub has_failed: bool,
}

/// See the [module](self). Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when operations begin to wait at the gate, and when they are let go.
    gate: Condvar,
}

#[derive(Default)]
struct State {
    contents: Contents,
    faults: Faults,
    log: Vec<Step>,
    /// Operations that wait at the gate.
    waiting: Vec<Operation>,
}

/// What outlives a process.
#[derive(Clone, Default)]
struct Contents {
    names: Names,
    files: BTreeMap<FileId, SimulatedFile>,
    next_file: FileId,
    capacity: Option<usize>,
    /// The syncs that do nothing.
    forgotten: BTreeSet<Operation>,
}

struct OpenFile {
    disk: SimulatedDisk,
    name: String,
    file: FileId,
}

impl SimulatedDisk {
    /// From now on it holds at most so many bytes.
    pub fn set_capacity(&self, bytes: usize) {
        self.lock().contents.capacity = Some(bytes);
    }

    /// From now on every sync of this kind succeeds and does nothing.
    pub fn forget(&self, sync: Operation) {
        self.lock().contents.forgotten.insert(sync);
    }

    /// From now on every change is refused, or not.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.lock().faults.is_read_only = is_read_only;
    }

    /// The operation of this kind after the next `after` ones fails with `error`. Of a failing write
    /// nothing, half or all is written; some of what a failing sync was for is synced and the rest
    /// never will be.
    pub fn fail_next(&self, operation: Operation, after: usize, error: ErrorKind) {
        self.lock().faults.plan(operation, after, error);
    }

    /// Takes back every [`SimulatedDisk::fail_next`] that has not come.
    pub fn fail_no_more(&self) {
        self.lock().faults.forget();
    }

    /// Operations of this kind wait from now on.
    pub fn hold(&self, operation: Operation) {
        self.lock().faults.held.insert(operation);
    }

    /// Blocks until an operation of this kind waits.
    pub fn await_held(&self, operation: Operation) {
        let is_absent = |state: &mut State| !state.waiting.contains(&operation);
        let waited = self.0.gate.wait_while(self.lock(), is_absent);
        drop(waited.expect("no thread panicked with it"));
    }

    /// Lets go what waits, and holds nothing any more.
    pub fn release(&self) {
        self.lock().faults.held.clear();
        self.0.gate.notify_all();
    }

    /// The end of everything that uses this disk: every operation fails from now on. What is on it
    /// is to be had from [`SimulatedDisk::kill`] or [`SimulatedDisk::power_cut`].
    pub fn turn_off(&self) {
        self.lock().faults.is_off = true;
        self.release();
    }

    /// Whether it was turned off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().faults.is_off
    }

    /// The disk as the next process finds it when this one is killed. This one is turned off. What was
    /// written is there, except that the system may have forgotten what a failed sync was for.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.turn_off();
        let state = self.lock();
        let mut contents = state.contents.clone();
        let random = Random::new(state.log.len() as u64);
        drop(state);
        for file in contents.files.values_mut() {
            file.evict(&random);
        }
        self.successor(contents)
    }

    /// The disk as it is found after a power cut. This one is turned off.
    #[must_use]
    pub fn power_cut(&self, loss: Loss) -> Self {
        self.turn_off();
        let mut contents = self.lock().contents.clone();
        let random = Random::new(loss.seed());
        contents.names.power_cut(loss, &random);
        for file in contents.files.values_mut() {
            file.power_cut(loss, &random);
        }
        self.successor(contents)
    }

    /// What was asked of it until it was turned off.
    #[must_use]
    pub fn log(&self) -> Vec<Step> {
        self.lock().log.clone()
    }

    /// How much was asked of it so far: the length of the log.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.lock().log.len()
    }

    /// How often this was asked of it.
    #[must_use]
    pub fn count(&self, operation: Operation) -> usize {
        let state = self.lock();
        let of_kind = |step: &&Step| step.operation == operation;
        state.log.iter().filter(of_kind).count()
    }

    /// The bytes of all files.
    #[must_use]
    pub fn used(&self) -> usize {
        self.lock().contents.used()
    }

    /// What is in file `name`, as processes see it.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let file = state.contents.names.get(name)?;
        Some(state.contents.files[&file].bytes().to_vec())
    }

    /// Flips a bit of the byte at `offset` of file `name`, behind everybody's back.
    ///
    /// # Panics
    /// There is no such byte.
    pub fn rot(&self, name: &str, offset: usize) {
        let mut state = self.lock();
        let file = state.contents.names.get(name).expect("there is the file");
        state.contents.file(file).rot(offset);
    }

    /// Another machine with these contents; nobody there has a file open.
    fn successor(&self, mut contents: Contents) -> Self {
        let named = contents.names.files();
        contents.files.retain(|file, _| named.contains(file));
        let successor = Self::default();
        successor.lock().contents = contents;
        successor
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no thread panicked with it")
    }

    /// Begins an operation: waits at the gate, and tells how it is to fail.
    fn begin(&self, operation: Operation, name: &str) -> (MutexGuard<'_, State>, io::Result<()>) {
        let mut state = self.lock();
        if state.faults.held.contains(&operation) {
            state.waiting.push(operation);
            self.0.gate.notify_all();
            let is_held = |state: &mut State| state.faults.held.contains(&operation);
            let waited = self.0.gate.wait_while(state, is_held);
            state = waited.expect("no thread panicked with it");
            let position = state.waiting.iter().position(|one| *one == operation);
            state.waiting.swap_remove(position.expect("it was pushed"));
        }
        let outcome = state.faults.of(operation);
        if !state.faults.is_off {
            state.log.push(Step {
                operation,
                file: name.to_owned(),
                has_failed: outcome.is_err(),
            });
        }
        (state, outcome)
    }

    /// As [`SimulatedDisk::begin`], for operations of which nothing is done when they fail.
    fn start(&self, operation: Operation, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let (state, outcome) = self.begin(operation, name);
        outcome.map(|()| state)
    }
}

impl State {
    /// The last step finds no room.
    fn full(&mut self) -> io::Error {
        let step = self.log.last_mut().expect("it has begun");
        step.has_failed = true;
        ErrorKind::StorageFull.into()
    }
}

impl Contents {
    fn used(&self) -> usize {
        let files = self.names.iter().map(|(_, file)| &self.files[&file]);
        files.map(|file| file.bytes().len()).sum()
    }

    fn room(&self) -> usize {
        self.capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn file(&mut self, file: FileId) -> &mut SimulatedFile {
        self.files
            .get_mut(&file)
            .expect("whoever has it open keeps it")
    }

    fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).ok_or(ErrorKind::NotFound.into())
    }
}

impl Directory for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.start(Operation::List, "")?;
        let names = state.contents.names.iter();
        Ok(names.map(|(name, _)| name.clone()).collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let state = self.start(Operation::Open, name)?;
        Ok(self.handle(name, state.contents.find(name)?))
    }

    fn create(&self, name: &str, reserved: u64) -> io::Result<Arc<dyn DataFile>> {
        let mut state = self.start(Operation::Create, name)?;
        let contents = &mut state.contents;
        let file = if let Some(file) = contents.names.get(name) {
            // The same file, cut: what was in it may be gone before its new content is there.
            contents.file(file).set_len(0);
            file
        } else {
            let file = contents.next_file;
            contents.next_file += 1;
            contents.files.insert(file, SimulatedFile::default());
            contents.names.create(name, file);
            file
        };
        let reserved = to_usize(reserved);
        if reserved > contents.room() {
            contents.names.remove(name);
            return Err(state.full());
        }
        contents.file(file).set_len(reserved);
        Ok(self.handle(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.start(Operation::Rename, from)?;
        state.contents.find(from)?;
        state.contents.names.rename(from, to);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.start(Operation::Remove, name)?;
        state.contents.find(name)?;
        state.contents.names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.start(Operation::SyncNames, "")?;
        if !state.contents.forgotten.contains(&Operation::SyncNames) {
            state.contents.names.sync();
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("/simulated")
    }
}

impl SimulatedDisk {
    fn handle(&self, name: &str, file: FileId) -> Arc<dyn DataFile> {
        Arc::new(OpenFile {
            disk: self.clone(),
            name: name.to_owned(),
            file,
        })
    }
}

impl DataFile for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.start(Operation::Read, &self.name)?;
        let offset = to_usize(offset);
        let content = state.contents.file(self.file).bytes();
        let wanted = content.get(offset..offset + bytes.len());
        bytes.copy_from_slice(wanted.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, outcome) = self.disk.begin(Operation::Write, &self.name);
        if state.faults.is_off || state.faults.is_read_only {
            return outcome;
        }
        let steps = state.log.len();
        let offset = to_usize(offset);
        let room = state.contents.room();
        let file = state.contents.file(self.file);
        let fitting = file
            .bytes()
            .len()
            .saturating_add(room)
            .saturating_sub(offset);
        let count = match outcome {
            Ok(()) => bytes.len().min(fitting),
            Err(_) => (bytes.len() * (steps % 3) / 2).min(fitting),
        };
        file.write(&bytes[..count], offset);
        outcome?;
        if count < bytes.len() {
            return Err(state.full());
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, outcome) = self.disk.begin(Operation::SyncBytes, &self.name);
        let random = Random::new(state.log.len() as u64);
        let is_off = state.faults.is_off;
        let forgets = state.contents.forgotten.contains(&Operation::SyncBytes);
        let file = state.contents.file(self.file);
        match outcome {
            Ok(()) if !forgets => file.sync(),
            Err(_) if !is_off => file.fail_to_sync(&random),
            _ => {}
        }
        outcome
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.start(Operation::SetLength, &self.name)?;
        let room = state.contents.room();
        let file = state.contents.file(self.file);
        let bytes = to_usize(bytes);
        if bytes > file.bytes().len().saturating_add(room) {
            return Err(state.full());
        }
        file.set_len(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        Ok(state.contents.file(self.file).bytes().len() as u64)
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("simulated disks are small")
}

#[cfg(test)]
mod tests;
