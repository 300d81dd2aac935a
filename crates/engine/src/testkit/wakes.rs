//! Whether anything that waits could go on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// Notes that somebody was woken, be it by what moves elsewhere.
#[derive(Clone, Default)]
pub(super) struct Wakes(Arc<Woken>);

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl Wakes {
    /// Whether somebody was woken since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.0.0.swap(false, Relaxed)
    }

    pub(super) fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        let waker = Waker::from(Arc::clone(&self.0));
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
