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

mod pool;
mod state;
mod turns;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use campanile_engine::node::{Node, ShardSeat};
use campanile_engine::shard::{Errand, SessionKey, Shard};
use campanile_engine::time::Now;
use campanile_protocol::ws;

use super::admission::Place;
use super::connection::{Connection, Input, Speech};
use super::io::Io;
use super::sockets::SocketSet;
use super::upgrade::Opening;
pub use pool::WorkerPool;
use state::State;
use turns::Turns;

/// Connections that are turned away and have yet to read why.
const REFUSALS_MAX: usize = 16;

/// The worker of a thread.
pub struct Worker {
    node: Arc<Node>,
    state: RefCell<State>,
    /// Wakes the loop, for changes that other tasks of this thread make.
    turn: RefCell<Option<Waker>>,
}

impl Worker {
    fn start(node: Arc<Node>, seat: ShardSeat, limits: ws::Limits) -> Rc<Self> {
        let now = node.clock().now();
        let shard = Shard::new(
            seat.id,
            node.id(),
            node.settings(),
            node.namespaces(),
            Arc::clone(node.budget()),
            now,
        );
        let sockets = SocketSet::new().unwrap_or_else(|error| {
            tracing::error!(%error, "a worker has no readiness queue; the process cannot go on");
            std::process::abort();
        });
        let worker = Rc::new(Self {
            node,
            state: RefCell::new(State::new(shard, sockets, Input::new(limits))),
            turn: RefCell::default(),
        });
        let turns = Turns::new(Rc::clone(&worker), seat);
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

    /// Takes over a connection: its response is written first, `read` has been read from it already.
    pub(super) fn adopt(self: &Rc<Self>, io: Io, opening: Opening, read: &mut [u8], place: Place) {
        self.take_over(io, opening, read, Some(place));
    }

    /// Says a last word over a connection that is not let in.
    pub(super) fn refuse(self: &Rc<Self>, io: Io, head: Vec<u8>) {
        if self.state.borrow().refusals < REFUSALS_MAX {
            let opening = Opening {
                speech: Speech::Nothing,
                window: None,
                head,
                handshake: None,
                words: None,
            };
            self.take_over(io, opening, &mut [], None);
        } else if let Io::Plain(stream) = io {
            // Those that are turned away must not keep descriptors from those that are served. The
            // word fits into an empty socket; whether it is read before the end is up to luck.
            let _ = stream.try_write(&head);
        }
    }

    fn take_over(self: &Rc<Self>, io: Io, opening: Opening, read: &mut [u8], place: Option<Place>) {
        let Opening {
            speech,
            window,
            head,
            handshake,
            words,
        } = opening;
        let now = self.node.clock().now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if place.is_some() {
            state.drain_again();
        }
        let key = match speech {
            Speech::Session(wire) => {
                if !wire.answers_pings() {
                    // Nothing but the kernel notices that such a client has vanished.
                    let settings = self.node.settings();
                    io.limit_silence(settings.ping_interval + settings.pong_timeout);
                }
                let mut random = [[0; 16]; 2];
                getrandom::fill(random.as_flattened_mut()).expect("the system has random numbers");
                state.shard.open(now, wire, random, handshake)
            }
            Speech::Echo | Speech::Nothing => state.shard.open_bare(now),
        };
        if let Err(error) = state.sockets.insert(key.index, io) {
            tracing::warn!(%error, "a connection cannot be taken over");
            return state.shard.release(now, key);
        }
        let slot = key.index as usize;
        if state.connections.len() <= slot {
            state.connections.resize_with(slot + 1, || None);
        }
        let mut connection = Connection::new(key, speech, window.is_some());
        if speech == Speech::Nothing {
            state.refusals += 1;
            state.shard.close_with(now, key, head);
        } else {
            state.shard.send(now, key, head);
            if let Some(window) = window {
                state.shard.compress(key, window);
            }
            if let Some(words) = words {
                connection.begin(&mut state.shard, now, words);
            }
            connection.receive(&mut state.shard, now, &mut state.input, read);
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
                    let mut reading = Box::pin(async move {
                        let page = node.read_gap(&channel, position).await;
                        (channel, page)
                    });
                    // Quiet channels are read all the time, and seldom have news.
                    if let Some((channel, page)) = poll_once(reading.as_mut()) {
                        state.shard.repaired(now, &channel, page);
                        continue;
                    }
                    let worker = Rc::clone(self);
                    actix_rt::spawn(async move {
                        let (channel, page) = reading.await;
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
        connection.resume(&mut state.shard, now, &mut state.input);
        if connection.reads() || connection.is_paused(&state.shard) {
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
