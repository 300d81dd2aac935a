//! What a worker has: its shard, its sockets, its connections, and what is done with them.

use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::Duration;

use campanile_engine::node::Control;
use campanile_engine::shard::{Errand, Secret, SessionKey, Shard};
use campanile_engine::time::{Moment, Now};
use campanile_protocol::Disconnect;

use super::super::admission::Place;
use super::super::connection::{Connection, Input};
use super::super::sockets::SocketSet;

/// Bytes read at a time, by all connections of a worker in turn.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Sockets read in one turn.
const READS_PER_TURN: usize = 256;
/// Reads of one socket in one turn, so that one client cannot keep the others waiting.
const READS_PER_SOCKET: usize = 4;
/// Sockets written in one turn: about 3 ms of system calls.
const WRITES_PER_TURN: usize = 512;
/// Frames written with one system call.
const SLICES_PER_WRITE: usize = 64;

pub(super) struct State {
    pub(super) shard: Shard,
    pub(super) sockets: SocketSet,
    /// By the index of their session, like the sockets.
    pub(super) connections: Vec<Option<(Connection, Option<Place>)>>,
    ready: Vec<u32>,
    /// Closes still to be made, and when the last one is due.
    drain: Option<Drain>,
    /// Connections to which nothing but a refusal is said.
    pub(super) refusals: usize,
    scratch: Box<[u8]>,
    pub(super) input: Input,
    pub(super) errands: Vec<Errand>,
}

#[derive(Debug)]
struct Drain {
    until: Moment,
    next: Moment,
    /// Whether there is nobody left who could be told. Somebody who was let in before may yet come.
    is_over: bool,
}

/// Time between two steps of a drain.
pub(super) const DRAIN_STEP: Duration = Duration::from_millis(50);

impl State {
    pub(super) fn new(shard: Shard, sockets: SocketSet, input: Input) -> Self {
        Self {
            shard,
            sockets,
            connections: Vec::new(),
            ready: Vec::new(),
            drain: None,
            refusals: 0,
            scratch: vec![0; SCRATCH_BYTES].into(),
            input,
            errands: Vec::new(),
        }
    }

    /// Reads what has come. Returns whether there is more.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if let Poll::Ready(Err(error)) = self.sockets.poll_events(cx) {
            tracing::error!(%error, "the readiness queue failed; the process cannot go on");
            std::process::abort();
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.sockets.take_ready(READS_PER_TURN, &mut ready);
        for index in ready.drain(..) {
            self.read_socket(now, index);
        }
        self.ready = ready;
        self.sockets.has_ready()
    }

    fn read_socket(&mut self, now: Now, index: u32) {
        for _ in 0..READS_PER_SOCKET {
            let Some(Some((connection, _))) = self.connections.get_mut(index as usize) else {
                return;
            };
            let key = connection.key;
            let is_open = self.shard.is_open(key);
            if is_open && connection.is_paused(&self.shard) {
                connection.resume(&mut self.shard, now, &mut self.input);
                if connection.is_blocked {
                    self.write_socket(now, key);
                }
                break;
            }
            if is_open && !connection.reads() {
                // An answer is waited for, and lists the socket again; only writing can go on.
                if connection.is_blocked {
                    self.write_socket(now, key);
                }
                return;
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
                    connection.receive(&mut self.shard, now, &mut self.input, bytes);
                    if connection.is_paused(&self.shard) {
                        break;
                    }
                }
            }
        }
        self.sockets.list(index);
    }

    /// Writes what waits. Returns whether there is more.
    pub(super) fn write(&mut self, now: Now) -> bool {
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

    pub(super) fn drop_connection(&mut self, now: Now, key: SessionKey) {
        self.sockets.remove(key.index);
        if let Some(slot) = self.connections.get_mut(key.index as usize)
            && let Some((connection, _)) = slot
            && connection.key == key
        {
            self.refusals -= usize::from(connection.is_refused());
            *slot = None;
        }
        self.shard.release(now, key);
    }

    /// Closes as many sessions as is due by now. Returns whether there are more.
    pub(super) fn drain_step(&mut self, now: Now) -> bool {
        let Some(drain) = &mut self.drain else {
            return false;
        };
        if drain.is_over {
            return false;
        }
        if now.moment < drain.next {
            return true;
        }
        drain.next = now.moment + DRAIN_STEP;
        let left = self.shard.connection_count();
        let steps = drain.until.since(now.moment).as_millis() / DRAIN_STEP.as_millis() + 1;
        let most = left.div_ceil(usize::try_from(steps).unwrap_or(usize::MAX));
        drain.is_over = self.shard.drain(now, most, &Disconnect::SHUTDOWN) == 0;
        !drain.is_over
    }

    /// Somebody has come, who has to leave again if others had to.
    pub(super) const fn drain_again(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.is_over = false;
        }
    }

    /// Brings commands to a session that speaks over another connection. Nobody waits to be told
    /// that it is gone: its client sees the end of that connection.
    fn emulate(&mut self, now: Now, secret: Secret, frame: &[u8]) {
        let key = self.shard.find_by_secret(secret);
        if let Some(key) = key
            && let Some(Some((connection, _))) = self.connections.get_mut(key.index as usize)
        {
            connection.hear_frame(&mut self.shard, now, frame);
        }
    }

    pub(super) fn control(&mut self, now: Now, control: Control) {
        // Whoever asked may have gone away meanwhile, and then wants no answer.
        match control {
            Control::Order(target, order, done) => {
                let _ = done.send(self.shard.order(now, &target, &order));
            }
            Control::Report(done) => {
                let _ = done.send(self.shard.report());
            }
            Control::Channels(filter, done) => {
                let accepted = self
                    .shard
                    .channels()
                    .filter(|(name, _)| filter.accepts(name.as_str()));
                let channels = accepted.map(|(name, members)| (name.clone(), members));
                let _ = done.send(channels.collect());
            }
            Control::Sessions(target, done) => {
                let _ = done.send(self.shard.sessions(&target));
            }
            Control::Emulate(secret, frame) => self.emulate(now, secret, &frame),
            Control::Follow(settings, namespaces, done) => {
                self.shard.follow(settings, namespaces);
                let _ = done.send(());
            }
            Control::Drain(pace) => {
                self.drain = Some(Drain {
                    until: now.moment + pace,
                    next: now.moment,
                    is_over: false,
                });
            }
        }
    }
}
