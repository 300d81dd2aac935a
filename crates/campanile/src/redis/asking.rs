//! Requests over one line, answered in the order in which they were sent.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::failure::Failure;
use super::line::{Loss, Talk};
use super::reply::Reply;

/// A request and who waits for its answer.
pub(super) struct Request {
    pub(super) command: Bytes,
    pub(super) answer: oneshot::Sender<Result<Reply, Failure>>,
    /// What it takes of what may be under way.
    pub(super) share: OwnedSemaphorePermit,
}

struct Sent {
    at: Instant,
    answer: oneshot::Sender<Result<Reply, Failure>>,
    _share: OwnedSemaphorePermit,
}

/// See the [module](self).
pub(super) struct Asking {
    patience: Duration,
    taken: Vec<Bytes>,
    sent: VecDeque<Sent>,
}

impl Asking {
    /// `patience`: how long an answer may take.
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            patience,
            taken: Vec::new(),
            sent: VecDeque::new(),
        }
    }

    /// Tells those that wait that there will be no answer, and those that were not sent that they
    /// were not.
    pub(super) fn end(self, orders: &mut UnboundedReceiver<Request>) {
        orders.close();
        while let Ok(request) = orders.try_recv() {
            let _ = request.answer.send(Err(Failure::Unreachable));
        }
        for sent in self.sent {
            let _ = sent.answer.send(Err(Failure::Unanswered));
        }
    }
}

impl Talk for Asking {
    type Order = Request;

    fn take(&mut self, order: Request, now: Instant) {
        self.taken.push(order.command);
        self.sent.push_back(Sent {
            at: now,
            answer: order.answer,
            _share: order.share,
        });
    }

    fn write(&mut self, output: &mut BytesMut, _: Instant) {
        for command in self.taken.drain(..) {
            output.extend_from_slice(&command);
        }
    }

    fn hear(&mut self, reply: Reply, _: Instant) -> Result<(), Loss> {
        let sent = self.sent.pop_front().ok_or(Loss::Unreadable)?;
        // Nobody may wait for it any more.
        let _ = sent.answer.send(Ok(reply));
        Ok(())
    }

    fn look(&mut self, now: Instant) -> Result<(), Loss> {
        match self.sent.front() {
            Some(sent) if now.duration_since(sent.at) > self.patience => Err(Loss::Overdue),
            _ => Ok(()),
        }
    }
}
