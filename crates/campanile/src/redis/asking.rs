//! Requests over one line, answered in the order in which they were sent.
//!
//! Where replicas must have what was done, Redis is asked for that behind every group of requests
//! that goes out at once, and the group is answered when it says so.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::command::write;
use super::failure::Failure;
use super::line::{Loss, Talk};
use super::reply::Reply;

/// Who waits for an answer.
type Waiting = oneshot::Sender<Result<Reply, Failure>>;

/// A request and who waits for its answer.
pub(super) struct Request {
    pub(super) command: Bytes,
    pub(super) answer: Waiting,
    /// What it takes of what may be under way.
    pub(super) share: OwnedSemaphorePermit,
}

/// What was sent and has no answer.
struct Sent {
    at: Instant,
    /// `None` for the question how many replicas have what went before.
    request: Option<(Waiting, OwnedSemaphorePermit)>,
}

/// See the [module](self).
pub(super) struct Asking {
    patience: Duration,
    /// How many must have it, and how long that may take.
    replicas: Option<(u32, Duration)>,
    taken: Vec<Bytes>,
    sent: VecDeque<Sent>,
    /// Answers that wait for replicas.
    held: Vec<(Waiting, Reply)>,
}

impl Asking {
    /// `io_timeout`: how long an answer may take, beside what `replicas` may.
    pub(super) fn new(io_timeout: Duration, replicas: Option<(u32, Duration)>) -> Self {
        let extra = replicas.map_or(Duration::ZERO, |(_, timeout)| timeout);
        Self {
            patience: io_timeout + extra,
            replicas,
            taken: Vec::new(),
            sent: VecDeque::new(),
            held: Vec::new(),
        }
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Tells those that wait that there will be no answer, and those that were not sent that they
    /// were not.
    pub(super) fn end(self, orders: &mut UnboundedReceiver<Request>) {
        orders.close();
        while let Ok(request) = orders.try_recv() {
            let _ = request.answer.send(Err(Failure::Unreachable));
        }
        let sent = self.sent.into_iter().filter_map(|sent| sent.request);
        let waiting = sent.map(|(waiting, _)| waiting);
        let held = self.held.into_iter().map(|(waiting, _)| waiting);
        for waiting in held.chain(waiting) {
            let _ = waiting.send(Err(Failure::Unanswered));
        }
    }

    /// Answers what waited for replicas, of which so many have it.
    fn release(&mut self, having: &Reply) {
        let needed = self.replicas.map_or(0, |(count, _)| i64::from(count));
        let is_safe = having.integer().is_some_and(|having| having >= needed);
        for (waiting, reply) in self.held.drain(..) {
            // What was refused was not done, whoever has it.
            let answer = match reply {
                reply if is_safe || matches!(reply, Reply::Error(_)) => Ok(reply),
                _ => Err(Failure::Unanswered),
            };
            let _ = waiting.send(answer);
        }
    }
}

impl Talk for Asking {
    type Order = Request;

    fn take(&mut self, order: Request, now: Instant) {
        self.taken.push(order.command);
        self.sent.push_back(Sent {
            at: now,
            request: Some((order.answer, order.share)),
        });
    }

    fn write(&mut self, output: &mut BytesMut, now: Instant) {
        if self.taken.is_empty() {
            return;
        }
        for command in self.taken.drain(..) {
            output.extend_from_slice(&command);
        }
        if let Some((count, timeout)) = self.replicas {
            let (count, timeout) = (count.to_string(), timeout.as_millis().max(1).to_string());
            let parts = ["WAIT", &count, &timeout].map(str::as_bytes);
            write(output, parts.into_iter());
            self.sent.push_back(Sent {
                at: now,
                request: None,
            });
        }
    }

    fn hear(&mut self, reply: Reply, _: Instant) -> Result<(), Loss> {
        match self.sent.pop_front().ok_or(Loss::Unreadable)?.request {
            None => self.release(&reply),
            Some((waiting, _)) if self.replicas.is_some() => self.held.push((waiting, reply)),
            // Nobody may wait for it any more.
            Some((waiting, _)) => drop(waiting.send(Ok(reply))),
        }
        Ok(())
    }

    fn look(&mut self, now: Instant) -> Result<(), Loss> {
        match self.sent.front() {
            Some(sent) if now.duration_since(sent.at) > self.patience => Err(Loss::Overdue),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn ask(asking: &mut Asking, text: &'static str) -> oneshot::Receiver<Result<Reply, Failure>> {
        let room = Arc::new(Semaphore::new(1));
        let (answer, answered) = oneshot::channel();
        let request = Request {
            command: Bytes::from_static(text.as_bytes()),
            answer,
            share: room.try_acquire_owned().unwrap(),
        };
        asking.take(request, Instant::now());
        answered
    }

    #[test]
    fn answers_go_to_those_who_asked_in_order() {
        let mut asking = Asking::new(Duration::from_secs(1), None);
        let mut answers = ["a", "b"].map(|text| ask(&mut asking, text));
        let mut output = BytesMut::new();
        asking.write(&mut output, Instant::now());
        assert_eq!(&output[..], b"ab");
        for number in [1, 2] {
            asking.hear(Reply::Integer(number), Instant::now()).unwrap();
        }
        for (answer, number) in answers.iter_mut().zip([1, 2]) {
            assert_eq!(answer.try_recv(), Ok(Ok(Reply::Integer(number))));
        }
        let unasked = asking.hear(Reply::Nil, Instant::now());
        assert!(matches!(unasked, Err(Loss::Unreadable)));
    }

    #[test]
    fn a_group_is_answered_when_enough_replicas_have_it() {
        for (having, expected) in [(2, Ok(Reply::Nil)), (1, Err(Failure::Unanswered))] {
            let replicas = Some((2, Duration::from_millis(7)));
            let mut asking = Asking::new(Duration::from_secs(1), replicas);
            let mut answers = ["a", "b"].map(|text| ask(&mut asking, text));
            let mut output = BytesMut::new();
            asking.write(&mut output, Instant::now());
            assert_eq!(&output[..], b"ab*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$1\r\n7\r\n");
            for _ in 0..2 {
                asking.hear(Reply::Nil, Instant::now()).unwrap();
                assert!(answers[0].try_recv().is_err(), "held");
            }
            asking.hear(Reply::Integer(having), Instant::now()).unwrap();
            for answer in &mut answers {
                assert_eq!(answer.try_recv(), Ok(expected.clone()));
            }
        }
    }

    #[test]
    fn an_overdue_answer_ends_the_line_and_all_that_wait() {
        let mut asking = Asking::new(Duration::from_secs(1), None);
        let mut answer = ask(&mut asking, "a");
        let in_millis = |millis| Instant::now() + Duration::from_millis(millis);
        assert!(asking.look(in_millis(500)).is_ok());
        assert!(matches!(asking.look(in_millis(1500)), Err(Loss::Overdue)));
        let (orders, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        asking.end(&mut receiver);
        assert_eq!(answer.try_recv(), Ok(Err(Failure::Unanswered)));
        assert!(orders.is_closed());
    }
}
