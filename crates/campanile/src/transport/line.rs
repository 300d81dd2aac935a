//! A connection as actix holds it: until its socket is wanted elsewhere.
//!
//! A response that never ends would keep everything in actix that a request needs, some twenty
//! times of what a connection of ours takes; it would count as a request under way, and a client
//! that does not read could not be cut off. So a handler may take the socket away from actix and
//! write the response by itself. To actix it then looks as if everything had been written and the
//! client had gone.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};

use actix_http::Extensions;
use actix_web::HttpRequest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::Io;

/// See the [module](self).
pub(super) struct Line(Rc<Shared>);

struct Shared {
    /// `None` once it was taken.
    io: RefCell<Option<Io>>,
    /// Who waits to take it.
    taker: RefCell<Option<Waker>>,
    /// Whether everything was written since somebody waits.
    is_flushed: Cell<bool>,
}

impl Line {
    pub(super) fn new(io: Io) -> Self {
        Self(Rc::new(Shared {
            io: RefCell::new(Some(io)),
            taker: RefCell::default(),
            is_flushed: Cell::new(false),
        }))
    }

    /// Lets the handlers of this connection take its socket.
    pub(super) fn announce(&self, connection: &mut Extensions) {
        // Weakly, since actix keeps what it knows of connections for longer than these.
        connection.insert(Rc::downgrade(&self.0));
    }

    /// The socket, unless a handler has it.
    pub(super) fn into_io(self) -> Option<Io> {
        self.0.io.take()
    }

    fn with<T>(&self, gone: T, act: impl FnOnce(Pin<&mut Io>) -> T) -> T {
        match &mut *self.0.io.borrow_mut() {
            Some(io) => act(Pin::new(io)),
            None => gone,
        }
    }
}

/// Takes the socket of a request's connection, whose body has been read. `None` where there is
/// none to be had, as for upgrades that are not ours.
///
/// Waits until the responses to earlier requests of the connection have been written: they wait in
/// a buffer of actix, which flushes the socket when that buffer is empty, and nothing can come into
/// it while this request is not answered.
pub(super) async fn take(request: &HttpRequest) -> Option<Io> {
    let line = request.conn_data::<Weak<Shared>>()?.upgrade()?;
    line.is_flushed.set(false);
    poll_fn(|cx| {
        if line.is_flushed.get() {
            return Poll::Ready(());
        }
        line.taker.replace(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
    line.io.take()
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |io| io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(Poll::Ready(Ok(buf.len())), |io| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole = bufs.iter().map(|buf| buf.len()).sum();
        self.with(Poll::Ready(Ok(whole)), |io| {
            io.poll_write_vectored(cx, bufs)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.with(Poll::Ready(Ok(())), |io| io.poll_flush(cx)))?;
        if let Some(taker) = self.0.taker.take() {
            self.0.is_flushed.set(true);
            taker.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |io| io.poll_shutdown(cx))
    }
}
