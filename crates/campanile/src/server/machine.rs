//! What this machine has: descriptors for connections, memory for what they make the node hold.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything that is not an upgraded connection: listeners, epoll, files,
/// and above all requests to the API and for health, which must be answered when all is full.
const RESERVED: u64 = 256;

/// Connections of ordinary requests at a time, which need descriptors too.
const REQUESTS_MAX: u64 = 1024;

/// The same where commands of clients are requests: each of these keeps its connection for another
/// five seconds, and may be the pong of a client that says nothing else.
const REQUESTS_MAX_WITH_EMULATION: u64 = 4096;

const fn requests(takes_emulation: bool) -> u64 {
    if takes_emulation {
        REQUESTS_MAX_WITH_EMULATION
    } else {
        REQUESTS_MAX
    }
}

/// How many connections of ordinary requests fit beside [`connections_max`].
pub(super) fn requests_max(takes_emulation: bool) -> usize {
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(requests(takes_emulation).min(descriptors / 8)).unwrap_or(usize::MAX)
}

/// Raises the limit of descriptors as far as it goes, and tells how many connections fit.
pub(super) fn connections_max(takes_emulation: bool) -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = limit.maximum.unwrap_or(u64::MAX);
    if current < raised {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        )?;
    }
    // With few descriptors most of them are for connections all the same.
    let connections = raised
        .saturating_sub((RESERVED + requests(takes_emulation)).min(raised / 4))
        .max(1);
    tracing::info!(
        descriptors = raised,
        connections,
        "limit of open connections"
    );
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}

/// Half of the memory that the process may use, in bytes: the other half is for connections
/// themselves, the allocator's waste and everything else. `None` when that cannot be found out.
pub(super) fn half_of_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_memory(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    let memory = machine.into_iter().chain(group).min();
    if memory.is_none() {
        tracing::warn!("the machine's memory is unknown: set memory.limit, or nothing limits it");
    }
    memory.map(|bytes| bytes / 2)
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        let text = "MemTotal:       24576 kB\nMemFree:         100 kB\n";
        assert_eq!(total_memory(text), Some(24 * 1024 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        assert_eq!(total_memory("MemTotal: many kB\n"), None);
    }
}
