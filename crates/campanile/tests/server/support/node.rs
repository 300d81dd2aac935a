//! A node in this process, for tests of what an embedding application does.

use std::sync::Arc;
use std::time::Duration;

use campanile::authority::TokenAuthority;
use campanile::config::Sources;
use campanile_engine::application::Application;
use campanile_engine::broker::MemoryBroker;
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::delivery::Inboxes;
use campanile_engine::node::{Node, Parts, ShardSeat};
use campanile_engine::presence::MemoryPresence;
use campanile_engine::settings::Settings;
use campanile_engine::time::{Clock, MachineClock};

/// A node with so many shards, and otherwise the rules of an empty configuration.
pub(crate) fn node(
    shards: usize,
    budget: &Arc<MemoryBudget>,
    settings: Settings,
    application: Arc<dyn Application>,
) -> (Arc<Node>, Vec<ShardSeat>) {
    let loaded = campanile::config::load(&Sources::default()).expect("defaults are good");
    let authentication = loaded.config.client.authentication;
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let namespaces = Arc::new(Namespaces::new(
        NameRules::default(),
        ChannelOptions::default(),
        [],
    ));
    let (inboxes, shard_inboxes) = Inboxes::new(shards);
    let broker = MemoryBroker::new(
        inboxes.clone(),
        Arc::clone(budget),
        Arc::clone(&clock),
        Duration::from_secs(60 * 60),
    );
    Node::new(Parts {
        settings: Arc::new(Settings {
            interests: application.interests(),
            ..settings
        }),
        namespaces: Arc::clone(&namespaces),
        broker: Arc::new(broker),
        presence: Arc::new(MemoryPresence::default()),
        authority: Arc::new(TokenAuthority::new(&authentication, namespaces)),
        application,
        budget: Arc::clone(budget),
        clock,
        inboxes,
        shard_inboxes,
        name: "embedded".into(),
    })
}
