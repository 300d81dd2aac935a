//! The publication log: what the disk broker keeps on disk, and how it is found again.
//!
//! It owns the directory's files: segments of records, their framing and checksums, and the mark
//! that says how the last run ended. It refuses to know shards, deliveries, sessions and memory: it
//! appends groups of records, reads one back, and tells all of them in order when it is opened.
//!
//! A record says everything about its channel that is needed to go on from it, so that reading a log
//! is a fold: the last record of a channel is its state. There is nothing to undo and no second file
//! to agree with.

mod codec;
mod directory;
mod fold;
mod group;
mod log;
mod mark;
mod opening;
mod record;
mod scan;
mod segment;
mod segments;
mod stopped;
mod survey;
#[cfg(test)]
mod tests;

pub use directory::{DataFile, Directory, LockError, OsDirectory, is_full};
pub use fold::{Fold, Settled};
pub use group::{Group, Slot};
pub use log::{AppendError, Appended, Log, LogOptions};
pub use opening::{OpenError, Opening};
pub use record::{KeyRecord, LogTime, Malformed, Place, Record, RecordRef, StreamState};
pub use segment::FORMAT;
pub use segments::{ReadError, Segments};
pub use stopped::StoppedDirectory;
pub use survey::{Affected, Ending, PlaceReader, Problem, SegmentSummary, Survey, has_log};
