//! A node without sockets, in this process: put together as `campanile serve` does it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use campanile_engine::application::NoApplication;
use campanile_engine::authority::{Authority, Credentials, Handshake, TokenGrant, TokenRefusal};
use campanile_engine::broker::disk::{DiskBroker, DiskOptions, Durability};
use campanile_engine::broker::{BoxFuture, Broker, MemoryBroker};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::delivery::Inboxes;
use campanile_engine::node::{Node, Parts, ShardSeat};
use campanile_engine::presence::MemoryPresence;
use campanile_engine::settings::Settings;
use campanile_engine::store::OsDirectory;
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
    sweeper: Option<Sweeper>,
}

impl Running {
    /// A node whose broker is `subject`, with a history of 100 in every channel.
    pub(crate) fn open(subject: Subject, directory: &Path) -> Result<Self, Failure> {
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
            Subject::Relaxed | Subject::Sync => Arc::new(DiskBroker::open(
                Arc::new(OsDirectory::lock(directory).map_err(|error| format!("{error:?}"))?),
                disk_options(subject)?,
                inboxes.clone(),
                Arc::clone(&budget),
                Arc::clone(&clock),
                META_TTL,
            )?),
            Subject::RedisEverysec | Subject::RedisAlways => {
                return Err(format!("{subject} is not a broker of Campanile").into());
            }
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
            cluster: None,
            authority: Arc::new(Nobody),
            application: Arc::new(NoApplication),
            budget,
            clock,
            inboxes,
            shard_inboxes,
            name: "bench".into(),
        });
        Ok(Self {
            sweeper: Some(Sweeper::start(Arc::clone(&node))),
            node,
            _seats: seats,
        })
    }
}

/// Everything at its default but what is compared.
fn disk_options(subject: Subject) -> Result<DiskOptions, Failure> {
    let mut options = DiskOptions {
        boot_id: Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?),
        ..DiskOptions::default()
    };
    if subject == Subject::Sync {
        options.durability = Durability::Sync;
    }
    Ok(options)
}

impl Drop for Running {
    /// The sweeper has the node too; without it, the broker is closed when this returns.
    fn drop(&mut self) {
        if let Some(Sweeper { stop, thread }) = self.sweeper.take() {
            drop(stop);
            // It has no reason to panic, and nothing that would be missed.
            let _ = thread.join();
        }
    }
}

/// Sweeps about once a second, as a server does.
struct Sweeper {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    fn start(node: Arc<Node>) -> Self {
        let (stop, stopped) = channel();
        let second = Duration::from_secs(1);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(second) == Err(RecvTimeoutError::Timeout) {
                node.sweep();
            }
        });
        Self { stop, thread }
    }
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
