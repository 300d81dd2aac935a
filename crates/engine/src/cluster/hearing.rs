//! What is done with a message at once, and what has to wait.
//!
//! Hellos and answers are dealt with where they arrive: nothing that is slow in this node can make
//! it forget its peers, or miss what they answer. What the others want of its shards queues.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campanile_protocol::Payload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::NodeId;
use super::counts::Counts;
use super::message::{self, Message, Skip};
use super::registry::{Registry, Standing};
use super::survey::{Part, Surveys};
use crate::limits::{ERRAND_OVERHEAD_BYTES, ERRANDS_BYTES_MAX};
use crate::shard::Secret;
use crate::time::{Clock, Moment};

/// Something that another node wants of this one.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) want: Want,
    /// Its share of what may queue.
    _room: OwnedSemaphorePermit,
}

/// What.
#[derive(Debug)]
pub(crate) enum Want {
    /// To answer.
    Question {
        asker: NodeId,
        id: u64,
        question: Box<[u8]>,
    },
    /// To bring a frame to the session with this secret.
    Emulate { secret: Secret, frame: Payload },
}

/// See the [module](self).
pub(super) struct Hearing {
    pub(super) id: NodeId,
    pub(super) counts: Counts,
    clock: Arc<dyn Clock>,
    /// Locked for one message or one look; never over an await.
    state: Mutex<State>,
    standing: watch::Sender<Standing>,
    errands: mpsc::UnboundedSender<Errand>,
    room: Arc<Semaphore>,
}

pub(super) struct State {
    pub(super) registry: Registry,
    pub(super) surveys: Surveys,
}

impl Hearing {
    pub(super) fn new(
        id: NodeId,
        clock: Arc<dyn Clock>,
    ) -> (Self, mpsc::UnboundedReceiver<Errand>) {
        let (errands, queue) = mpsc::unbounded_channel();
        let hearing = Self {
            id,
            counts: Counts::default(),
            state: Mutex::new(State {
                registry: Registry::new(id, clock.now().moment),
                surveys: Surveys::default(),
            }),
            clock,
            standing: watch::Sender::new(Standing::Gathering),
            errands,
            room: Arc::new(Semaphore::new(ERRANDS_BYTES_MAX)),
        };
        (hearing, queue)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Tells whoever waits for it how the node stands now.
    pub(super) fn tell_standing(&self, now: Moment) {
        let standing = self.state().registry.standing(now);
        self.standing
            .send_if_modified(|told| std::mem::replace(told, standing) != standing);
    }

    pub(super) fn hear(&self, bytes: &[u8]) {
        let (from, message) = match message::decode(bytes) {
            Ok(heard) => heard,
            Err(Skip::Unknown | Skip::Malformed) => return self.counts.skipped(),
        };
        let now = self.clock.now().moment;
        let is_own = from == self.id;
        if !is_own {
            self.counts.received();
        }
        match message {
            Message::Hello { incarnation, info } => {
                let (id, name) = (info.id.clone(), info.name.clone());
                let is_new = !is_own && !self.state().registry.knows(from);
                if !self.state().registry.greet(now, from, incarnation, info) {
                    self.counts.dropped();
                } else if is_new {
                    tracing::info!(node = id, name, "a node is there");
                }
                self.tell_standing(now);
            }
            Message::Goodbye { incarnation } => {
                let mut state = self.state();
                if state.registry.part(from, incarnation) {
                    state.surveys.part(from);
                    tracing::info!(node = %from, "a node has left");
                }
            }
            Message::Answer {
                id,
                part,
                is_last,
                reply,
                bytes,
            } => {
                let part = Part {
                    number: part,
                    is_last,
                    reply,
                    bytes,
                };
                self.state().surveys.answer(id, from, &part);
            }
            Message::Question { .. } if is_own => {}
            Message::Question { id, question } => self.queue(question.len(), || Want::Question {
                asker: from,
                id,
                question: question.into(),
            }),
            Message::Emulate { secret, frame } => self.queue(frame.len(), || Want::Emulate {
                secret: Secret::from_bytes(secret),
                frame: frame.into(),
            }),
        }
    }

    pub(super) fn sweep(&self, now: Moment) {
        let mut state = self.state();
        for (id, info) in state.registry.lapse(now) {
            tracing::warn!(node = %id, name = info.name, "a node is silent, and given up");
            state.surveys.lapse(id);
        }
        state.surveys.sweep(now);
        drop(state);
        self.tell_standing(now);
    }

    /// Ends what is asked, and has nothing asked any more.
    pub(super) fn end(&self, now: Moment) {
        let mut state = self.state();
        state.registry.end();
        state.surveys.end();
        drop(state);
        self.tell_standing(now);
    }

    fn queue(&self, bytes: usize, want: impl FnOnce() -> Want) {
        let bytes = u32::try_from(bytes + ERRAND_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            Ok(room) => {
                let want = want();
                // Nobody takes errands of a node that is gone.
                let _ = self.errands.send(Errand { want, _room: room });
            }
            Err(_) => self.counts.dropped(),
        }
    }
}
