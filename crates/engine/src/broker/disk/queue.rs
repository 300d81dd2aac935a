//! What waits for the commit thread, bounded in bytes.
//!
//! A publisher waits for room before its request enters the queue; what is in the queue is taken in
//! order, as much at a time as makes one group. While the disk stands still, nobody waits for it
//! without end: what was not taken yet is refused.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use campanile_protocol::Publication;
use futures_util::future::{Either, select};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::broker::{BrokerError, NewPublication, Published};
use crate::channel::ChannelName;
use crate::limits::{CARRY_BYTES_MAX, COMMIT_QUEUE_BYTES_MAX, DELIVERY_OVERHEAD_BYTES};
use crate::store::Place;

/// Where the outcome of a request is told.
pub(super) type Tell<T> = oneshot::Sender<Result<T, BrokerError>>;

/// Tells an outcome. Who does not listen any more does not want to know.
pub(super) fn answer<T>(tell: Tell<T>, outcome: Result<T, BrokerError>) {
    let _ = tell.send(outcome);
}

/// What the commit thread is asked for. Publishes are in no box: another thread would free it than
/// made it.
#[derive(Debug)]
pub(super) enum Request {
    /// Publish.
    Publish(PublishRequest),
    /// Forget the publications of a channel up to an offset.
    Remove {
        channel: ChannelName,
        /// Up to where; `None` for all.
        through: Option<u64>,
        tell: Tell<()>,
        /// Its share of the queue, if somebody outside asked.
        room: Option<Room>,
    },
    /// Write what is still needed of an old segment to the log's end.
    Carry {
        /// The segment.
        segment: u32,
        residues: Vec<Residue>,
        tell: Tell<()>,
    },
    /// Write a group with the present time, although there is nothing to say.
    Mark { tell: Tell<()> },
    /// Look whether something is to be done that nobody asked for.
    Tick,
}

#[derive(Debug)]
pub(super) struct PublishRequest {
    pub(super) new: NewPublication,
    pub(super) tell: Tell<Published>,
    pub(super) room: Room,
}

/// A share of the queue in bytes, which [`Queue`] gives back when the request leaves it: for many
/// requests at once, so that publishers and the commit thread seldom meet at the count.
#[derive(Debug)]
pub(super) struct Room(u32);

/// What is needed of one channel in an old segment, at most. Its state goes along.
#[derive(Debug)]
pub(super) struct Residue {
    pub(super) channel: ChannelName,
    pub(super) publications: Vec<(Place, Arc<Publication>)>,
    pub(super) keys: Vec<Box<str>>,
}

/// See the [module](self).
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
    room: Semaphore,
    /// Places to wait for room.
    outside: Semaphore,
    /// Whether the disk stands still.
    stalled: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// What these count for in a group.
    bytes: usize,
    is_closed: bool,
    /// Whether the commit thread sleeps, so that nobody else pays for waking it.
    is_idle: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            arrival: Condvar::new(),
            room: Semaphore::new(COMMIT_QUEUE_BYTES_MAX),
            outside: Semaphore::new(COMMIT_QUEUE_BYTES_MAX),
            stalled: watch::Sender::new(false),
        }
    }

    /// Waits until a request with `payload_bytes` fits into the queue, where it then has to be pushed.
    ///
    /// # Errors
    /// The disk stands still, or as much waits as the queue holds.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub(super) async fn admit(&self, payload_bytes: usize) -> Result<Room, BrokerError> {
        let bytes = (payload_bytes + DELIVERY_OVERHEAD_BYTES).min(COMMIT_QUEUE_BYTES_MAX);
        let permits = u32::try_from(bytes).expect("the whole queue fits into u32");
        if let Ok(room) = self.room.try_acquire_many(permits) {
            room.forget();
            return Ok(Room(permits));
        }
        // Who waits here holds a share of the inboxes, which others need too that do not want the disk.
        let outside = self.outside.try_acquire_many(permits);
        let _outside = outside.map_err(|_| BrokerError::Busy)?;
        let mut stalled = self.stalled.subscribe();
        let room = self.room.acquire_many(permits);
        let stall = stalled.wait_for(|is_stalled| *is_stalled);
        match select(std::pin::pin!(room), std::pin::pin!(stall)).await {
            Either::Left((room, _)) => {
                room.expect("the semaphore is never closed").forget();
                Ok(Room(permits))
            }
            Either::Right(_) => Err(BrokerError::Busy),
        }
    }

    /// Adds `request`.
    ///
    /// # Errors
    /// The queue is closed.
    pub(super) fn push(&self, request: Request) -> Result<(), BrokerError> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(BrokerError::Stopped);
        }
        waiting.bytes += request.bytes();
        waiting.requests.push_back(request);
        let is_idle = std::mem::take(&mut waiting.is_idle);
        drop(waiting);
        if is_idle {
            self.arrival.notify_one();
        }
        Ok(())
    }

    /// Waits for requests and moves the oldest to `batch`, which is empty, while they count for at
    /// most `bytes` together, but at least one. Returns `false` when the queue is closed and empty.
    pub(super) fn take(&self, batch: &mut VecDeque<Request>, bytes: usize) -> bool {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            if waiting.is_closed {
                return false;
            }
            waiting.is_idle = true;
            let arrival = self.arrival.wait(waiting);
            waiting = arrival.unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.bytes <= bytes {
            // All at once: every publisher waits for the lock.
            std::mem::swap(&mut waiting.requests, batch);
            waiting.bytes = 0;
        } else {
            let mut taken = 0;
            while let Some(next) = waiting.requests.front() {
                let more = taken + next.bytes();
                if more > bytes && !batch.is_empty() {
                    break;
                }
                taken = more;
                batch.extend(waiting.requests.pop_front());
            }
            waiting.bytes -= taken;
        }
        drop(waiting);
        self.give_back(batch);
        true
    }

    fn give_back(&self, requests: &VecDeque<Request>) {
        let rooms = requests.iter().map(Request::room);
        self.room.add_permits(rooms.sum());
    }

    /// Says whether the disk stands still. If it does, what waits is refused; returns how much.
    pub(super) fn set_stalled(&self, is_stalled: bool) -> usize {
        self.stalled.send_replace(is_stalled);
        if is_stalled {
            self.refuse_all(BrokerError::Busy)
        } else {
            0
        }
    }

    /// Refuses what waits; returns how much.
    pub(super) fn refuse_all(&self, error: BrokerError) -> usize {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        self.give_back(&requests);
        let count = requests.len();
        requests
            .into_iter()
            .for_each(|request| request.refuse(error));
        count
    }

    pub(super) fn is_stalled(&self) -> bool {
        *self.stalled.borrow()
    }

    /// Takes no more requests; those that wait are still carried out.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrival.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// What it counts for in a group.
    fn bytes(&self) -> usize {
        match self {
            Self::Publish(publish) => publish.room.0 as usize,
            // As much as makes one group.
            Self::Carry { .. } => CARRY_BYTES_MAX,
            Self::Remove { .. } | Self::Mark { .. } | Self::Tick => DELIVERY_OVERHEAD_BYTES,
        }
    }

    /// What it has of the queue's room.
    fn room(&self) -> usize {
        match self {
            Self::Publish(publish) => publish.room.0 as usize,
            Self::Remove { room, .. } => room.as_ref().map_or(0, |room| room.0 as usize),
            Self::Carry { .. } | Self::Mark { .. } | Self::Tick => 0,
        }
    }

    /// Tells that nothing comes of it.
    pub(super) fn refuse(self, error: BrokerError) {
        match self {
            Self::Publish(publish) => answer(publish.tell, Err(error)),
            Self::Remove { tell, .. } | Self::Carry { tell, .. } | Self::Mark { tell } => {
                answer(tell, Err(error));
            }
            Self::Tick => {}
        }
    }
}
