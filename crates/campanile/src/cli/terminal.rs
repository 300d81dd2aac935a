//! The terminal that the program was started in, if there is one: when it is closed, SIGHUP says so,
//! which from anybody else is the order to read the configuration again.

use std::fs::{self, File};

/// See the [module](self).
pub(super) struct Terminal {
    /// Whether the process is to end with it.
    is_followed: bool,
}

impl Terminal {
    /// That of this process. To be called before somebody listens for SIGHUP.
    pub(super) fn of_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            is_followed: is_there() && !ignores_hang_ups(&status),
        }
    }

    /// Whether it was there and is gone.
    pub(super) fn has_hung_up(&self) -> bool {
        self.is_followed && !is_there()
    }
}

/// Whether the process has a terminal to be controlled from.
fn is_there() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process was started to outlive its terminal, as by `nohup`: by the mask of ignored
/// signals in its status (proc_pid_status(5)).
fn ignores_hang_ups(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, and so the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_did_is_seen() {
        let status = |mask: &str| format!("Name:\tx\nSigBlk:\t1\nSigIgn:\t{mask}\n");
        assert!(ignores_hang_ups(&status("0000000000001001")));
        assert!(!ignores_hang_ups(&status("0000000000001000")));
        assert!(!ignores_hang_ups(""));
    }
}
