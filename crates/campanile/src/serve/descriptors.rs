//! How many connections the process may hold.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything that is not an upgraded connection: listeners, epoll, files,
/// and above all requests to the API and for health, which must be answered when all is full.
const RESERVED: u64 = 256;

/// Raises the limit of descriptors as far as it goes, and tells how many connections fit.
pub(super) fn connections_max() -> io::Result<usize> {
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
    let connections = raised.saturating_sub(RESERVED).max(1);
    tracing::info!(
        descriptors = raised,
        connections,
        "limit of open connections"
    );
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}
