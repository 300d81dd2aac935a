//! The contract between the engine and whatever carries publications and keeps history.
//!
//! A broker is the only sequencer: it assigns offsets, and what it hands to the shards of a channel
//! comes in that order. It knows channels, streams and shard numbers; it refuses to know sessions,
//! permissions and encodings, and it never calls the node: deliveries leave through the
//! [`Inboxes`](crate::delivery::Inboxes) that it was built with.
//!
//! Every implementation passes the contract suite of `testkit`.

pub mod disk;
pub mod memory;
pub mod remote;
mod stream;
mod streams;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{ClientInfo, Payload, Position, Publication, Tags};

use crate::channel::ChannelName;
use crate::delivery::{Admission, ShardId, payload_bytes};

pub use disk::{DiskBroker, DiskOptions, DiskStatus, Durability};
pub use memory::MemoryBroker;
pub use remote::RemoteBroker;
#[doc(hidden)] // For brokers elsewhere.
pub use streams::{epoch_of, random_epoch};

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long and how much of a stream is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Publications kept; never 0.
    pub size: usize,
    /// How long all of them outlive the last publish; never zero.
    pub ttl: Duration,
    /// How long epoch and offset outlive the last publish; at least `ttl`.
    pub meta_ttl: Duration,
}

/// Something to be published.
#[derive(Debug)]
pub struct NewPublication {
    /// Where.
    pub channel: ChannelName,
    /// What.
    pub data: Payload,
    /// The publisher, when a client publishes.
    pub info: Option<Arc<ClientInfo>>,
    /// Labels.
    pub tags: Option<Box<Tags>>,
    /// Whether and how it enters the channel's stream.
    pub retention: Option<Retention>,
    /// Makes a repeat within [`IDEMPOTENCY_TTL`] a no-operation with the first one's outcome.
    pub idempotency_key: Option<Box<str>>,
    /// Makes an older state of the same thing a no-operation. Ignored without retention.
    pub version: Option<Version>,
    /// Whether deliveries bring the publication before it, where the history has that. Ignored
    /// without retention.
    pub wants_delta: bool,
    /// Whether it is delivered to this node's subscribers alone while a broker elsewhere cannot be
    /// reached. Ignored with retention: a stream has one order for all nodes.
    pub is_local_if_unreachable: bool,
    /// The share of the inboxes that delivery will use.
    pub admission: Admission,
}

impl NewPublication {
    /// The bytes of what its publisher chose.
    #[must_use]
    pub fn bytes(&self) -> usize {
        payload_bytes(&self.data, self.tags.as_deref())
            + self.idempotency_key.as_deref().map_or(0, str::len)
    }
}

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(300);

/// The version of a state that is published whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// Newer states have greater numbers; never 0.
    pub number: u64,
    /// Numbers of different epochs cannot be compared; the empty one compares with every epoch.
    pub epoch: Box<str>,
}

/// What became of a publish that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// The publication's position, or the stream's top when it was suppressed as an old version;
    /// `None` when the channel keeps no history.
    pub position: Option<Position>,
    /// Whether nothing was stored and delivered, since it had been before.
    pub is_suppressed: bool,
}

/// Which part of a history is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HistoryQuery {
    /// Only what is newer than this offset; older, when `reverse`.
    pub since: Option<u64>,
    /// Newest first.
    pub reverse: bool,
    /// At most so many publications; 0 asks for the top alone.
    pub limit: usize,
    /// At most so many bytes, overhead included; a longer page is cut.
    pub bytes: usize,
}

/// A part of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// In the order asked for.
    pub publications: Vec<Arc<Publication>>,
    /// The stream's top at the moment of reading.
    pub top: Position,
}

/// Why a broker did not do what was asked. Every one of them is worth another try later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokerError {
    /// The node's memory for history or idempotency keys is used up.
    OutOfMemory,
    /// The channel remembers as many idempotency keys as it may.
    TooManyKeys,
    /// The broker cannot be reached: nothing was sent to it.
    Unreachable,
    /// The broker was asked and did not answer. Whether it did what was asked nobody knows: the one
    /// error after which a publication may be stored and delivered.
    Unanswered,
    /// The disk, or what may be used of it, is full.
    StorageFull,
    /// The disk cannot be written or read.
    StorageFailed,
    /// The disk stands still, or more is asked of the broker than it answers.
    Busy,
    /// The node is stopping.
    Stopped,
}

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "memory for history is used up",
            Self::TooManyKeys => "too many idempotency keys in the channel",
            Self::Unreachable => "broker cannot be reached",
            Self::Unanswered => "broker did not answer",
            Self::StorageFull => "storage for history is used up",
            Self::StorageFailed => "storage for history failed",
            Self::Busy => "broker cannot keep up",
            Self::Stopped => "node is stopping",
        })
    }
}

impl std::error::Error for BrokerError {}

/// A change of who is in a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attendance {
    /// A session came.
    Join(Arc<ClientInfo>),
    /// A session left.
    Leave(Arc<ClientInfo>),
}

/// Carries publications between shards and nodes, and keeps their history.
pub trait Broker: Send + Sync + 'static {
    /// Stores the publication as its retention says and hands it to every subscribed shard, in one
    /// order per channel for all of them.
    ///
    /// # Errors
    /// Nothing was stored or delivered, but for [`BrokerError::Unanswered`].
    ///
    /// # Cancel safety
    /// A dropped future may have published or not; an idempotency key makes a repeat safe.
    fn publish(&self, publication: NewPublication)
    -> BoxFuture<'_, Result<Published, BrokerError>>;

    /// Tells every subscribed shard who came or left: in order with the channel's publications,
    /// never stored.
    ///
    /// # Errors
    /// Nobody was told.
    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Makes deliveries of `channel` come to `shard` and tells the stream's top, in one step: what
    /// is published above that top comes, and what has come before is at or below it. Idempotent.
    ///
    /// Stores nothing for a channel that was never published to once nobody is subscribed.
    ///
    /// # Errors
    /// The shard is not subscribed by this call.
    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>>;

    /// Ends what [`Broker::subscribe`] began. Idempotent.
    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()>;

    /// Reads a part of the channel's history.
    ///
    /// # Errors
    /// The history could not be read.
    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>>;

    /// Forgets the channel's publications, but neither its epoch nor its offset.
    ///
    /// # Errors
    /// Nothing was removed.
    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Forgets what is past its time; called about once a second.
    fn sweep(&self) {}
}
