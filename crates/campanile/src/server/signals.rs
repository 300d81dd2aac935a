//! What the operating system tells the process.
//!
//! The process may have other servers, and outlive them all. tokio never gives a signal its default
//! effect back, so that is done here: once no server heeds them, signals end the process again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use signal_hook::flag::register_conditional_default;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// SIGTERM and SIGINT, from its creation on: without it they end the process where it stands.
pub(super) struct StopSignals {
    heeded: Option<Heeded>,
}

struct Heeded {
    terminate: Signals,
    interrupt: Signals,
    /// A limit to the size of files is a disk that is full, not a reason to die: not even
    /// afterwards, when a disk that stood still at the end may go on.
    _survived: Signals,
    _listener: Listener,
}

impl StopSignals {
    /// Those of the process.
    pub(super) fn heed() -> io::Result<Self> {
        // First, since what is called for a signal is called in this order: were the streams woken
        // before, a server could come to its end, and signals to their default effect, while the
        // one that told it to stop is still being handled.
        let listener = Listener::new()?;
        Ok(Self {
            heeded: Some(Heeded {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                _survived: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
                _listener: listener,
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

/// Whether signals have their default effect. Looked at by what the operating system calls.
static IS_DEFAULT: AtomicBool = AtomicBool::new(false);

/// How many heed signals now; `None` before the first.
static LISTENERS: Mutex<Option<usize>> = Mutex::new(None);

/// One that heeds signals; while there is one, they have no other effect.
struct Listener(());

impl Listener {
    fn new() -> io::Result<Self> {
        let mut listeners = listeners();
        if listeners.is_none() {
            for signal in [Signal::TERM, Signal::INT] {
                register_conditional_default(signal.as_raw(), &IS_DEFAULT)?;
            }
        }
        *listeners = Some(listeners.unwrap_or(0) + 1);
        IS_DEFAULT.store(false, SeqCst);
        Ok(Self(()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = listeners();
        *listeners = listeners.map(|count| count - 1);
        IS_DEFAULT.store(*listeners == Some(0), SeqCst);
    }
}

fn listeners() -> MutexGuard<'static, Option<usize>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}
