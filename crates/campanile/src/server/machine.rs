//! What this machine has: descriptors for connections, memory for what they make the node hold.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::proxy::SOCKETS_MAX;

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

/// What the descriptors are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Descriptors {
    /// Upgraded connections.
    pub(super) connections: usize,
    /// Connections of ordinary requests, which fit beside these.
    pub(super) requests: usize,
    /// Connections to each of the services that are asked about clients.
    pub(super) to_service: usize,
}

/// Raises the limit of descriptors as far as it goes, and divides them. A service that hangs takes
/// all that it may, and must not take them from clients and probes.
pub(super) fn descriptors(takes_emulation: bool, services: usize) -> io::Result<Descriptors> {
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
    let divided = divide(raised, takes_emulation, services);
    tracing::info!(
        descriptors = raised,
        connections = divided.connections,
        "limit of open connections"
    );
    Ok(divided)
}

/// With few descriptors half of them or more are for connections all the same.
fn divide(raised: u64, takes_emulation: bool, services: usize) -> Descriptors {
    let kept = (RESERVED + requests(takes_emulation)).min(raised / 4);
    let wanted = SOCKETS_MAX.saturating_mul(services) as u64;
    let outgoing = wanted.min(raised / 4);
    let each = outgoing.checked_div(services as u64).unwrap_or_default();
    let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Descriptors {
        connections: whole((raised - kept - outgoing).max(1)),
        requests: whole(requests(takes_emulation).min(raised / 8)),
        to_service: whole(each.max(1)),
    }
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
    fn descriptors_that_services_may_take_are_not_promised_to_connections() {
        for raised in [1024, 3000, 65_536, 1 << 20] {
            for services in [0, 1, 3, 64] {
                let divided = divide(raised, true, services);
                let outgoing = divided.to_service * services;
                let promised = divided.connections + divided.requests + outgoing;
                assert!(
                    promised as u64 <= raised,
                    "{raised}, {services}: {divided:?}"
                );
                assert!(divided.connections as u64 >= raised / 2, "{divided:?}");
                assert!(divided.to_service > 0, "{divided:?}");
            }
        }
        assert_eq!(divide(3000, false, 1).to_service, 750);
        assert_eq!(divide(1 << 20, false, 2).to_service, SOCKETS_MAX);
        assert_eq!(divide(3000, false, 0).connections, 2250);
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        let text = "MemTotal:       24576 kB\nMemFree:         100 kB\n";
        assert_eq!(total_memory(text), Some(24 * 1024 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        assert_eq!(total_memory("MemTotal: many kB\n"), None);
    }
}
