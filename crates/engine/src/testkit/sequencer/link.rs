//! A node's link to the stub.

use std::sync::Arc;

use super::StubSequencer;
use super::line::{Answer, Operation};
use crate::broker::remote::{Accepted, Link, Sighting};
use crate::broker::{
    Attendance, BoxFuture, BrokerError, HistoryPage, HistoryQuery, NewPublication,
};
use crate::channel::ChannelName;

/// See the [module](super).
pub struct StubLink {
    sequencer: Arc<StubSequencer>,
    line: usize,
}

impl StubLink {
    pub(super) const fn new(sequencer: Arc<StubSequencer>, line: usize) -> Self {
        Self { sequencer, line }
    }

    /// The number of its line.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    async fn ask(&self, operation: Operation) -> Result<Answer, BrokerError> {
        let answer = self.sequencer.request(self.line, operation)?;
        answer.await.unwrap_or(Err(BrokerError::Unanswered))
    }
}

impl Link for StubLink {
    fn publish(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> BoxFuture<'_, Result<Accepted, BrokerError>> {
        Box::pin(async move {
            match self.ask(Operation::Publish(new, seen)).await? {
                Answer::Accepted(accepted) => Ok(accepted),
                _ => unreachable!("answers fit their questions"),
            }
        })
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        let operation = Operation::Announce(channel.clone(), attendance);
        Box::pin(async { self.ask(operation).await.map(drop) })
    }

    fn listen<'a>(&'a self, channel: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>> {
        let operation = Operation::Listen(channel.clone());
        Box::pin(async { self.ask(operation).await.map(drop) })
    }

    fn ignore(&self, channel: &ChannelName) {
        self.sequencer.ignore(self.line, channel);
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> BoxFuture<'a, Result<(HistoryPage, Sighting), BrokerError>> {
        let operation = Operation::History(channel.clone(), query, seen);
        Box::pin(async {
            match self.ask(operation).await? {
                Answer::Page(page, sighting) => Ok((page, sighting)),
                _ => unreachable!("answers fit their questions"),
            }
        })
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        let operation = Operation::RemoveHistory(channel.clone());
        Box::pin(async { self.ask(operation).await.map(drop) })
    }
}
