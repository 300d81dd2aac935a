//! What the node and its shards have between them.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::Payload;
use tokio::sync::{mpsc, oneshot};

use super::NameFilter;
use crate::application::Caller;
use crate::channel::{ChannelName, Namespaces};
use crate::delivery::{Inbox, ShardId};
use crate::session::Order;
use crate::settings::Settings;
use crate::shard::{Secret, ShardReport, Target};

/// What a worker thread needs to run one shard.
#[derive(Debug)]
pub struct ShardSeat {
    /// Which shard.
    pub id: ShardId,
    /// What brokers deliver.
    pub inbox: Inbox,
    /// What the application orders.
    pub controls: mpsc::Receiver<Control>,
}

/// What the application wants of a shard. Never behind publications: the queues are apart.
#[derive(Debug)]
pub enum Control {
    /// Give an order; answers how many sessions it was for.
    Order(Target, Order, oneshot::Sender<usize>),
    /// Tell everything about itself.
    Report(oneshot::Sender<ShardReport>),
    /// Channels with subscribers whose name the predicate accepts, and how many they are.
    Channels(NameFilter, oneshot::Sender<Vec<(ChannelName, usize)>>),
    /// Live sessions that it is for, as the application knows them.
    Sessions(Target, oneshot::Sender<Vec<Arc<Caller>>>),
    /// Take a frame of commands for the session with this secret, if there is one.
    Emulate(Secret, Payload),
    /// Close everything within this time, evenly.
    Drain(Duration),
    /// Go by these rules from now on.
    Follow(Arc<Settings>, Arc<Namespaces>, oneshot::Sender<()>),
}
