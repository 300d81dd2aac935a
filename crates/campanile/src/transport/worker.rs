//! One worker thread: a shard, its sockets, and the loop that drives both.
//!
//! ```text
//!   inbox ──► deliver ──┐
//!   orders ──► order ───┤                     ┌──► write each dirty outbox once
//!   sockets ──► read ───┼──► shard ── dirty ──┤
//!   answers ──► answer ─┤                     └──► errands: ask the node, bring the answer
//!   timer ──► tick ─────┘
//! ```
//!
//! The loop is one task. Each turn takes a bounded amount of everything, then yields to the HTTP
//! handlers of the same thread. All publications that wait are put into outboxes before anything
//! is written, so that a busy client gets many frames with one system call.

use std::cell::RefCell;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use campanile_engine::delivery::Delivery;
use campanile_engine::node::{Control, Node, ShardSeat};
use campanile_engine::shard::{Errand, SessionKey, Shard, ShardStats, ShardTotals};
use campanile_engine::time::Now;
use campanile_protocol::{Disconnect, ws};
use tokio::time::Sleep;

use super::admission::Place;
use super::connection::{Connection, Speech};
use super::io::Io;
use super::sockets::SocketSet;

/// Bytes read at a time, by all connections of a worker in turn.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Publications put into outboxes in one turn.
const DELIVERIES_PER_TURN: usize = 64;
/// Orders carried out in one turn; each may concern every session.
const CONTROLS_PER_TURN: usize = 16;
/// Sockets read in one turn.
const READS_PER_TURN: usize = 256;
/// Reads of one socket in one turn, so that one client cannot keep the others waiting.
const READS_PER_SOCKET: usize = 4;
/// Sockets written in one turn: about 3 ms of system calls.
const WRITES_PER_TURN: usize = 512;
/// Rounds of questions and answers in one turn: connecting with subscriptions takes two.
const ERRANDS_PER_TURN: usize = 8;
/// Frames written with one system call.
const SLICES_PER_WRITE: usize = 64;

/// What a worker publishes about itself for whoever watches.
#[derive(Debug, Default)]
pub struct WorkerReport(Mutex<(ShardStats, ShardTotals)>);

impl WorkerReport {
    /// The latest counts.
    #[must_use]
    pub fn read(&self) -> (ShardStats, ShardTotals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seats of all shards; each worker thread takes one.
pub struct WorkerPool {
    node: Arc<Node>,
    seats: Mutex<Vec<ShardSeat>>,
    limits: ws::Limits,
    reports: Vec<Arc<WorkerReport>>,
}

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

impl WorkerPool {
    /// A pool of these seats.
    #[must_use]
    pub fn new(node: Arc<Node>, mut seats: Vec<ShardSeat>, limits: ws::Limits) -> Self {
        let reports = seats.iter().map(|_| Arc::default()).collect();
        // Taken from the back, so that the first worker has the first shard.
        seats.reverse();
        Self {
            node,
            seats: Mutex::new(seats),
            limits,
            reports,
        }
    }

    /// What every worker last said about itself.
    #[must_use]
    pub fn reports(&self) -> &[Arc<WorkerReport>] {
        &self.reports
    }

    /// The worker of this thread, begun when it is first asked for.
    ///
    /// # Panics
    /// When there are more worker threads than seats: one of them has died and was started again,
    /// and its sessions and subscriptions are lost with it. The process ends then, since a node
    /// that quietly serves a part of its clients is worse than one that is started again.
    #[must_use]
    pub fn worker(&self) -> Rc<Worker> {
        WORKER.with_borrow_mut(|worker| {
            let worker = worker.get_or_insert_with(|| {
                let seat = self
                    .seats
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop();
                let Some(seat) = seat else {
                    tracing::error!("a worker thread died; the process cannot go on");
                    std::process::abort();
                };
                let report = Arc::clone(&self.reports[usize::from(seat.id.as_u8())]);
                Worker::start(Arc::clone(&self.node), seat, self.limits, report)
            });
            Rc::clone(worker)
        })
    }
}

/// The worker of a thread.
pub struct Worker {
    node: Arc<Node>,
    limits: ws::Limits,
    state: RefCell<State>,
    /// Wakes the loop, for changes that other tasks of this thread make.
    turn: RefCell<Option<Waker>>,
}

struct State {
    shard: Shard,
    sockets: SocketSet,
    /// By the index of their session, like the sockets.
    connections: Vec<Option<(Connection, Option<Place>)>>,
    ready: Vec<u32>,
    /// Closes still to be made, and when the last one is due.
    drain: Option<Drain>,
    scratch: Box<[u8]>,
    errands: Vec<Errand>,
}

#[derive(Debug)]
struct Drain {
    until: campanile_engine::time::Moment,
    next: campanile_engine::time::Moment,
}

/// Time between two steps of a drain.
const DRAIN_STEP: Duration = Duration::from_millis(50);

impl Worker {
    fn start(
        node: Arc<Node>,
        seat: ShardSeat,
        limits: ws::Limits,
        report: Arc<WorkerReport>,
    ) -> Rc<Self> {
        let now = node.clock().now();
        let shard = Shard::new(
            seat.id,
            Arc::clone(node.settings()),
            Arc::clone(node.namespaces()),
            Arc::clone(node.budget()),
            now,
        );
        let sockets = SocketSet::new().unwrap_or_else(|error| {
            tracing::error!(%error, "a worker has no readiness queue; the process cannot go on");
            std::process::abort();
        });
        let state = State {
            shard,
            sockets,
            connections: Vec::new(),
            ready: Vec::new(),
            drain: None,
            scratch: vec![0; SCRATCH_BYTES].into(),
            errands: Vec::new(),
        };
        let worker = Rc::new(Self {
            node,
            limits,
            state: RefCell::new(state),
            turn: RefCell::default(),
        });
        let turns = Turns {
            worker: Rc::clone(&worker),
            seat,
            report,
            deliveries: Vec::with_capacity(DELIVERIES_PER_TURN),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        // Without tokio's budget for one poll: the loop has its own, and past tokio's every socket
        // would pretend to be busy.
        actix_rt::spawn(tokio::task::unconstrained(turns));
        worker
    }

    fn register(&self, waker: &Waker) {
        let mut turn = self.turn.borrow_mut();
        if !turn.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.turn.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The present.
    pub(super) fn now(&self) -> Now {
        self.node.clock().now()
    }

    /// Takes over a connection: `head` is written first, `read` has been read from it already.
    pub(super) fn adopt(
        self: &Rc<Self>,
        io: Io,
        speech: Speech,
        head: Vec<u8>,
        read: &mut [u8],
        place: Option<Place>,
    ) {
        let now = self.node.clock().now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let key = match speech {
            Speech::Session(wire) => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).expect("the system has random numbers");
                state.shard.open(now, wire, random)
            }
            Speech::Echo | Speech::Nothing => state.shard.open_bare(),
        };
        if let Err(error) = state.sockets.insert(key.index, io) {
            tracing::warn!(%error, "a connection cannot be taken over");
            return state.shard.release(now, key);
        }
        let slot = key.index as usize;
        if state.connections.len() <= slot {
            state.connections.resize_with(slot + 1, || None);
        }
        let mut connection = Connection::new(key, speech);
        if speech == Speech::Nothing {
            state.shard.close_with(now, key, head.into());
        } else {
            state.shard.send(now, key, head.into());
            connection.receive(&mut state.shard, now, &self.limits, read);
        }
        state.connections[slot] = Some((connection, place));
        self.wake();
    }

    fn run_errands(self: &Rc<Self>, state: &mut State, now: Now) {
        state.shard.take_errands(&mut state.errands);
        let mut errands = std::mem::take(&mut state.errands);
        // Answering may leave new errands; those are for the next turn.
        for errand in errands.drain(..) {
            let node = Arc::clone(&self.node);
            let shard = state.shard.id();
            match errand {
                Errand::Ask(key, ticket, ask) => {
                    let mut asking = Box::pin(async move { node.ask(shard, ask).await });
                    // Most answers are there at once, and need no task.
                    if let Some(answer) = poll_once(asking.as_mut()) {
                        state.shard.answer(now, key, ticket, answer);
                        self.resume(state, now, key);
                        continue;
                    }
                    let worker = Rc::clone(self);
                    actix_rt::spawn(async move {
                        let answer = asking.await;
                        worker.later(|state, now| {
                            state.shard.answer(now, key, ticket, answer);
                            worker.resume(state, now, key);
                        });
                    });
                }
                Errand::Tell(tell) => {
                    let mut telling = Box::pin(async move { node.tell(shard, tell).await });
                    if poll_once(telling.as_mut()).is_none() {
                        actix_rt::spawn(telling);
                    }
                }
                Errand::Repair(channel, position) => {
                    let worker = Rc::clone(self);
                    actix_rt::spawn(async move {
                        let page = node.read_gap(&channel, position).await;
                        worker.later(|state, now| state.shard.repaired(now, &channel, page));
                    });
                }
            }
        }
        state.errands = errands;
    }

    /// Changes the state from a task other than the loop, which then takes a turn.
    fn later(&self, change: impl FnOnce(&mut State, Now)) {
        let whole = OrAbort;
        let now = self.node.clock().now();
        change(&mut self.state.borrow_mut(), now);
        self.wake();
        std::mem::forget(whole);
    }

    /// Lets a session go on with commands that waited for an answer.
    fn resume(&self, state: &mut State, now: Now, key: SessionKey) {
        let Some(Some((connection, _))) = state.connections.get_mut(key.index as usize) else {
            return;
        };
        if connection.key != key {
            return;
        }
        connection.resume(&mut state.shard, now, &self.limits);
        if connection.reads() {
            state.sockets.list(key.index);
        }
    }
}

/// Ends the process when it is dropped by a panic. A session's own panic is caught earlier; outside
/// of it only the shard's tables can have failed, and a shard that lost track of its sessions
/// cannot tell its clients the truth.
struct OrAbort;

impl Drop for OrAbort {
    fn drop(&mut self) {
        tracing::error!("a shard failed; the process cannot go on");
        std::process::abort();
    }
}

/// Polls a future once, without arranging to be woken.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl State {
    /// Reads what has come. Returns whether there is more.
    fn read(&mut self, cx: &mut Context<'_>, now: Now, limits: &ws::Limits) -> bool {
        if let Poll::Ready(Err(error)) = self.sockets.poll_events(cx) {
            tracing::error!(%error, "the readiness queue failed; the process cannot go on");
            std::process::abort();
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.sockets.take_ready(READS_PER_TURN, &mut ready);
        for index in ready.drain(..) {
            self.read_socket(now, limits, index);
        }
        self.ready = ready;
        self.sockets.has_ready()
    }

    fn read_socket(&mut self, now: Now, limits: &ws::Limits, index: u32) {
        for _ in 0..READS_PER_SOCKET {
            let Some(Some((connection, _))) = self.connections.get_mut(index as usize) else {
                return;
            };
            let key = connection.key;
            let is_open = self.shard.is_open(key);
            if is_open && !connection.reads() {
                break;
            }
            match self.sockets.poll_read(index, &mut self.scratch) {
                // What woke us may have been room to write.
                Poll::Pending if connection.is_blocked => return self.write_socket(now, key),
                Poll::Pending => return,
                Poll::Ready(Ok(0) | Err(_)) => return self.drop_connection(now, key),
                // What a client says after its connection is closed is of no interest, but has to
                // be read: closing a socket with unread bytes cuts off our own last words.
                Poll::Ready(Ok(_)) if !is_open => {}
                Poll::Ready(Ok(length)) => {
                    let bytes = &mut self.scratch[..length];
                    connection.receive(&mut self.shard, now, limits, bytes);
                }
            }
        }
        self.sockets.list(index);
    }

    /// Writes what waits. Returns whether there is more.
    fn write(&mut self, now: Now) -> bool {
        for _ in 0..WRITES_PER_TURN {
            let Some(key) = self.shard.next_dirty() else {
                return false;
            };
            self.write_socket(now, key);
        }
        self.shard.dirty_count() > 0
    }

    fn write_socket(&mut self, now: Now, key: SessionKey) {
        while let Some(outbox) = self.shard.outbox(key) {
            if outbox.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let filled = outbox.slices(&mut slices);
            match self.sockets.poll_write(key.index, &slices[..filled]) {
                Poll::Pending => return self.block(key),
                Poll::Ready(Ok(0) | Err(_)) => return self.drop_connection(now, key),
                Poll::Ready(Ok(written)) => self.shard.wrote(key, written),
            }
        }
        match self.sockets.poll_flush(key.index) {
            Poll::Pending => return self.block(key),
            Poll::Ready(Err(_)) => return self.drop_connection(now, key),
            Poll::Ready(Ok(())) => {}
        }
        let Some(Some((connection, _))) = self.connections.get_mut(key.index as usize) else {
            return;
        };
        connection.drained();
        if self.shard.is_open(key) || connection.is_shut {
            return;
        }
        match self.sockets.poll_shutdown(key.index) {
            Poll::Pending => self.block(key),
            Poll::Ready(Err(_)) => self.drop_connection(now, key),
            Poll::Ready(Ok(())) => {
                connection.is_shut = true;
                self.sockets.list(key.index);
            }
        }
    }

    fn block(&mut self, key: SessionKey) {
        if let Some(Some((connection, _))) = self.connections.get_mut(key.index as usize) {
            connection.is_blocked = true;
        }
    }

    fn drop_connection(&mut self, now: Now, key: SessionKey) {
        self.sockets.remove(key.index);
        if let Some(slot) = self.connections.get_mut(key.index as usize)
            && slot
                .as_ref()
                .is_some_and(|(connection, _)| connection.key == key)
        {
            *slot = None;
        }
        self.shard.release(now, key);
    }

    /// Closes as many sessions as is due by now. Returns whether there are more.
    fn drain_step(&mut self, now: Now) -> bool {
        let Some(drain) = &mut self.drain else {
            return false;
        };
        if now.moment < drain.next {
            return true;
        }
        drain.next = now.moment + DRAIN_STEP;
        let left = self.shard.connection_count();
        let steps = drain.until.since(now.moment).as_millis() / DRAIN_STEP.as_millis() + 1;
        let most = left.div_ceil(usize::try_from(steps).unwrap_or(usize::MAX));
        if self.shard.drain(now, most, &Disconnect::SHUTDOWN) == 0 {
            self.drain = None;
        }
        self.drain.is_some()
    }

    fn control(&mut self, now: Now, control: Control) {
        // Whoever asked may have gone away meanwhile, and then wants no answer.
        match control {
            Control::Order(target, order, done) => {
                let _ = done.send(self.shard.order(now, &target, &order));
            }
            Control::Stats(done) => {
                let _ = done.send(self.shard.stats());
            }
            Control::Channels(filter, done) => {
                let accepted = self
                    .shard
                    .channels()
                    .filter(|(name, _)| (filter.0)(name.as_str()));
                let channels = accepted.map(|(name, members)| (name.clone(), members));
                let _ = done.send(channels.collect());
            }
            Control::Drain(pace) => {
                self.drain = Some(Drain {
                    until: now.moment + pace,
                    next: now.moment,
                });
            }
        }
    }
}

/// The loop of a worker, as a future that never ends.
struct Turns {
    worker: Rc<Worker>,
    seat: ShardSeat,
    report: Arc<WorkerReport>,
    deliveries: Vec<Arc<Delivery>>,
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
    /// Does a bounded amount of everything. Returns whether there is more to do right away.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let worker = Rc::clone(&self.worker);
        let now = worker.node.clock().now();
        let mut state = worker.state.borrow_mut();
        let state = &mut *state;
        let mut has_more = self.deliver(cx, state, now);
        has_more |= self.controls(cx, state, now);
        has_more |= state.read(cx, now, &worker.limits);
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
        state.shard.report();
        *self.report.0.lock().unwrap_or_else(PoisonError::into_inner) =
            (state.shard.stats(), state.shard.totals());
        self.set_timer(cx, state, now, is_draining) || has_more
    }

    fn deliver(&mut self, cx: &mut Context<'_>, state: &mut State, now: Now) -> bool {
        let received =
            self.seat
                .inbox
                .poll_recv_many(cx, &mut self.deliveries, DELIVERIES_PER_TURN);
        for delivery in self.deliveries.drain(..) {
            state.shard.deliver(now, &delivery);
        }
        matches!(received, Poll::Ready(1..))
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
