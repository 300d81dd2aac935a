//! Messages between nodes, on the connection of a link.

use std::sync::Arc;

use campanile_engine::broker::{BoxFuture, BrokerError};
use campanile_engine::cluster::{Bus, ClusterEar, NodeId, Recipient};
use futures_util::StreamExt as _;
use futures_util::stream::select;

use super::NatsLink;
use super::shared::Shared;
use crate::background::Running;

/// Carries messages between nodes. Nothing is said while the connection does not work, and nothing
/// later than that.
pub struct NatsBus {
    shared: Arc<Shared>,
    /// Dropped with the bus, it ends.
    _hearing: Running<()>,
}

impl NatsBus {
    /// The bus of the node with this identity, on the connection of `link`.
    #[must_use]
    pub fn new(link: &NatsLink, id: NodeId, ear: ClusterEar) -> Arc<Self> {
        let shared = Arc::clone(&link.shared);
        let hearing = hear(Arc::clone(&shared), id, ear);
        Arc::new(Self {
            _hearing: link.spawner.spawn(hearing),
            shared,
        })
    }
}

async fn hear(shared: Arc<Shared>, id: NodeId, ear: ClusterEar) {
    let [all, own] = [shared.subjects.control(), shared.subjects.node(id)];
    let all = shared.line.listen_always(all).await;
    let own = shared.line.listen_always(own).await;
    if let (Ok(all), Ok(own)) = (all, own) {
        let mut heard = select(all, own);
        while let Some(message) = heard.next().await {
            ear.hear(&message.payload);
        }
    }
}

impl Bus for NatsBus {
    fn tell(&self, to: Recipient, message: Vec<u8>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let subject = match to {
            Recipient::All => self.shared.subjects.control(),
            Recipient::Node(id) => self.shared.subjects.node(id),
        };
        let told = self.shared.line.say(subject, message);
        Box::pin(std::future::ready(told.map_err(BrokerError::from)))
    }
}
