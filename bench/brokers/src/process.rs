//! Processes that a scenario starts, and ends in whatever way it ends itself.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// How long a process may take to become ready.
const PATIENCE: Duration = Duration::from_secs(300);

/// A child that is killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    /// Starts `command`, on the given CPUs where there are any given.
    pub(crate) fn start(command: Command, cpus: Option<&str>) -> Result<Self, Failure> {
        let mut command = match cpus {
            Some(cpus) => pinned(&command, cpus),
            None => command,
        };
        let child = command.spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = child.map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no such process")?, Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails for one that has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `taskset` replaces itself by the command, so that the process id is the command's.
fn pinned(command: &Command, cpus: &str) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", cpus]).arg(command.get_program());
    pinned.args(command.get_args());
    pinned
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until `is_ready`.
pub(crate) fn retry(is_ready: impl Fn() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_ready() {
        if began.elapsed() > PATIENCE {
            return Err("a server does not become ready".into());
        }
        pause(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits where there is nothing to wait for but time.
pub(crate) fn pause(time: Duration) {
    let (_nobody, never) = channel::<()>();
    // Times out: `_nobody` lives, and sends nothing.
    let _ = never.recv_timeout(time);
}
