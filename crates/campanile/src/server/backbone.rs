//! What carries and keeps the streams of a server, and who is present in them: from what is
//! configured to what a node is made of.

use std::sync::Arc;

use campanile_engine::broker::{Broker, DiskBroker, MemoryBroker};
use campanile_engine::presence::{MemoryPresence, Presence};

use super::ServeError;
use super::store::{self, BrokerParts};
use crate::background::Background;
use crate::config::{Disk, Engine};
use crate::vitals::Vitals;

/// See the [module](self).
pub(super) struct Backbone {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    /// What has to be closed at the end.
    pub(super) store: Option<Arc<DiskBroker>>,
    /// All of it that can tell how it is.
    pub(super) vitals: Vec<Arc<dyn Vitals>>,
}

impl Backbone {
    /// Of one node that shares nothing, with this broker.
    pub(super) fn local(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            presence: Arc::new(MemoryPresence::default()),
            store: None,
            vitals: Vec::new(),
        }
    }
}

/// What a backbone is made with.
pub(super) struct Builder<'a> {
    pub(super) around: BrokerParts,
    /// Started by the first part that needs it.
    #[expect(dead_code, reason = "nothing here is elsewhere yet")]
    pub(super) background: &'a mut Option<Background>,
}

impl Builder<'_> {
    pub(super) fn build(self, engine: &Engine) -> Result<Backbone, ServeError> {
        match engine {
            Engine::Disk(disk) => self.disk(disk),
            Engine::Memory => Ok(self.memory()),
        }
    }

    fn disk(self, disk: &Disk) -> Result<Backbone, ServeError> {
        let broker = store::open(disk, self.around).map_err(ServeError::Store)?;
        Ok(Backbone {
            store: Some(Arc::clone(&broker)),
            vitals: vec![Arc::clone(&broker) as _],
            ..Backbone::local(broker)
        })
    }

    fn memory(self) -> Backbone {
        let BrokerParts {
            inboxes,
            budget,
            clock,
            meta_ttl_min,
        } = self.around;
        let broker = MemoryBroker::new(inboxes, budget, clock, meta_ttl_min);
        Backbone::local(Arc::new(broker))
    }
}
