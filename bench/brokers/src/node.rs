//! A node without sockets, in this process: put together as `campanile serve` does it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use campanile_engine::authority::{Authority, Credentials, Handshake, TokenGrant, TokenRefusal};
use campanile_engine::broker::{BoxFuture, Broker, MemoryBroker};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::delivery::Inboxes;
use campanile_engine::node::{Node, Parts, ShardSeat};
use campanile_engine::presence::MemoryPresence;
use campanile_engine::settings::Settings;
use campanile_engine::time::{Clock, MachineClock};
use campanile_protocol::Disconnect;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::ConnectRequest;

use crate::Failure;
use crate::subject::Subject;

/// How long epochs outlive the last publication: the server's default.
const META_TTL: Duration = Duration::from_secs(720 * 60 * 60);

/// A running node. Dropped, it stops as a server that is told to.
pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    /// Keeps the ways to shards open, though nobody is subscribed.
    _seats: Vec<ShardSeat>,
    /// Ends the thread that sweeps.
    _sweeper: Sender<()>,
}

impl Running {
    /// A node whose broker is `subject`, with a history of 100 in every channel.
    pub(crate) fn open(subject: Subject, _directory: &Path) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
        let budget = Arc::new(MemoryBudget::new(None));
        let (inboxes, shard_inboxes) = Inboxes::new(1);
        let broker: Arc<dyn Broker> = match subject {
            Subject::Memory => Arc::new(MemoryBroker::new(
                inboxes.clone(),
                Arc::clone(&budget),
                Arc::clone(&clock),
                META_TTL,
            )),
            _ => return Err(format!("{subject} is not a broker of Campanile").into()),
        };
        let options = ChannelOptions {
            history_size: 100,
            history_ttl: Duration::from_secs(60 * 60),
            history_meta_ttl: META_TTL,
            ..ChannelOptions::default()
        };
        let (node, seats) = Node::new(Parts {
            settings: Arc::new(Settings::default()),
            namespaces: Arc::new(Namespaces::new(NameRules::default(), options, [])),
            broker,
            presence: Arc::new(MemoryPresence::default()),
            authority: Arc::new(Nobody),
            budget,
            clock,
            inboxes,
            shard_inboxes,
            name: "bench".into(),
        });
        Ok(Self {
            _sweeper: sweep(Arc::clone(&node)),
            node,
            _seats: seats,
        })
    }
}

/// Sweeps about once a second until the sender is dropped.
fn sweep(node: Arc<Node>) -> Sender<()> {
    let (sender, stopped) = channel();
    thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            node.sweep();
        }
    });
    sender
}

/// Lets nobody in: there are no clients here.
struct Nobody;

impl Authority for Nobody {
    fn connect<'a>(
        &'a self,
        _: &'a ConnectRequest,
        _: Option<&'a Handshake>,
    ) -> BoxFuture<'a, Result<Credentials, Rejection>> {
        Box::pin(async { Err(Disconnect::INVALID_TOKEN.into()) })
    }

    fn refresh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Credentials, TokenRefusal>> {
        Box::pin(async { Err(TokenRefusal::Invalid) })
    }

    fn subscribe<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TokenGrant, TokenRefusal>> {
        Box::pin(async { Err(TokenRefusal::Invalid) })
    }
}
