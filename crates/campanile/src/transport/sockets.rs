//! The sockets of one shard, and which of them are ready.
//!
//! One task drives them all: each socket has a waker of its own that puts its index on a list and
//! wakes that one task. An idle socket costs its waker and the runtime's registration, no task and
//! no buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::{ArcWake, AtomicWaker, waker_ref};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::io::Io;

/// Sockets by the index of their session.
#[derive(Debug, Default)]
pub(super) struct SocketSet {
    sockets: Vec<Option<Socket>>,
    readiness: Arc<Readiness>,
}

#[derive(Debug)]
struct Socket {
    io: Io,
    signal: Arc<Signal>,
}

/// Which sockets are ready, and whom to wake for them.
///
/// A mutex, since a waker may be called from any thread; in fact they are all called by the
/// runtime of this one, so it is never contended.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    ready: Mutex<Vec<u32>>,
    task: AtomicWaker,
}

#[derive(Debug)]
struct Signal {
    index: u32,
    is_listed: AtomicBool,
    readiness: Arc<Readiness>,
}

impl ArcWake for Signal {
    fn wake_by_ref(this: &Arc<Self>) {
        if !this.is_listed.swap(true, Ordering::AcqRel) {
            this.readiness.list(this.index);
            this.readiness.task.wake();
        }
    }
}

impl Readiness {
    fn list(&self, index: u32) {
        self.ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(index);
    }

    /// Wakes the task that drives the sockets.
    pub(super) fn wake(&self) {
        self.task.wake();
    }

    /// Makes `waker` the one to be woken.
    pub(super) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }
}

impl SocketSet {
    /// The list that wakers write to.
    pub(super) fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.readiness)
    }

    /// Adds a socket, which counts as ready from the start.
    pub(super) fn insert(&mut self, index: u32, io: Io) {
        let signal = Arc::new(Signal {
            index,
            is_listed: AtomicBool::new(false),
            readiness: Arc::clone(&self.readiness),
        });
        ArcWake::wake_by_ref(&signal);
        let slot = index as usize;
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        self.sockets[slot] = Some(Socket { io, signal });
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, index: u32) {
        if let Some(slot) = self.sockets.get_mut(index as usize) {
            *slot = None;
        }
    }

    /// Takes the sockets that have become ready.
    pub(super) fn take_ready(&self, ready: &mut Vec<u32>) {
        ready.append(
            &mut self
                .readiness
                .ready
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Notes that a listed socket is looked at now, so that it can be listed again.
    pub(super) fn unlist(&self, index: u32) {
        if let Some(socket) = self.get(index) {
            socket.signal.is_listed.store(false, Ordering::Release);
        }
    }

    /// Lists a socket as ready.
    pub(super) fn relist(&self, index: u32) {
        if let Some(socket) = self.get(index) {
            ArcWake::wake_by_ref(&socket.signal);
        }
    }

    /// Reads what has come; [`Poll::Pending`] lists the socket again when more does.
    pub(super) fn poll_read(&mut self, index: u32, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(0));
        };
        let mut buf = ReadBuf::new(buf);
        let waker = waker_ref(&socket.signal);
        let mut context = Context::from_waker(&waker);
        Pin::new(&mut socket.io)
            .poll_read(&mut context, &mut buf)
            .map_ok(|()| buf.filled().len())
    }

    /// Writes what goes; [`Poll::Pending`] lists the socket again when more does.
    pub(super) fn poll_write(
        &mut self,
        index: u32,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(0));
        };
        let waker = waker_ref(&socket.signal);
        let mut context = Context::from_waker(&waker);
        let io = Pin::new(&mut socket.io);
        match slices {
            // The plain system call is cheaper, and most clients have one frame waiting.
            [slice] => io.poll_write(&mut context, slice),
            _ => io.poll_write_vectored(&mut context, slices),
        }
    }

    /// Sends on what TLS has kept back.
    pub(super) fn poll_flush(&mut self, index: u32) -> Poll<io::Result<()>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(()));
        };
        let waker = waker_ref(&socket.signal);
        let mut context = Context::from_waker(&waker);
        Pin::new(&mut socket.io).poll_flush(&mut context)
    }

    /// Says that nothing more will be written.
    pub(super) fn poll_shutdown(&mut self, index: u32) -> Poll<io::Result<()>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(()));
        };
        let waker = waker_ref(&socket.signal);
        let mut context = Context::from_waker(&waker);
        Pin::new(&mut socket.io).poll_shutdown(&mut context)
    }

    fn get(&self, index: u32) -> Option<&Socket> {
        self.sockets.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(index as usize)?.as_mut()
    }
}
