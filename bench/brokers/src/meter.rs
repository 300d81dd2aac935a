//! What the kernel counts: CPU time, memory and bytes written. Knows `/proc` and `/sys` of Linux.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{major, minor};

use crate::Failure;

/// Watches some processes and one disk.
pub(crate) struct Meter {
    pids: Vec<u32>,
    disk: PathBuf,
}

/// What has been used up to a moment.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// CPU time of the processes, all threads.
    pub(crate) cpu: Duration,
    /// Bytes that the processes passed to `write` and its kin, sockets included.
    pub(crate) passed: u64,
    /// Bytes that went to the disk, whoever wrote them; `None` where the kernel counts none.
    pub(crate) written: Option<u64>,
}

impl Meter {
    /// A meter of the processes `pids` and of the disk that `path` is on.
    pub(crate) fn new(pids: Vec<u32>, path: &Path) -> Result<Self, Failure> {
        let device = fs::metadata(path)?.dev();
        let disk = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
        Ok(Self {
            pids,
            disk: disk.into(),
        })
    }

    /// Waits until the kernel has written everything, so that a reading contains what was done
    /// before it, then reads.
    pub(crate) fn read(&self) -> Result<Reading, Failure> {
        rustix::fs::sync();
        let mut reading = Reading {
            cpu: Duration::ZERO,
            passed: 0,
            written: sectors_written(&self.disk).map(|sectors| sectors * 512),
        };
        for pid in &self.pids {
            reading.cpu += cpu_of(*pid)?;
            let io = format!("/proc/{pid}/io");
            reading.passed += number_after(&fs::read_to_string(&io)?, "wchar:").ok_or(io)?;
        }
        Ok(reading)
    }
}

impl Reading {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            passed: self.passed.saturating_sub(earlier.passed),
            written: (self.written.zip(earlier.written))
                .map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

/// Memory of a process that is in use now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let status = format!("/proc/{pid}/status");
    let kilobytes = number_after(&fs::read_to_string(&status)?, "\nVmRSS:").ok_or(status)?;
    Ok(kilobytes * 1024)
}

/// Forgets what the kernel remembers of files, so that they are read from the disk; `false` where
/// this process may not.
pub(crate) fn drop_page_cache() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "1").is_ok()
}

/// Bytes of all files in `directory`.
pub(crate) fn bytes_in(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            bytes_in(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

/// Fields 14 and 15 of the process's `stat`; the second is a name that may hold blanks. In ticks
/// of usually 10 ms, but this process's own time is known better.
fn cpu_of(pid: u32) -> Result<Duration, Failure> {
    if pid == std::process::id() {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        return Ok(Duration::try_from(time)?);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

fn sectors_written(stat: &Path) -> Option<u64> {
    let stat = fs::read_to_string(stat).ok()?;
    stat.split_ascii_whitespace().nth(6)?.parse().ok()
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_time_and_memory_and_writes() {
        let meter = Meter::new(vec![std::process::id()], Path::new("/")).unwrap();
        let before = meter.read().unwrap();
        fs::write("/dev/null", "0123456789").unwrap();
        let used = meter.read().unwrap().since(&before);
        assert!(used.passed >= 10 && used.cpu > Duration::ZERO);
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }
}
