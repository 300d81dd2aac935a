//! A broker that takes its time and fails, around one that does neither.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use campanile_protocol::Position;

use super::Random;
use crate::broker::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published,
};
use crate::channel::ChannelName;
use crate::delivery::{Admission, ShardId};

/// A broker that takes its time and fails when it is told to. Every operation waits for a random number of polls before it does what
/// it is for, and again before it says so.
pub struct StubBroker {
    inner: Arc<dyn Broker>,
    random: Random,
    polls_max: AtomicUsize,
    is_unreachable: AtomicBool,
    under_way: AtomicUsize,
    crowd: AtomicUsize,
}

/// An operation that is under way.
struct Counted<'a>(&'a StubBroker);

impl<'a> Counted<'a> {
    fn new(broker: &'a StubBroker) -> Self {
        let earlier = broker.under_way.fetch_add(1, Relaxed);
        broker.crowd.fetch_max(earlier + 1, Relaxed);
        Self(broker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// Waits for so many polls.
pub(super) struct Hesitation(pub(super) usize);

impl Future for Hesitation {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl StubBroker {
    /// A stub that adds nothing to `inner` yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>, seed: u64) -> Self {
        Self {
            inner,
            random: Random::new(seed),
            polls_max: AtomicUsize::new(0),
            is_unreachable: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            crowd: AtomicUsize::new(0),
        }
    }

    /// From now on every operation hesitates twice, for at most so many polls.
    pub fn hesitate(&self, polls_max: usize) {
        self.polls_max.store(polls_max, Relaxed);
    }

    /// From now on every operation that can fail does or does not.
    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.is_unreachable.store(is_unreachable, Relaxed);
    }

    /// The most operations that were under way at the same time, of those that can fail.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.crowd.load(Relaxed)
    }

    async fn hesitation(&self) {
        let polls_max = self.polls_max.load(Relaxed);
        Hesitation(self.random.below(polls_max + 1)).await;
    }

    async fn with_faults<T>(
        &self,
        operation: BoxFuture<'_, Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let _counted = Counted::new(self);
        self.hesitation().await;
        if self.is_unreachable.load(Relaxed) {
            return Err(BrokerError::Unreachable);
        }
        let outcome = operation.await;
        self.hesitation().await;
        outcome
    }
}

impl Broker for StubBroker {
    fn publish(
        &self,
        publication: NewPublication,
    ) -> BoxFuture<'_, Result<Published, BrokerError>> {
        Box::pin(self.with_faults(self.inner.publish(publication)))
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
        admission: Admission,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.with_faults(self.inner.announce(channel, attendance, admission)))
    }

    fn subscribe<'a>(
        &'a self,
        shard: ShardId,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<Position, BrokerError>> {
        Box::pin(self.with_faults(self.inner.subscribe(shard, channel)))
    }

    fn unsubscribe<'a>(&'a self, shard: ShardId, channel: &'a ChannelName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.hesitation().await;
            self.inner.unsubscribe(shard, channel).await;
        })
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
    ) -> BoxFuture<'a, Result<HistoryPage, BrokerError>> {
        Box::pin(self.with_faults(self.inner.history(channel, query)))
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.with_faults(self.inner.remove_history(channel)))
    }

    fn sweep(&self) {
        self.inner.sweep();
    }
}
