//! The contract of [`Broker`], as cases that every implementation passes.
//!
//! Each case is one function over a fresh [`Bench`]; `broker_contract!` makes a test of each.
//! Cases await deliveries and never sleep, so that they hold for a broker behind a network too;
//! those in [`lifetimes`] and [`memory`] want a broker that lives by the bench's clock and budget.

pub mod deltas;
pub mod history;
pub mod keys;
pub mod lifetimes;
pub mod memory;
pub mod nodes;
pub mod presence;
pub mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{ClientId, ClientInfo, Publication, UserId};
use tokio::sync::Mutex;
use tokio::sync::mpsc::error::TryRecvError;

use super::{ManualClock, channel};
use crate::broker::{
    Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication, Published, Retention,
};
use crate::budget::MemoryBudget;
use crate::delivery::{Admission, Delivery, Event, Inbox, Inboxes, ShardId};

/// What a broker is built with.
#[derive(Debug)]
pub struct Fixture {
    /// The ways to the shards.
    pub inboxes: Inboxes,
    /// What the node may hold.
    pub budget: Arc<MemoryBudget>,
    /// The time.
    pub clock: Arc<ManualClock>,
    /// The shortest lifetime of metadata that a case uses.
    pub meta_ttl_min: Duration,
}

/// A broker under test, and the shards that it delivers to.
pub struct Bench {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Its memory.
    pub budget: Arc<MemoryBudget>,
    inboxes: Vec<Mutex<Inbox>>,
}

/// Shards of a bench.
const SHARDS: usize = 3;

/// Bytes that the broker of a bench may store.
pub const BUDGET_BYTES: u64 = 2 * 1024 * 1024;

/// The lifetimes that cases use unless they say otherwise.
pub const RETENTION: Retention = Retention {
    size: 4,
    ttl: Duration::from_secs(60),
    meta_ttl: Duration::from_secs(600),
};

impl Bench {
    /// A bench for the broker that `build` makes.
    pub fn new(build: impl FnOnce(&Fixture) -> Arc<dyn Broker>) -> Self {
        let (inboxes, shards) = Inboxes::new(SHARDS);
        let fixture = Fixture {
            inboxes,
            budget: Arc::new(MemoryBudget::new(Some(BUDGET_BYTES))),
            clock: Arc::new(ManualClock::default()),
            meta_ttl_min: RETENTION.meta_ttl,
        };
        Self {
            broker: build(&fixture),
            clock: fixture.clock,
            budget: fixture.budget,
            inboxes: shards.into_iter().map(Mutex::new).collect(),
        }
    }

    /// Publishes `new`.
    ///
    /// # Errors
    /// The broker's.
    pub async fn try_publish(&self, new: NewPublication) -> Result<Published, BrokerError> {
        self.broker.publish(new).await
    }

    /// Publishes `new`, which must succeed.
    pub async fn publish(&self, new: NewPublication) -> Published {
        let published = self.try_publish(new).await;
        published.expect("the broker takes it")
    }

    /// The whole history of channel `name`.
    pub async fn history(&self, name: &str) -> HistoryPage {
        self.page(name, EVERYTHING).await
    }

    /// A part of the history of channel `name`.
    pub async fn page(&self, name: &str, query: HistoryQuery) -> HistoryPage {
        let page = self.broker.history(&channel(name), query).await;
        page.expect("the broker can be read")
    }

    /// Subscribes `shard` to channel `name`; returns the offset of the top.
    pub async fn subscribe(&self, shard: usize, name: &str) -> u64 {
        let top = self.broker.subscribe(id(shard), &channel(name)).await;
        top.expect("the broker can be reached").offset
    }

    /// Ends what [`Bench::subscribe`] began.
    pub async fn unsubscribe(&self, shard: usize, name: &str) {
        self.broker.unsubscribe(id(shard), &channel(name)).await;
    }

    /// The next delivery of `shard`.
    pub async fn delivery(&self, shard: usize) -> Arc<Delivery> {
        let delivery = self.inboxes[shard].lock().await.recv().await;
        delivery.expect("the broker keeps its inboxes")
    }

    /// The next delivery of `shard`, which must be a publication.
    pub async fn publication(&self, shard: usize) -> Arc<Publication> {
        match &self.delivery(shard).await.event {
            Event::Publication { publication, .. } => Arc::clone(publication),
            other => panic!("no publication: {other:?}"),
        }
    }

    /// Whether nothing waits for `shard`. A case asks only when whatever could come has been
    /// overtaken by something that came.
    pub async fn is_quiet(&self, shard: usize) -> bool {
        let next = self.inboxes[shard].lock().await.try_recv();
        matches!(next, Err(TryRecvError::Empty))
    }
}

/// A query for all that is kept.
pub const EVERYTHING: HistoryQuery = HistoryQuery {
    since: None,
    reverse: false,
    limit: usize::MAX,
    bytes: usize::MAX,
};

/// A publication for a channel with history.
#[must_use]
pub fn kept(name: &str, data: &str) -> NewPublication {
    NewPublication {
        retention: Some(RETENTION),
        ..passing(name, data)
    }
}

/// A publication that no history keeps.
#[must_use]
pub fn passing(name: &str, data: &str) -> NewPublication {
    NewPublication {
        channel: channel(name),
        data: data.as_bytes().into(),
        info: None,
        tags: None,
        retention: None,
        idempotency_key: None,
        version: None,
        wants_delta: false,
        is_local_if_unreachable: false,
        admission: Admission::default(),
    }
}

/// Who joins and leaves.
#[must_use]
pub fn info(user: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: UserId::new(user),
        client: ClientId::from_random([7; 16], 0),
        conn_info: None,
        chan_info: None,
    })
}

/// The offsets of a page.
#[must_use]
pub fn offsets(page: &HistoryPage) -> Vec<u64> {
    let publications = page.publications.iter();
    publications.map(|publication| publication.offset).collect()
}

fn id(shard: usize) -> ShardId {
    ShardId::new(shard).expect("benches have few shards")
}

/// Makes a test of every case of the contract, or of those in the groups that are named. `$build`
/// makes a broker of a [`Fixture`](crate::testkit::contract::Fixture), `$run` runs a future to its
/// end.
#[macro_export]
macro_rules! broker_contract {
    ($build:expr, $run:expr) => {
        $crate::broker_contract!($build, $run;
            subscriptions, history, deltas, keys, lifetimes, memory);
    };
    ($build:expr, $run:expr; $($group:ident),*) => {
        $($crate::broker_contract!(@$group $build, $run);)*
    };
    (@subscriptions $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            subscriptions: offsets_are_contiguous_from_one,
                all_shards_receive_the_same_order,
                subscribing_tells_the_top_above_which_everything_comes,
                unsubscribing_stops_deliveries_to_that_shard_alone,
                subscribing_twice_delivers_once,
                publishing_without_retention_delivers_without_a_position,
                skipping_history_does_not_move_the_stream,
                joins_and_leaves_come_in_order_with_publications,
                deliveries_name_their_channel_and_epoch,
                channels_do_not_mix);
    };
    (@history $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            history: pages_go_forward_and_reverse,
                pages_start_behind_or_before_an_offset,
                a_start_that_is_no_longer_kept_is_not_invented,
                limits_cut_pages_and_zero_asks_for_the_top,
                the_oldest_make_room,
                removing_history_keeps_the_position,
                an_unknown_channel_is_empty,
                publications_keep_all_that_they_came_with);
    };
    (@deltas $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            deltas: a_publication_that_asks_brings_the_one_before,
                a_history_of_one_has_the_one_before,
                what_stays_out_of_history_has_nothing_to_do_with_it,
                what_was_removed_is_not_brought,
                what_expired_is_not_brought,
                a_repeat_is_not_what_the_next_one_follows);
    };
    (@keys $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            keys: a_repeat_has_the_first_outcome_and_is_not_delivered,
                keys_work_without_history,
                keys_of_channels_do_not_mix,
                an_old_version_is_suppressed,
                versions_of_another_epoch_are_not_compared,
                a_publish_without_a_version_keeps_the_seen_one,
                versions_count_only_with_retention,
                concurrent_repeats_are_one_publication);
    };
    (@lifetimes $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            lifetimes: history_expires_as_a_whole_and_keeps_the_position,
                each_publish_renews_the_lifetime,
                metadata_that_expired_comes_back_with_another_epoch,
                subscribers_keep_the_epoch_alive,
                keys_are_forgotten_after_five_minutes,
                keys_that_outlive_the_metadata_do_not_hold_up_others);
    };
    (@memory $build:expr, $run:expr) => {
        $crate::broker_contract!(@cases $build, $run;
            memory: a_full_budget_refuses_and_delivers_nothing,
                everything_is_given_back_when_it_expired,
                trimming_gives_back,
                removing_history_gives_back,
                tags_count,
                bytes_cut_pages,
                subscribing_to_unpublished_names_stores_nothing,
                too_many_keys_are_refused_and_live_ones_kept);
    };
    (@cases $build:expr, $run:expr; $group:ident: $($case:ident),*) => {
        mod $group {
            use super::*;
            $(
                #[test]
                fn $case() {
                    let bench = $crate::testkit::contract::Bench::new($build);
                    $run($crate::testkit::contract::$group::$case(&bench));
                }
            )*
        }
    };
}

/// Makes a test of every case of [`nodes`](crate::testkit::contract::nodes): `$build` makes a broker
/// of a [`Fixture`](crate::testkit::contract::Fixture), the two of one test over one sequencer, and
/// is itself made by `$share`.
#[macro_export]
macro_rules! nodes_contract {
    ($share:expr, $run:expr) => {
        $crate::nodes_contract!(@cases $share, $run;
            all_nodes_see_one_order_without_gaps,
            all_nodes_know_one_epoch,
            publications_without_history_cross,
            joins_and_leaves_cross,
            keys_of_one_node_are_known_to_the_other,
            versions_of_one_node_count_for_the_other,
            removing_history_counts_for_all_nodes,
            a_node_that_left_is_not_told);
    };
    (@cases $share:expr, $run:expr; $($case:ident),*) => {
        mod nodes {
            use super::*;
            $(
                #[test]
                fn $case() {
                    let nodes = $crate::testkit::contract::nodes::Nodes::new($share());
                    $run($crate::testkit::contract::nodes::$case(&nodes));
                }
            )*
        }
    };
}
