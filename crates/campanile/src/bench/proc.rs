//! What the kernel tells about processes: CPU time, memory, CPU affinity, descriptors.
//! Knows `/proc` and a few system calls of Linux; nothing of servers.

use std::time::Duration;
use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use super::BenchError;

/// Descriptors for everything that is not a connection under test.
const SPARE_DESCRIPTORS: u64 = 128;

/// CPU time a process has used, all threads, living and dead, in clock ticks of usually 10 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTime {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl CpuTime {
    /// Reads `/proc/PID/stat`.
    pub(super) fn of(pid: u32) -> Result<Self, BenchError> {
        let path = format!("/proc/{pid}/stat");
        let stat = read(&path)?;
        let ticks = ticks(&stat).ok_or_else(|| unreadable(&path))?;
        let [user, system] = ticks.map(|ticks| {
            Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
        });
        Ok(Self { user, system })
    }

    /// What has been used since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(super) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Fields 14 and 15. The second field is a name that may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<[u64; 2]> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some([fields.next()?.parse().ok()?, fields.next()?.parse().ok()?])
}

/// Time that the CPUs of the machine were busy since it started, all of them together.
pub(super) fn machine_cpu() -> Result<Duration, BenchError> {
    let path = "/proc/stat";
    let ticks = busy_ticks(&read(path)?).ok_or_else(|| unreadable(path))?;
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace();
    let numbers: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = &numbers[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// CPU time of this process.
pub(super) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Proportional set size of a process in bytes: shared pages count by their share.
pub(super) fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let kilobytes = number_after(&read(&path)?, "\nPss:").ok_or_else(|| unreadable(&path))?;
    Ok(kilobytes * 1024)
}

/// The most memory that a process had in use since [`forget_peak`], in bytes.
pub(super) fn peak_bytes(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let kilobytes = number_after(&read(&path)?, "\nVmHWM:").ok_or_else(|| unreadable(&path))?;
    Ok(kilobytes * 1024)
}

/// Has the kernel note from now on how much memory a process uses at most.
pub(super) fn forget_peak(pid: u32) -> Result<(), BenchError> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").map_err(|source| missing(&path, &source))
}

/// Bytes of socket buffers of all TCP sockets of the machine, both ends of a loopback connection.
pub(super) fn tcp_bytes() -> Result<u64, BenchError> {
    let path = "/proc/net/sockstat";
    let text = read(path)?;
    let (_, tcp) = text.split_once("TCP:").ok_or_else(|| unreadable(path))?;
    let pages = number_after(tcp, " mem ").ok_or_else(|| unreadable(path))?;
    Ok(pages * rustix::param::page_size() as u64)
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Pins every thread that a process has now to one CPU.
pub(super) fn pin(pid: u32, cpu: usize) -> Result<(), BenchError> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    let path = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&path).map_err(|source| missing(&path, &source))?;
    for thread in threads.flatten() {
        let id = thread
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            sched_setaffinity(Some(id), &cpus).map_err(|error| BenchError::Io {
                doing: "pin",
                source: error.into(),
            })?;
        }
    }
    Ok(())
}

/// Raises the limit of descriptors as far as allowed and checks that `connections` fit.
pub(super) fn reserve_descriptors(connections: usize) -> Result<(), BenchError> {
    let needed = connections as u64 + SPARE_DESCRIPTORS;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .map_err(|error| BenchError::Io {
        doing: "raise descriptors",
        source: error.into(),
    })?;
    match maximum {
        Some(limit) if limit < needed => Err(BenchError::Descriptors { needed, limit }),
        _ => Ok(()),
    }
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|source| missing(path, &source))
}

fn missing(path: &str, source: &io::Error) -> BenchError {
    BenchError::Proc {
        path: path.to_owned(),
        why: source.to_string(),
    }
}

fn unreadable(path: &str) -> BenchError {
    BenchError::Proc {
        path: path.to_owned(),
        why: "not of the expected form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_any_process_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 123 45 0 0";
        assert_eq!(ticks(stat), Some([123, 45]));
        assert_eq!(ticks("7 (short) S 1 2"), None);
        assert_eq!(
            busy_ticks("cpu  1 2 4 800 900 8 16 32 0 0\ncpu0 1"),
            Some(63)
        );
    }

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        assert!(CpuTime::of(pid).is_ok());
        assert!(tcp_bytes().is_ok());
        assert!(machine_cpu().unwrap() > Duration::ZERO);
        assert!(own_cpu() > Duration::ZERO);
    }
}
