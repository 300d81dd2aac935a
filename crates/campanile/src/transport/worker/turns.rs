//! The loop of a worker.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use campanile_engine::node::ShardSeat;
use campanile_engine::time::Now;
use tokio::time::Sleep;

use super::state::{DRAIN_STEP, State};
use super::{OrAbort, Worker};

/// Publications put into outboxes in one turn.
const DELIVERIES_PER_TURN: usize = 64;
/// Orders carried out in one turn; each may concern every session.
const CONTROLS_PER_TURN: usize = 16;
/// Rounds of questions and answers in one turn: connecting with subscriptions takes two.
const ERRANDS_PER_TURN: usize = 8;

/// The loop of a worker, as a future that never ends.
pub(super) struct Turns {
    worker: Rc<Worker>,
    seat: ShardSeat,
    timer: Pin<Box<Sleep>>,
}

impl Future for Turns {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let whole = OrAbort;
        this.worker.register(cx.waker());
        if this.turn(cx) {
            cx.waker().wake_by_ref();
        }
        std::mem::forget(whole);
        Poll::Pending
    }
}

impl Turns {
    pub(super) fn new(worker: Rc<Worker>, seat: ShardSeat) -> Self {
        Self {
            worker,
            seat,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Does a bounded amount of everything. Returns whether there is more to do right away.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let worker = Rc::clone(&self.worker);
        let now = worker.node.clock().now();
        let mut state = worker.state.borrow_mut();
        let state = &mut *state;
        let mut has_more = self.deliver(cx, state, now);
        has_more |= self.controls(cx, state, now);
        has_more |= state.read(cx, now);
        state.shard.tick(now);
        while let Some(key) = state.shard.next_overdue() {
            state.drop_connection(now, key);
        }
        let is_draining = state.drain_step(now);
        for _ in 0..ERRANDS_PER_TURN {
            worker.run_errands(state, now);
            if !state.shard.has_errands() {
                break;
            }
        }
        has_more |= state.write(now);
        has_more |= state.shard.has_errands();
        state.shard.shed(now);
        self.set_timer(cx, state, now, is_draining) || has_more
    }

    /// Puts publications into outboxes: not before those of the last turn were offered to every
    /// socket, and not so many that a client which reads could seem slow. Meanwhile they wait in the
    /// inbox, whose bound makes their publishers wait: a quarter of a client's queue in one turn.
    fn deliver(&mut self, cx: &mut Context<'_>, state: &mut State, now: Now) -> bool {
        if state.shard.dirty_count() > 0 {
            return true;
        }
        let mut bytes_left = state.shard.settings().queue_bytes_max / 4;
        for _ in 0..DELIVERIES_PER_TURN {
            let Poll::Ready(Some(delivery)) = self.seat.inbox.poll_recv(cx) else {
                return false;
            };
            state.shard.deliver(now, &delivery);
            bytes_left = bytes_left.saturating_sub(delivery.event.bytes());
            if bytes_left == 0 {
                break;
            }
        }
        true
    }

    fn controls(&mut self, cx: &mut Context<'_>, state: &mut State, now: Now) -> bool {
        for _ in 0..CONTROLS_PER_TURN {
            match self.seat.controls.poll_recv(cx) {
                Poll::Ready(Some(control)) => state.control(now, control),
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }

    /// Arranges to be woken for the shard's next deadline. Returns whether it has come.
    fn set_timer(
        &mut self,
        cx: &mut Context<'_>,
        state: &State,
        now: Now,
        is_draining: bool,
    ) -> bool {
        let step = is_draining.then(|| now.moment + DRAIN_STEP);
        let Some(next) = state.shard.next_tick().into_iter().chain(step).min() else {
            return false;
        };
        let wait = next.since(now.moment);
        self.timer
            .as_mut()
            .reset(tokio::time::Instant::now() + wait);
        self.timer.as_mut().poll(cx).is_ready()
    }
}
