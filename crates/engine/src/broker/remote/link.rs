//! What differs between sequencers that several nodes share: how one is spoken to.
//!
//! A link knows channels, publications and the server at its other end; it refuses to know shards,
//! sessions and who listens here for what reason.

use campanile_protocol::Position;

use crate::broker::{
    Attendance, BoxFuture, BrokerError, HistoryPage, HistoryQuery, NewPublication, Published,
};
use crate::channel::ChannelName;

/// Which life of a sequencer said something. One that was restarted, or whose replica took its
/// place, begins another: it may have lost what the one before said last. 0 where nobody can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Generation(pub u64);

/// What a node knows of a stream that is kept elsewhere: enough to notice that its end was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// The newest position that the node was told of.
    pub position: Position,
    /// Who told it.
    pub generation: Generation,
}

/// What became of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The outcome, for the publisher.
    pub published: Published,
    /// Where the stream was when it was decided; `None` without retention.
    pub sighting: Option<Sighting>,
}

/// The way to a sequencer that several nodes share. Used by [`RemoteBroker`](super::RemoteBroker)
/// alone, which has in common what all of them need.
///
/// Operations may be called on any thread and in any runtime, or none; what is heard goes to the
/// [`Hearing`](super::Hearing) that the link was made with. While it is not connected, operations
/// fail at once.
///
/// # What is lost at the other end
///
/// Where an operation is given what the node has `seen`, and the sequencer is of another
/// [`Generation`] by whose beginning the stream did not reach that far, the end of the stream was
/// lost: before anything else is done, the stream begins again with a new epoch. Otherwise the
/// offsets that are given again would be taken for those that were lost.
pub trait Link: Send + Sync + 'static {
    /// Stores the publication as its retention says and sends it to all nodes that listen to its
    /// channel, atomically and in one order per channel for all of them.
    ///
    /// # Errors
    /// As [`Broker::publish`](crate::broker::Broker::publish).
    fn publish(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> BoxFuture<'_, Result<Accepted, BrokerError>>;

    /// Tells all nodes that listen to the channel who came or left.
    ///
    /// # Errors
    /// Nobody was told, or nobody knows.
    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Has everything heard that is published in the channel after this has returned. Idempotent;
    /// keeps its order with [`Link::ignore`].
    ///
    /// # Errors
    /// The channel is not listened to by this call.
    ///
    /// # Cancel safety
    /// A dropped future may have begun it.
    fn listen<'a>(&'a self, channel: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Ends what [`Link::listen`] began. Never waits, and need not take effect at once.
    fn ignore(&self, channel: &ChannelName);

    /// Reads a part of the channel's history, and where its stream is.
    ///
    /// # Errors
    /// The history could not be read.
    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> BoxFuture<'a, Result<(HistoryPage, Sighting), BrokerError>>;

    /// Forgets the channel's publications, but neither its epoch nor its offset.
    ///
    /// # Errors
    /// Nothing was removed, or nobody knows.
    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;
}
