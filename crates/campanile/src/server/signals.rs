//! What the operating system tells the process.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// SIGTERM and SIGINT, from its creation on: without it they end the process where it stands.
pub(super) struct StopSignals {
    heeded: Option<Heeded>,
}

struct Heeded {
    terminate: Signals,
    interrupt: Signals,
    /// A limit to the size of files is a disk that is full, not a reason to die.
    _survived: Signals,
}

impl StopSignals {
    /// Those of the process.
    pub(super) fn heed() -> io::Result<Self> {
        Ok(Self {
            heeded: Some(Heeded {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                _survived: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
            }),
        })
    }

    /// None ever.
    pub(super) const fn ignore() -> Self {
        Self { heeded: None }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let Some(heeded) = &mut self.heeded else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = heeded.terminate.recv() => {}
            _ = heeded.interrupt.recv() => {}
        }
    }
}
