//! What carries and keeps the streams of a server, and who is present in them: from what is
//! configured to what a node is made of.

#[cfg(feature = "redis")]
use std::convert::Infallible;
use std::sync::Arc;

#[cfg(any(feature = "nats", feature = "redis"))]
use campanile_engine::broker::remote::RemoteBroker;
use campanile_engine::broker::{Broker, DiskBroker, MemoryBroker, Retention};
use campanile_engine::cluster::{Cluster, NodeId};
use campanile_engine::node::{Node, SurveyPresence};
use campanile_engine::presence::{MemoryPresence, Presence};
use campanile_engine::time::Clock;

use super::store::{self, BrokerParts};
use super::{MakeBus, ServeError};
#[cfg(any(feature = "nats", feature = "redis"))]
use crate::background::Spawner;
use crate::background::{Background, Running};
use crate::config::{Disk, Engine, Nats, Redis};
#[cfg(feature = "nats")]
use crate::nats::{Histories, NatsBus, NatsFault, NatsLink, NatsSettings};
#[cfg(feature = "redis")]
use crate::redis::presence::RedisPresence;
#[cfg(feature = "redis")]
use crate::redis::{self, RedisBus, RedisLink};
use crate::vitals::Vitals;

/// See the [module](self).
pub(super) struct Backbone {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    /// The other nodes, if there may be any.
    pub(super) cluster: Option<Arc<Cluster>>,
    /// What has to be closed at the end.
    pub(super) store: Option<Arc<DiskBroker>>,
    /// What is to be done for the node as long as it is there.
    pub(super) attending: Option<Attend>,
    /// All of it that can tell how it is.
    pub(super) vitals: Vec<Arc<dyn Vitals>>,
}

/// Begins what is done for a node.
pub(super) type Attend = Box<dyn FnOnce(&Arc<Node>) -> Running<()>>;

impl Backbone {
    /// Of one node that shares nothing, with this broker.
    pub(super) fn local(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            presence: Arc::new(MemoryPresence::default()),
            cluster: None,
            store: None,
            attending: None,
            vitals: Vec::new(),
        }
    }

    /// The same with others over this bus, all of which are asked who is present.
    pub(super) fn among_others(
        self,
        make: MakeBus,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServeError> {
        let id = NodeId::random();
        let cluster = Cluster::new(id, clock, |ear| make(id, ear)).map_err(ServeError::Bus)?;
        let mut vitals = self.vitals;
        vitals.push(Arc::clone(&cluster) as _);
        Ok(Self {
            presence: Arc::new(SurveyPresence::new(Arc::clone(&cluster))),
            cluster: Some(cluster),
            vitals,
            ..self
        })
    }
}

/// What a backbone is made with.
pub(super) struct Builder<'a> {
    pub(super) around: BrokerParts,
    /// Started by the first part that needs it.
    #[cfg_attr(
        not(any(feature = "nats", feature = "redis")),
        expect(dead_code, reason = "nothing is elsewhere then")
    )]
    pub(super) background: &'a mut Option<Background>,
    /// Of all channels that have a history.
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "nothing is elsewhere then")
    )]
    pub(super) retentions: Vec<Retention>,
}

impl Builder<'_> {
    pub(super) fn build(self, engine: &Engine) -> Result<Backbone, ServeError> {
        match engine {
            Engine::Disk(disk) => self.disk(disk),
            Engine::Memory => Ok(self.memory()),
            Engine::Nats(nats) => self.nats(nats),
            Engine::Redis(redis) => self.redis(redis),
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

    #[cfg(not(feature = "nats"))]
    fn nats(self, _: &Nats) -> Result<Backbone, ServeError> {
        let reason = "engine.type is nats, and this program was built without it";
        Err(ServeError::Broker(reason.into()))
    }

    #[cfg(feature = "nats")]
    fn nats(self, config: &Nats) -> Result<Backbone, ServeError> {
        let BrokerParts { inboxes, clock, .. } = self.around;
        let histories = Histories::of(&self.retentions);
        let settings = NatsSettings::new(config, histories);
        let settings = settings.map_err(|fault| ServeError::Broker(fault.into()))?;
        let spawner = spawner(self.background)?;
        let mut link = None;
        let connect = |hearing| {
            let made = NatsLink::start(settings, hearing, Arc::clone(&clock), spawner)?;
            Ok(Arc::clone(link.insert(made)))
        };
        let broker = RemoteBroker::new(inboxes, Arc::clone(&clock), connect);
        let broker = broker.map_err(|fault: NatsFault| ServeError::Broker(fault.into()))?;
        let link = link.expect("the broker was made with it");
        let broker = Arc::new(broker);
        let backbone = Backbone {
            vitals: vec![Arc::clone(&link) as _, Arc::clone(&broker) as _],
            ..Backbone::local(broker)
        };
        let bus = Box::new(move |id, ear| Ok(NatsBus::new(&link, id, ear) as _));
        backbone.among_others(bus, clock)
    }

    #[cfg(not(feature = "redis"))]
    fn redis(self, _: &Redis) -> Result<Backbone, ServeError> {
        let reason = "engine.type is redis, and this program was built without it";
        Err(ServeError::Broker(reason.into()))
    }

    #[cfg(feature = "redis")]
    fn redis(self, config: &Redis) -> Result<Backbone, ServeError> {
        let BrokerParts {
            inboxes,
            clock,
            meta_ttl_min,
            ..
        } = self.around;
        let settings = redis::Settings::new(config);
        let settings = settings.map_err(|fault| ServeError::Broker(fault.into()))?;
        let redis = redis::Redis::start(settings, &spawner(self.background)?);
        let mut link = None;
        let connect = |hearing| {
            let made = Arc::new(RedisLink::open(&redis, hearing, meta_ttl_min));
            Ok::<_, Infallible>(Arc::clone(link.insert(made)))
        };
        let Ok(broker) = RemoteBroker::new(inboxes, Arc::clone(&clock), connect);
        let link = link.expect("the broker was made with it");
        let broker = Arc::new(broker);
        let backbone = Backbone {
            vitals: vec![Arc::clone(&link) as _, Arc::clone(&broker) as _],
            ..Backbone::local(broker)
        };
        let bus = Box::new(move |id, ear| Ok(RedisBus::new(&link, id, &ear) as _));
        let (presence, notices) = RedisPresence::start(&redis, config.presence_lease);
        let mut backbone = backbone.among_others(bus, clock)?;
        backbone.vitals.push(Arc::clone(&presence) as _);
        backbone.presence = presence;
        backbone.attending = Some(Box::new(move |node| {
            redis
                .spawner()
                .spawn(redis::presence::announce(notices, Arc::downgrade(node)))
        }));
        Ok(backbone)
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

/// What starts work on the thread for it, which is started by the first that needs it.
#[cfg(any(feature = "nats", feature = "redis"))]
fn spawner(background: &mut Option<Background>) -> Result<Spawner, ServeError> {
    let background = match background {
        Some(background) => background,
        none => none.insert(Background::start().map_err(ServeError::Io)?),
    };
    Ok(background.spawner())
}
