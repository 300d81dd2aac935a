//! Nodes that know each other: who is there, and how one asks all others something.
//!
//! Whatever carries messages between nodes is a [`Bus`]; what it brings goes to a [`ClusterEar`].
//! Publications take another way, that of the broker. What is asked and what is to be done are
//! bytes here: only the node knows what they mean. Nothing here keeps time by itself: whoever runs
//! the node lets it beat and sweep.
//!
//! # Who is there
//! Each node says hello to all every [`BEAT_PERIOD`], itself among them. A peer is known from its
//! first hello on, until it says goodbye or was silent for a [`LEASE`]. A node that does not hear
//! itself has lost its line: it forgets nobody meanwhile, since it cannot know, and asks nobody.
//! A node that comes back to its line after more than a lease was given up by the others, and is
//! another [incarnation](Cluster::incarnation) from then on.
//!
//! # Asking
//! [`Cluster::ask`] tells all and waits for those that are known. Who has not answered when
//! [`ANSWER_TIMEOUT`] is over is named in the outcome; that is never taken for an answer.

mod bus;
mod counts;
mod hearing;
mod id;
mod info;
mod message;
mod registry;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

use crate::broker::BrokerError;
use crate::limits::{ANSWER_PART_BYTES, ANSWER_TIMEOUT, BEAT_PERIOD, LEASE, MESSAGE_BYTES_MAX};
use crate::shard::Secret;
use crate::time::{Clock, Moment};

pub use bus::{Bus, ClusterEar, Recipient};
pub use counts::ClusterCounts;
pub(crate) use hearing::{Errand, Want};
pub use id::NodeId;
pub use info::{KnownNode, NodeInfo};
pub use message::Reply;
pub use registry::Standing;
pub use survey::Survey;

use hearing::Hearing;
use message::Message;

/// One node's part in a cluster. See the [module](self).
pub struct Cluster {
    hearing: Arc<Hearing>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    standing: watch::Receiver<Standing>,
    errands: Mutex<mpsc::UnboundedReceiver<Errand>>,
}

/// Why the others were not asked, or cannot have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unasked {
    /// The bus did not take it, or does not bring what it takes.
    Bus(BrokerError),
    /// No bus carries that much.
    TooLong,
}

impl std::fmt::Display for Unasked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::TooLong => f.write_str("too long for a message between nodes"),
        }
    }
}

impl std::error::Error for Unasked {}

impl Cluster {
    /// The part of the node `id`. `connect` makes the bus that brings what it hears to this ear.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn new<E>(
        id: NodeId,
        clock: Arc<dyn Clock>,
        connect: impl FnOnce(ClusterEar) -> Result<Arc<dyn Bus>, E>,
    ) -> Result<Arc<Self>, E> {
        let (hearing, errands) = Hearing::new(id, Arc::clone(&clock));
        let hearing = Arc::new(hearing);
        let ear = Arc::clone(&hearing);
        let bus = connect(ClusterEar::new(move |message| ear.hear(message)))?;
        Ok(Arc::new(Self {
            standing: hearing.standing(),
            hearing,
            bus,
            clock,
            errands: Mutex::new(errands),
        }))
    }

    /// The node's identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.hearing.id
    }

    /// Grows when the others may have given this node up: what they keep for it on a lease is to
    /// be had again.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.hearing.state().registry.incarnation()
    }

    /// Whether the node knows who is there.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.hearing.state().registry.standing(self.now())
    }

    /// The others, as they last told about themselves.
    #[must_use]
    pub fn peers(&self) -> Vec<KnownNode> {
        self.hearing.state().registry.peers(self.now())
    }

    /// Whether this is another node that is known.
    #[must_use]
    pub fn knows(&self, node: NodeId) -> bool {
        self.hearing.state().registry.knows(node)
    }

    /// What nodes are called, for the log.
    pub(crate) fn names(&self, nodes: &[NodeId]) -> Vec<String> {
        let state = self.hearing.state();
        let name = |node: &NodeId| match state.registry.name(*node) {
            Some(name) => format!("{name} ({node})"),
            None => node.to_string(),
        };
        nodes.iter().map(name).collect()
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> ClusterCounts {
        let peers = self.hearing.state().registry.peer_count();
        self.hearing.counts.read(peers)
    }

    /// Forgets who was silent too long, and ends what was asked too long ago; to be called every
    /// tenth of a second.
    pub fn sweep(&self) {
        self.hearing.sweep(self.now());
    }

    /// Whether it is time to say hello: see [`BEAT_PERIOD`].
    #[must_use]
    pub fn is_due(&self) -> bool {
        let now = self.now();
        self.hearing.state().registry.is_due(now)
    }

    /// Says hello with this about the node.
    ///
    /// # Errors
    /// Nobody has heard it.
    pub async fn say_hello(&self, info: &NodeInfo) -> Result<(), Unasked> {
        let incarnation = self.hearing.state().registry.beat(self.now());
        self.hearing.tell_standing(self.now());
        let hello = Message::Hello {
            incarnation,
            info: info.clone(),
        };
        self.tell(Recipient::All, &hello).await
    }

    /// Ends this node's part: what is asked has no more answers from now on, and whoever asks
    /// again is told at once that nobody can be. To be called when nobody sweeps any more, since
    /// no question would have an end then.
    pub fn end(&self) {
        self.hearing.end(self.now());
    }

    /// Says that this node ends, with all its sessions, and [ends](Cluster::end) its part.
    ///
    /// # Errors
    /// Nobody has heard it: the others notice after a [`LEASE`].
    pub async fn say_goodbye(&self) -> Result<(), Unasked> {
        self.end();
        let incarnation = self.incarnation();
        self.tell(Recipient::All, &Message::Goodbye { incarnation })
            .await
    }

    /// Asks all others, and waits until those that are known have answered or [`ANSWER_TIMEOUT`]
    /// is over. While it is not yet known who is there, waits for that first.
    ///
    /// # Errors
    /// Nobody may have heard it.
    ///
    /// # Cancel safety
    /// A dropped future may have asked or not.
    pub async fn ask(&self, question: &[u8]) -> Result<Survey, Unasked> {
        let mut standing = self.standing.clone();
        let known = standing.wait_for(|standing| *standing != Standing::Gathering);
        let is_settled = known.await.is_ok_and(|now| *now == Standing::Settled);
        if !is_settled {
            return Err(Unasked::Bus(BrokerError::Unreachable));
        }
        let (id, outcome) = {
            let mut state = self.hearing.state();
            let state = &mut *state;
            // That may have changed meanwhile, and what is begun behind the end has none.
            if state.registry.standing(self.now()) != Standing::Settled {
                return Err(Unasked::Bus(BrokerError::Unreachable));
            }
            let deadline = self.now() + ANSWER_TIMEOUT;
            let opened = state.surveys.open(state.registry.ids(), deadline);
            opened.ok_or(Unasked::Bus(BrokerError::Busy))?
        };
        let question = Message::Question { id, question };
        if let Err(unasked) = self.tell(Recipient::All, &question).await {
            self.hearing.state().surveys.abandon(id);
            return Err(unasked);
        }
        let survey = outcome.await;
        let survey = survey.map_err(|_| Unasked::Bus(BrokerError::Stopped))?;
        self.hearing.counts.unanswered(survey.silent.len());
        Ok(survey)
    }

    /// Whether a question fits into a message.
    pub(crate) const fn fits(question: &[u8]) -> bool {
        question.len() <= MESSAGE_BYTES_MAX - FRAME_BYTES_MAX
    }

    /// Answers a question of `asker`, in as many messages as it takes.
    ///
    /// # Errors
    /// The asker has not all of it, and waits in vain.
    pub(crate) async fn answer(
        &self,
        asker: NodeId,
        id: u64,
        reply: Reply,
        answer: &[u8],
    ) -> Result<(), Unasked> {
        let mut parts = answer.chunks(ANSWER_PART_BYTES).peekable();
        let mut part = 0;
        loop {
            let bytes = parts.next().unwrap_or_default();
            let is_last = parts.peek().is_none();
            let message = Message::Answer {
                id,
                part,
                is_last,
                reply,
                bytes,
            };
            self.tell(Recipient::Node(asker), &message).await?;
            if is_last {
                return Ok(());
            }
            part += 1;
        }
    }

    /// Passes a client's frame on to the node that has its session.
    ///
    /// # Errors
    /// It did not get there.
    pub(crate) async fn pass_on(
        &self,
        node: NodeId,
        secret: Secret,
        frame: &[u8],
    ) -> Result<(), Unasked> {
        let secret = secret.to_bytes();
        let message = Message::Emulate { secret, frame };
        self.tell(Recipient::Node(node), &message).await
    }

    /// Since when nodes that have come back may have missed what this one said, told once.
    pub(crate) fn take_missed(&self) -> Option<Moment> {
        self.hearing.state().registry.take_missed()
    }

    /// What others want of this node, in their order. One at a time may have it.
    pub(crate) async fn errands(&self) -> MutexGuard<'_, mpsc::UnboundedReceiver<Errand>> {
        self.errands.lock().await
    }

    async fn tell(&self, to: Recipient, message: &Message<'_>) -> Result<(), Unasked> {
        let message = message.encode(self.id());
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Unasked::TooLong);
        }
        let told = self.bus.tell(to, message).await;
        self.hearing.counts.told(told.is_ok());
        told.map_err(Unasked::Bus)
    }

    fn now(&self) -> Moment {
        self.clock.now().moment
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cluster").field(&self.id()).finish()
    }
}

/// What a message takes beside a question, answer or frame, at most.
const FRAME_BYTES_MAX: usize = 64;

/// What a peer may be late by before it is told of as silent.
const SILENCE: Duration = Duration::from_millis(2500);

const _: () = assert!(
    LEASE.as_millis() > 3 * BEAT_PERIOD.as_millis(),
    "a node is not given up for two beats that were lost"
);
const _: () = assert!(
    ANSWER_PART_BYTES + FRAME_BYTES_MAX <= MESSAGE_BYTES_MAX,
    "a part of an answer fits into a message"
);
