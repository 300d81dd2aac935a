//! One connection: what is to be sent goes out as it can, what comes in is given on as it comes.
//!
//! It knows bytes and whole answers; what an answer belongs to is the business of a [`Talk`]: of
//! requests (`asking`) or of subscriptions (`ears`). It ends when the connection does, when what
//! comes in makes no sense, or when something that was asked is overdue.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::reply::{Reply, Unreadable};

/// Bytes that wait to be written; beyond, requests wait where they are counted.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// What is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Rounds of reading and writing before others have their turn.
const ROUNDS_MAX: usize = 16;

/// How often a line is looked at for what is overdue, in the time that is allowed.
const LOOKS: u32 = 10;

/// What is said over a line.
pub(super) trait Talk {
    /// What others want to be said.
    type Order;

    /// Takes an order.
    fn take(&mut self, order: Self::Order, now: Instant);

    /// Appends what is to be sent to `output`, all that was taken.
    fn write(&mut self, output: &mut BytesMut, now: Instant);

    /// Hears an answer.
    ///
    /// # Errors
    /// It is the answer to nothing.
    fn hear(&mut self, reply: Reply, now: Instant) -> Result<(), Loss>;

    /// Looks whether something is overdue.
    ///
    /// # Errors
    /// It is.
    fn look(&mut self, now: Instant) -> Result<(), Loss>;
}

/// Why a line ended.
#[derive(Debug)]
pub(super) enum Loss {
    /// The connection broke.
    Broken(io::Error),
    /// The other side closed it.
    Closed,
    /// What came in makes no sense.
    Unreadable,
    /// An answer is overdue.
    Overdue,
    /// What should have come over a subscription has not.
    Deaf,
    /// Another line has to take its place, for this reason.
    Elsewhere(&'static str),
    /// Nobody needs it any more.
    Unwanted,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "connection broke: {error}"),
            Self::Closed => f.write_str("connection closed by the other side"),
            Self::Unreadable => f.write_str("answer that makes no sense"),
            Self::Overdue => f.write_str("no answer in time"),
            Self::Deaf => f.write_str("a message to itself did not come back"),
            Self::Elsewhere(reason) => f.write_str(reason),
            Self::Unwanted => f.write_str("not needed any more"),
        }
    }
}

impl From<Unreadable> for Loss {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// A connection: plain, or over TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a line is made of.
pub(super) type Stream = Box<dyn Duplex>;

/// See the [module](self).
pub(super) struct Line {
    stream: Stream,
    inbox: BytesMut,
    outbox: BytesMut,
}

impl Line {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
        }
    }

    /// Carries on `talk` until the line ends. `patience` is the time after which `talk` finds
    /// something overdue.
    pub(super) async fn carry<T: Talk>(
        &mut self,
        orders: &mut UnboundedReceiver<T::Order>,
        talk: &mut T,
        patience: Duration,
    ) -> Loss {
        let mut looks = interval((patience / LOOKS).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll_fn(|context| self.poll(context, orders, talk, &mut looks)).await
    }

    fn poll<T: Talk>(
        &mut self,
        context: &mut Context<'_>,
        orders: &mut UnboundedReceiver<T::Order>,
        talk: &mut T,
        looks: &mut Interval,
    ) -> Poll<Loss> {
        let now = Instant::now();
        while looks.poll_tick(context).is_ready() {
            if let Err(loss) = talk.look(now) {
                return Poll::Ready(loss);
            }
        }
        for _ in 0..ROUNDS_MAX {
            let mut is_idle = true;
            while self.outbox.len() < OUTBOX_BYTES_MAX {
                match orders.poll_recv(context) {
                    Poll::Ready(Some(order)) => talk.take(order, now),
                    Poll::Ready(None) => return Poll::Ready(Loss::Unwanted),
                    Poll::Pending => break,
                }
                is_idle = false;
            }
            talk.write(&mut self.outbox, now);
            if let Err(error) = self.send(context) {
                return Poll::Ready(Loss::Broken(error));
            }
            match self.receive(context, talk, now) {
                Poll::Ready(Ok(())) => is_idle = false,
                Poll::Ready(Err(loss)) => return Poll::Ready(loss),
                Poll::Pending => {}
            }
            if is_idle {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn send(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.outbox) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.outbox.advance(written),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn receive<T: Talk>(
        &mut self,
        context: &mut Context<'_>,
        talk: &mut T,
        now: Instant,
    ) -> Poll<Result<(), Loss>> {
        self.inbox.reserve(READ_BYTES);
        let read = pin!(self.stream.read_buf(&mut self.inbox));
        match ready!(read.poll(context)) {
            Ok(0) => return Poll::Ready(Err(Loss::Closed)),
            Ok(_) => {}
            Err(error) => return Poll::Ready(Err(Loss::Broken(error))),
        }
        while let Some(reply) = Reply::take(&mut self.inbox)? {
            talk.hear(reply, now)?;
        }
        Poll::Ready(Ok(()))
    }
}
