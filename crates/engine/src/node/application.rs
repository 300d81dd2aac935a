//! The application's way in: what the server API and embedding programs can have done.
//!
//! Names are checked for their namespace only; the application may use any channel, whatever is
//! configured for clients. What holds for all of it is said at [`Node`].

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{
    ClientInfo, Disconnect, Epoch, Payload, Position, Refusal, Tags, Unsubscribed,
};
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::tellable::tellable_end;
use super::{Control, Node, refusal};
use crate::authority::Grant;
use crate::broker::{HistoryPage, HistoryQuery, NewPublication, Published, Version};
use crate::channel::ChannelName;
use crate::cluster::NodeInfo;
use crate::delivery::payload_bytes;
use crate::limits::{BROADCAST_BYTES_MAX, BROADCAST_WIDTH_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::presence::PresenceStats;
use crate::session::Order;
use crate::shard::{ShardReport, ShardStats, Target};

/// Something that the application publishes: a payload, and how it differs from any other.
///
/// ```
/// use campanile_engine::node::PublishRequest;
///
/// let paid = PublishRequest::from(*b"{\"order\":7,\"state\":\"paid\"}");
/// let once = paid.with_idempotency_key("order-7-paid");
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct PublishRequest {
    /// What.
    pub data: Payload,
    /// Labels.
    pub tags: Option<Box<Tags>>,
    /// Makes a repeat within five minutes a no-operation.
    pub idempotency_key: Option<Box<str>>,
    /// Makes an older state a no-operation.
    pub version: Option<Version>,
    /// Whether it stays out of the channel's history.
    pub skips_history: bool,
    /// Whether subscribers that take deltas may be told the difference from the publication before
    /// it. All publications of a namespace with `delta_publish` are such.
    pub wants_delta: bool,
}

impl PublishRequest {
    /// The same, which within five minutes is published once, however often it is tried.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<Box<str>>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

impl<T: Into<Payload>> From<T> for PublishRequest {
    fn from(data: T) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }
}

/// Which part of a history the application wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryRequest {
    /// At most so many; `Some(0)` asks for the position alone, `None` for all.
    pub limit: Option<usize>,
    /// Only what is newer than this; older, when `reverse`.
    pub since: Option<Position>,
    /// Newest first.
    pub reverse: bool,
}

impl Node {
    /// Publishes into a channel.
    ///
    /// Returns when the publication has its place in the stream and is as durable as the broker
    /// makes it; subscribers receive it at about the same time.
    ///
    /// # Errors
    /// 102 without such a namespace, 107 when the payload is not of the format that the namespace
    /// wants, 100 (temporary) when the broker cannot take it.
    ///
    /// # Cancel safety
    /// A dropped future may have published or not; an idempotency key makes a repeat safe.
    pub async fn publish(
        &self,
        channel: &str,
        new: impl Into<PublishRequest>,
    ) -> Result<Published, Refusal> {
        let ((channel, options), new) = (self.resolve(channel)?, new.into());
        let key_is_long = |key: &str| key.len() > IDEMPOTENCY_KEY_BYTES_MAX;
        if new.idempotency_key.as_deref().is_some_and(key_is_long)
            || !options.publication_data_format.accepts(&new.data)
        {
            return Err(Refusal::BAD_REQUEST);
        }
        let retention = options.retention().filter(|_| !new.skips_history);
        let admission = self
            .inboxes
            .admit(payload_bytes(&new.data, new.tags.as_deref()))
            .await;
        let publication = NewPublication {
            channel,
            data: new.data,
            info: None,
            tags: new.tags,
            retention,
            idempotency_key: new.idempotency_key.filter(|key| !key.is_empty()),
            version: new.version,
            wants_delta: new.wants_delta || options.delta_publish,
            is_local_if_unreachable: options.publish_locally_if_unreachable,
            admission,
        };
        self.broker.publish(publication).await.map_err(refusal)
    }

    /// Publishes the same into many channels; the outcomes come in their order. One channel's
    /// failure does not touch the others.
    ///
    /// Publishes some channels at a time: what waits for its place is bounded, however many
    /// channels there are.
    ///
    /// # Cancel safety
    /// Any of the channels may have been published to.
    pub async fn broadcast<C: AsRef<str>>(
        &self,
        channels: &[C],
        new: impl Into<PublishRequest>,
    ) -> Vec<Result<Published, Refusal>> {
        let new = new.into();
        let width = broadcast_width(new.data.len());
        // By index: a closure over a borrowed channel would not be general enough for a future that
        // has to be `Send`.
        let publishes = 0..channels.len();
        let publishes = publishes.map(|at| self.publish(channels[at].as_ref(), new.clone()));
        stream::iter(publishes).buffered(width).collect().await
    }

    /// Subscribes live sessions to a channel, server-side. Those that are subscribed stay so, and
    /// sessions that come later are not. Returns how many sessions it was for; their subscriptions
    /// may begin a moment later.
    ///
    /// # Errors
    /// 102 without such a namespace, 100 (temporary) and 107 as for [`Node::refresh`].
    pub async fn subscribe(
        &self,
        target: Target,
        channel: &str,
        grant: Grant,
        recover: Option<Position>,
    ) -> Result<usize, Refusal> {
        let (channel, _) = self.resolve(channel)?;
        let order = Order::Subscribe {
            channel,
            grant,
            recover,
        };
        self.order_everywhere(target, order).await
    }

    /// Ends subscriptions to a channel, or all subscriptions without one, whoever began them.
    /// Returns how many sessions it was for, whether they were subscribed or not.
    ///
    /// # Errors
    /// 102 without such a namespace, 100 (temporary) as for [`Node::disconnect`].
    pub async fn unsubscribe(
        &self,
        target: Target,
        channel: Option<&str>,
    ) -> Result<usize, Refusal> {
        let channel = match channel {
            Some(channel) => Some(self.resolve(channel)?.0),
            None => None,
        };
        let unsubscribed = Unsubscribed::SERVER;
        let order = Order::Unsubscribe {
            channel,
            unsubscribed,
        };
        self.order_everywhere(target, order).await
    }

    /// Ends sessions; returns how many there were. Whether their clients come back depends on the
    /// code: see [`Disconnect::code`]. One that is not from 3000 to 4999, or without a reason, is a
    /// mistake: the log has it, and clients are told [`Disconnect::INTERNAL`].
    ///
    /// # Errors
    /// 100 (temporary) when other nodes may have such sessions, and did not say that they ended
    /// them.
    pub async fn disconnect(
        &self,
        target: Target,
        disconnect: Disconnect,
    ) -> Result<usize, Refusal> {
        let order = Order::Disconnect(tellable_end(disconnect));
        self.order_everywhere(target, order).await
    }

    /// Changes when the credentials of sessions run out (Unix seconds; never, without a value), and
    /// with `info` what they tell others from now on, also where they are present. Returns how many
    /// sessions there were.
    ///
    /// # Errors
    /// 100 (temporary) as for [`Node::disconnect`], 107 when `info` is too long for other nodes.
    pub async fn refresh(
        &self,
        target: Target,
        expire_at: Option<i64>,
        info: Option<Payload>,
    ) -> Result<usize, Refusal> {
        let order = Order::Refresh { expire_at, info };
        self.order_everywhere(target, order).await
    }

    /// Sends a message outside of any channel: at most once, to who is connected now. Returns how
    /// many sessions it was for.
    ///
    /// # Errors
    /// As [`Node::refresh`]. Some may have been sent it then, and get it again when it is repeated.
    pub async fn send(&self, target: Target, data: impl Into<Payload>) -> Result<usize, Refusal> {
        let order = Order::Message(data.into());
        self.order_everywhere(target, order).await
    }

    /// Who is in a channel: one entry for each session, in no order. Memory for each of them.
    ///
    /// # Errors
    /// 102 without such a namespace, 108 when it keeps no presence, 100 when nobody can be asked.
    pub async fn presence(&self, channel: &str) -> Result<Vec<Arc<ClientInfo>>, Refusal> {
        let channel = self.resolve_with_presence(channel)?;
        let clients = self
            .presence
            .list(&channel, usize::MAX)
            .await
            .map_err(refusal)?;
        Ok(clients.unwrap_or_default())
    }

    /// How many sessions and users are in a channel.
    ///
    /// # Errors
    /// As [`Node::presence`].
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStats, Refusal> {
        let channel = self.resolve_with_presence(channel)?;
        self.presence.stats(&channel).await.map_err(refusal)
    }

    /// Recent publications of a channel.
    ///
    /// # Errors
    /// 102 without such a namespace, 108 when it keeps no history, 112 when the position is of
    /// another epoch, 107 when there is nothing before it, 100 when the broker cannot be read.
    pub async fn history(
        &self,
        channel: &str,
        request: HistoryRequest,
    ) -> Result<HistoryPage, Refusal> {
        let channel = self.resolve_with_history(channel)?;
        if request.reverse && request.since.is_some_and(|since| since.offset == 0) {
            return Err(Refusal::BAD_REQUEST);
        }
        let query = HistoryQuery {
            since: request.since.map(|since| since.offset),
            reverse: request.reverse,
            limit: request.limit.unwrap_or(usize::MAX),
            bytes: usize::MAX,
        };
        let page = self
            .broker
            .history(&channel, query)
            .await
            .map_err(refusal)?;
        let epoch = request.since.map_or(Epoch::EMPTY, |since| since.epoch);
        if !epoch.is_empty() && epoch != page.top.epoch {
            return Err(Refusal::UNRECOVERABLE_POSITION);
        }
        Ok(page)
    }

    /// Forgets the publications of a channel, but neither its epoch nor its offset.
    ///
    /// # Errors
    /// As [`Node::history`].
    pub async fn remove_history(&self, channel: &str) -> Result<(), Refusal> {
        let channel = self.resolve_with_history(channel)?;
        self.broker.remove_history(&channel).await.map_err(refusal)
    }

    /// What all shards together tell about themselves.
    pub async fn report(&self) -> ShardReport {
        let mut all = ShardReport::default();
        for part in self.every_shard(Control::Report).await {
            all.add(&part);
        }
        all
    }

    /// What the node is and what is in it.
    pub async fn info(&self) -> NodeInfo {
        self.described(self.report().await.stats)
    }

    /// Closes every session within `pace`, evenly, so that they do not all come back at once.
    /// Returns when every shard has begun.
    #[doc(hidden)] // A server that runs has one that shuts its doors too.
    pub async fn drain(&self, pace: Duration) {
        for shard in &self.controls {
            // A shard that has stopped has nothing to drain.
            let _ = shard.send(Control::Drain(pace)).await;
        }
    }

    /// What is true of the node but for its sessions, of which it tells this.
    pub(super) fn described(&self, stats: ShardStats) -> NodeInfo {
        NodeInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            version: self.settings().version.clone(),
            uptime: self.clock.now().moment.since(self.started),
            stats,
        }
    }

    /// Gives an order to sessions of this node; returns how many there are.
    pub(super) async fn order(&self, target: Target, order: Order) -> usize {
        self.begin_order(target, order).await.sum().await
    }

    /// Brings an order to the shards that have to know it. What is begun after this is done after
    /// it.
    pub(super) async fn begin_order(&self, target: Target, order: Order) -> Counts {
        let only = match &target {
            Target::User {
                only: Some(client), ..
            } => Some(usize::from(client.shard())),
            _ => None,
        };
        let shards = match only {
            Some(shard) => self.controls.get(shard..=shard).unwrap_or_default(),
            None => &self.controls,
        };
        let control = |done| Control::Order(target.clone(), order.clone(), done);
        Counts(ask(shards, control).await)
    }

    /// Asks all shards, at the same time, and waits for the answers of those that run.
    pub(super) async fn every_shard<T>(
        &self,
        control: impl Fn(oneshot::Sender<T>) -> Control,
    ) -> Vec<T> {
        let answers = ask(&self.controls, control).await;
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }

    fn resolve_with_presence(&self, channel: &str) -> Result<ChannelName, Refusal> {
        let (channel, options) = self.resolve(channel)?;
        options
            .presence
            .then_some(channel)
            .ok_or(Refusal::NOT_AVAILABLE)
    }

    fn resolve_with_history(&self, channel: &str) -> Result<ChannelName, Refusal> {
        let (channel, options) = self.resolve(channel)?;
        let kept = options.retention().map(|_| channel);
        kept.ok_or(Refusal::NOT_AVAILABLE)
    }
}

/// How many sessions each shard finds that an order is for.
pub(super) struct Counts(Vec<oneshot::Receiver<usize>>);

impl Counts {
    /// Waits for those of the shards that run.
    pub(super) async fn sum(self) -> usize {
        let mut sum = 0;
        for count in self.0 {
            sum += count.await.unwrap_or(0);
        }
        sum
    }
}

/// Asks shards; returns where the answers come of those that run.
async fn ask<T>(
    shards: &[mpsc::Sender<Control>],
    control: impl Fn(oneshot::Sender<T>) -> Control,
) -> Vec<oneshot::Receiver<T>> {
    let mut answers = Vec::with_capacity(shards.len());
    for shard in shards {
        let (done, answer) = oneshot::channel();
        if shard.send(control(done)).await.is_ok() {
            answers.push(answer);
        }
    }
    answers
}

/// How many copies of a payload may wait for their place at the same time.
fn broadcast_width(payload_bytes: usize) -> usize {
    (BROADCAST_BYTES_MAX / payload_bytes.max(1)).clamp(1, BROADCAST_WIDTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_of_a_broadcast_take_a_bounded_number_of_bytes() {
        assert_eq!(broadcast_width(0), BROADCAST_WIDTH_MAX);
        assert_eq!(broadcast_width(1024), BROADCAST_WIDTH_MAX);
        assert_eq!(broadcast_width(BROADCAST_BYTES_MAX / 4), 4);
        assert_eq!(broadcast_width(BROADCAST_BYTES_MAX * 2), 1);
    }
}
