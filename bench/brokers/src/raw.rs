//! What the disk itself takes: one write and one fdatasync after the other, without any broker.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use crate::Failure;

/// Bytes of a file before the next one is begun.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Where the bytes go.
#[derive(Clone, Copy)]
pub(crate) enum Room {
    /// Behind the file's end.
    Appended,
    /// Into room that was set aside before.
    SetAside,
}

/// Writes `bytes` bytes again and again for `time`, each write made durable before the next;
/// returns how long they took in microseconds, ascending.
pub(crate) fn run(
    directory: &Path,
    room: Room,
    bytes: usize,
    time: Duration,
) -> Result<Vec<f64>, Failure> {
    let path = directory.join("raw");
    let block = vec![b'x'; bytes];
    let mut file = begin(&path, room)?;
    let mut offset = 0;
    let mut latencies = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        if offset + bytes as u64 > FILE_BYTES {
            file = begin(&path, room)?;
            offset = 0;
        }
        let asked = Instant::now();
        file.write_all_at(&block, offset)?;
        file.sync_data()?;
        latencies.push(asked.elapsed().as_secs_f64() * 1e6);
        offset += bytes as u64;
    }
    std::fs::remove_file(path)?;
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn begin(path: &Path, room: Room) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path)?;
    if let Room::SetAside = room {
        fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES)?;
    }
    file.sync_all()?;
    Ok(file)
}
