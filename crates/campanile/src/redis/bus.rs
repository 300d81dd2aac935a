//! Messages between nodes, over the lines of a link.
//!
//! Whatever the topology, each name has its place at one shard: what one node tells the same
//! recipient takes one way, and comes in its order.

use std::sync::Arc;

use campanile_engine::broker::{BoxFuture, BrokerError};
use campanile_engine::cluster::{Bus, ClusterEar, NodeId, Recipient};

use super::Redis;
use super::link::RedisLink;

/// See the [module](self). Nothing is said while there is no line, and nothing later than that.
pub struct RedisBus {
    redis: Redis,
}

impl RedisBus {
    /// The bus of the node with this identity, over the lines of `link`.
    #[must_use]
    pub fn new(link: &RedisLink, id: NodeId, ear: &ClusterEar) -> Arc<Self> {
        let redis = link.redis().clone();
        for to in [Recipient::All, Recipient::Node(id)] {
            link.ears().attend(name(&redis, to), ear.clone());
        }
        Arc::new(Self { redis })
    }
}

fn name(redis: &Redis, to: Recipient) -> String {
    match to {
        Recipient::All => format!("{}.control", redis.prefix()),
        Recipient::Node(id) => format!("{}.node.{id}", redis.prefix()),
    }
}

impl Bus for RedisBus {
    fn tell(&self, to: Recipient, message: Vec<u8>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let name = name(&self.redis, to);
            let parts = [self.redis.publish_verb(), name.as_bytes(), &message];
            self.redis.ask(&parts).await?;
            Ok(())
        })
    }
}
