//! The sockets of one shard, and which of them are ready.
//!
//! They have a readiness queue of their own (`mio`), nested in the runtime of the worker through
//! its one descriptor. A socket of the runtime would cost an idle connection four hundred bytes of
//! registration and every write a detour; here it is the socket and two flags. See ADR 2.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::task::{Context, Poll, ready};

use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use rustls::ServerConnection;
use tokio::io::unix::AsyncFd;

use super::io::Io;

/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;

/// Sockets by the index of their session.
pub(super) struct SocketSet {
    sockets: Vec<Option<Socket>>,
    queue: AsyncFd<mio::Poll>,
    events: Events,
    /// Sockets to be looked at; each is listed once.
    ready: Vec<u32>,
}

struct Socket {
    stream: TcpStream,
    /// Boxed, since most connections behind a load balancer have none.
    tls: Option<Box<ServerConnection>>,
    is_readable: bool,
    is_writable: bool,
    is_listed: bool,
}

impl SocketSet {
    /// A set without sockets.
    ///
    /// # Errors
    /// The kernel has no descriptor for the queue.
    #[expect(
        deprecated,
        reason = "its successor only adds `unsafe`, for a promise that `mio::Poll` keeps: to own its descriptor"
    )]
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            sockets: Vec::new(),
            queue: AsyncFd::with_interest(mio::Poll::new()?, tokio::io::Interest::READABLE)?,
            events: Events::with_capacity(EVENTS),
            ready: Vec::new(),
        })
    }

    /// Adds a socket, which counts as ready from the start.
    ///
    /// # Errors
    /// The socket cannot be registered; it is closed.
    pub(super) fn insert(&mut self, index: u32, io: Io) -> io::Result<()> {
        let (stream, tls) = match io {
            Io::Plain(stream) => (stream, None),
            Io::Tls(tls) => {
                let (stream, connection) = tls.into_inner();
                (stream, Some(Box::new(connection)))
            }
            Io::Rewound(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let mut stream = TcpStream::from_std(stream.into_std()?);
        // Both at once and for good: the queue tells of changes only, so that neither a write nor
        // its end has to say what it waits for.
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.queue.get_ref().registry();
        registry.register(&mut stream, Token(index as usize), interest)?;
        let socket = Socket {
            stream,
            tls,
            is_readable: true,
            is_writable: true,
            is_listed: false,
        };
        let slot = index as usize;
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        self.sockets[slot] = Some(socket);
        self.list(index);
        Ok(())
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, index: u32) {
        // Closing takes it out of the queue; an event that is left finds no socket, or one that
        // will only be looked at in vain.
        if let Some(slot) = self.sockets.get_mut(index as usize) {
            *slot = None;
        }
    }

    /// Lists the sockets that have become ready, and makes the task of `context` be woken for more.
    ///
    /// # Errors
    /// The queue is broken.
    pub(super) fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.queue.poll_read_ready_mut(context))?;
            let polled = guard
                .get_inner_mut()
                .poll(&mut self.events, Some(std::time::Duration::ZERO));
            match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Poll::Ready(Err(error));
                }
                _ => {}
            }
            let count = self.events.iter().count();
            // A full batch may not be all there is.
            let is_all = count < EVENTS;
            if is_all {
                guard.clear_ready();
            }
            for event in &self.events {
                let slot = event.token().0;
                let Some(Some(socket)) = self.sockets.get_mut(slot) else {
                    continue;
                };
                socket.is_readable |=
                    event.is_readable() || event.is_read_closed() || event.is_error();
                socket.is_writable |= event.is_writable() || event.is_write_closed();
                if !std::mem::replace(&mut socket.is_listed, true) {
                    self.ready
                        .push(u32::try_from(slot).expect("tokens are indices"));
                }
            }
            if !is_all {
                // More in the next turn; the readiness that was left in place wakes at once.
                context.waker().wake_by_ref();
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes at most `most` of the sockets to be looked at.
    pub(super) fn take_ready(&mut self, most: usize, ready: &mut Vec<u32>) {
        let count = self.ready.len().min(most);
        ready.extend(self.ready.drain(..count));
        for index in ready {
            if let Some(Some(socket)) = self.sockets.get_mut(*index as usize) {
                socket.is_listed = false;
            }
        }
    }

    /// Whether there are sockets to be looked at.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lists a socket to be looked at.
    pub(super) fn list(&mut self, index: u32) {
        if let Some(Some(socket)) = self.sockets.get_mut(index as usize)
            && !std::mem::replace(&mut socket.is_listed, true)
        {
            self.ready.push(index);
        }
    }

    /// Reads what has come; [`Poll::Pending`] lists the socket again when more does.
    pub(super) fn poll_read(&mut self, index: u32, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            if !socket.is_readable {
                return Poll::Pending;
            }
            let outcome = match &mut socket.tls {
                None => socket.stream.read(buf),
                Some(tls) => read_tls(tls, &mut socket.stream, buf),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.is_readable = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length) => {
                    // A plain socket that gave less than it could has no more.
                    socket.is_readable = socket.tls.is_some() || length == buf.len();
                    return Poll::Ready(Ok(length));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
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
        socket.write_with(|socket| match (&mut socket.tls, slices) {
            (Some(tls), _) => {
                rustls::Stream::new(&mut **tls, &mut socket.stream).write_vectored(slices)
            }
            // The plain system call is cheaper, and most clients have one frame waiting.
            (None, [slice]) => socket.stream.write(slice),
            (None, _) => socket.stream.write_vectored(slices),
        })
    }

    /// Sends on what TLS has kept back.
    pub(super) fn poll_flush(&mut self, index: u32) -> Poll<io::Result<()>> {
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(()));
        };
        if socket.tls.as_ref().is_none_or(|tls| !tls.wants_write()) {
            return Poll::Ready(Ok(()));
        }
        socket.write_with(|socket| match &mut socket.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut socket.stream).flush(),
            None => Ok(()),
        })
    }

    /// Says that nothing more will be written.
    pub(super) fn poll_shutdown(&mut self, index: u32) -> Poll<io::Result<()>> {
        if let Some(socket) = self.get_mut(index)
            && let Some(tls) = &mut socket.tls
        {
            tls.send_close_notify();
        }
        ready!(self.poll_flush(index))?;
        let Some(socket) = self.get_mut(index) else {
            return Poll::Ready(Ok(()));
        };
        Poll::Ready(socket.stream.shutdown(std::net::Shutdown::Write))
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Socket> {
        self.sockets.get_mut(index as usize)?.as_mut()
    }
}

impl Socket {
    fn write_with<T>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            if !self.is_writable {
                return Poll::Pending;
            }
            match write(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_writable = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

/// Reads what a TLS connection has to say. Not through `rustls::Stream`, which writes first: reading
/// must not wait for a client that does not read.
fn read_tls(
    tls: &mut ServerConnection,
    stream: &mut TcpStream,
    buf: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert that tells the peer, if it still fits.
            let _ = tls.write_tls(stream);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
}
