//! CPU time of the server, of this client and of everybody else, from a start to an end.
//! Knows processes by their id; not what they do.

use std::time::{Duration, Instant};

use super::BenchError;
use super::proc::{self, CpuTime};

/// Runs from its creation on.
pub(super) struct Meter {
    pid: Option<u32>,
    start: Instant,
    own: Duration,
    machine: Duration,
    server: Option<CpuTime>,
}

/// What was used while a meter ran.
pub(super) struct Usage {
    pub(super) wall: Duration,
    /// CPUs that the client kept busy.
    pub(super) client_busy: f64,
    pub(super) server: Option<ServerUsage>,
}

/// Known only where the server's process is.
#[derive(Clone, Copy)]
pub(super) struct ServerUsage {
    pub(super) cpu: CpuTime,
    /// CPUs that neither the server nor the client kept busy, and that were busy all the same.
    pub(super) others_busy: f64,
}

impl Meter {
    pub(super) fn start(pid: Option<u32>) -> Result<Self, BenchError> {
        let server = pid.map(CpuTime::of).transpose()?;
        let machine = proc::machine_cpu()?;
        Ok(Self {
            pid,
            server,
            machine,
            own: proc::own_cpu(),
            start: Instant::now(),
        })
    }

    pub(super) fn stop(self) -> Result<Usage, BenchError> {
        let wall = self.start.elapsed();
        let own = proc::own_cpu().saturating_sub(self.own);
        let machine = proc::machine_cpu()?.saturating_sub(self.machine);
        let now = self.pid.map(CpuTime::of).transpose()?;
        let server = now.zip(self.server).map(|(now, before)| {
            let cpu = now.since(before);
            let others = machine.saturating_sub(own).saturating_sub(cpu.total());
            ServerUsage {
                cpu,
                others_busy: others.as_secs_f64() / wall.as_secs_f64(),
            }
        });
        Ok(Usage {
            wall,
            client_busy: own.as_secs_f64() / wall.as_secs_f64(),
            server,
        })
    }
}
