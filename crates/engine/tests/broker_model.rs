//! Random operations on the brokers against a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::{
    Broker, DiskBroker, DiskOptions, HistoryQuery, IDEMPOTENCY_TTL, MemoryBroker, NewPublication,
    Retention,
};
use campanile_engine::testkit::channel;
use campanile_engine::testkit::contract::{Bench, Fixture, kept, offsets, passing};
use campanile_engine::testkit::disk::SimulatedDisk;
use futures_util::FutureExt;
use proptest::prelude::*;

const RETENTION: Retention = Retention {
    size: 3,
    ttl: Duration::from_secs(60),
    meta_ttl: Duration::from_secs(600),
};

#[derive(Clone, Debug)]
enum Operation {
    Publish {
        channel: u8,
        key: Option<u8>,
        is_kept: bool,
    },
    Subscribe {
        channel: u8,
        shard: usize,
    },
    Unsubscribe {
        channel: u8,
        shard: usize,
    },
    History {
        channel: u8,
        since: Option<u64>,
        reverse: bool,
        limit: usize,
    },
    Remove {
        channel: u8,
    },
    Pass {
        seconds: u64,
    },
    Sweep,
}

fn operation() -> impl Strategy<Value = Operation> {
    let channel = 0..3_u8;
    prop_oneof![
        6 => (channel.clone(), proptest::option::of(0..4_u8), any::<bool>())
            .prop_map(|(channel, key, is_kept)| Operation::Publish { channel, key, is_kept }),
        2 => (channel.clone(), 0..3_usize)
            .prop_map(|(channel, shard)| Operation::Subscribe { channel, shard }),
        1 => (channel.clone(), 0..3_usize)
            .prop_map(|(channel, shard)| Operation::Unsubscribe { channel, shard }),
        3 => (channel.clone(), proptest::option::of(0..12_u64), any::<bool>(), 0..5_usize)
            .prop_map(|(channel, since, reverse, limit)| Operation::History {
                channel, since, reverse, limit
            }),
        1 => channel.prop_map(|channel| Operation::Remove { channel }),
        2 => prop_oneof![1..40_u64, 200..700_u64].prop_map(|seconds| Operation::Pass { seconds }),
        1 => Just(Operation::Sweep),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    streams: BTreeMap<u8, Stream>,
    shards: BTreeMap<u8, BTreeSet<usize>>,
    /// What each shard is still to receive: channel, offset.
    deliveries: [VecDeque<(u8, u64)>; 3],
}

#[derive(Default)]
struct Stream {
    top: u64,
    kept: VecDeque<u64>,
    expires: u64,
    meta_expires: u64,
    /// When it was used and what its offset was, 0 for none.
    keys: BTreeMap<u8, (u64, u64)>,
}

impl Stream {
    fn live(&self, now: u64) -> Vec<u64> {
        if self.expires <= now {
            Vec::new()
        } else {
            self.kept.iter().copied().collect()
        }
    }
}

impl Model {
    /// A stream that is past its time may be forgotten; the broker decides when, by its sweeps,
    /// and says so by another top.
    fn reconcile(&mut self, channel: u8, top: u64) {
        let has_subscribers = self
            .shards
            .get(&channel)
            .is_some_and(|shards| !shards.is_empty());
        let now = self.now;
        let stream = self.streams.entry(channel).or_default();
        if top == 0 && stream.top != 0 {
            assert!(stream.meta_expires <= now, "forgotten before its time");
            assert!(!has_subscribers, "forgotten under its subscribers");
            stream.top = 0;
            stream.kept.clear();
        }
    }

    fn publish(&mut self, channel: u8, key: Option<u8>, is_kept: bool) -> (u64, bool) {
        let now = self.now;
        let stream = self.streams.entry(channel).or_default();
        let ttl = IDEMPOTENCY_TTL.as_secs();
        let used = key.and_then(|key| stream.keys.get(&key));
        if let Some((_, offset)) = used.filter(|(at, _)| now < at + ttl) {
            return (*offset, true);
        }
        let mut offset = 0;
        if is_kept {
            if stream.expires <= now {
                stream.kept.clear();
            }
            stream.top += 1;
            offset = stream.top;
            stream.kept.push_back(offset);
            while stream.kept.len() > RETENTION.size {
                stream.kept.pop_front();
            }
            stream.expires = now + RETENTION.ttl.as_secs();
            stream.meta_expires = now + RETENTION.meta_ttl.as_secs();
        }
        if let Some(key) = key {
            stream.keys.insert(key, (now, offset));
        }
        for shard in self.shards.get(&channel).into_iter().flatten() {
            self.deliveries[*shard].push_back((channel, offset));
        }
        (offset, false)
    }

    fn page(&self, channel: u8, since: Option<u64>, reverse: bool, limit: usize) -> Vec<u64> {
        let Some(stream) = self.streams.get(&channel) else {
            return Vec::new();
        };
        let mut page = stream.live(self.now);
        if reverse {
            if since.is_some_and(|since| since <= stream.top && !page.contains(&since)) {
                page.clear();
            }
            page.retain(|offset| since.is_none_or(|since| *offset < since));
            page.reverse();
        } else {
            page.retain(|offset| since.is_none_or(|since| *offset > since));
        }
        page.truncate(limit);
        page
    }
}

fn memory(fixture: &Fixture) -> Arc<dyn Broker> {
    Arc::new(MemoryBroker::new(
        fixture.inboxes.clone(),
        Arc::clone(&fixture.budget),
        fixture.clock.clone(),
        fixture.meta_ttl_min,
    ))
}

async fn apply(bench: &Bench, model: &mut Model, operation: Operation) {
    let name = |number: u8| format!("c{number}");
    match operation {
        Operation::Publish {
            channel,
            key,
            is_kept,
        } => {
            model.reconcile(channel, bench.history(&name(channel)).await.top.offset);
            let plain = if is_kept {
                kept(&name(channel), "1")
            } else {
                passing(&name(channel), "1")
            };
            let new = NewPublication {
                idempotency_key: key.map(|key| key.to_string().into()),
                retention: is_kept.then_some(RETENTION),
                ..plain
            };
            let published = bench.publish(new).await;
            let offset = published.position.map_or(0, |position| position.offset);
            let expected = model.publish(channel, key, is_kept);
            assert_eq!((offset, published.is_suppressed), expected);
        }
        Operation::Subscribe { channel, shard } => {
            let top = bench.subscribe(shard, &name(channel)).await;
            model.reconcile(channel, top);
            assert_eq!(
                top,
                model.streams.get(&channel).map_or(0, |stream| stream.top)
            );
            model.shards.entry(channel).or_default().insert(shard);
        }
        Operation::Unsubscribe { channel, shard } => {
            bench.unsubscribe(shard, &name(channel)).await;
            model.shards.entry(channel).or_default().remove(&shard);
        }
        Operation::History {
            channel,
            since,
            reverse,
            limit,
        } => {
            let query = HistoryQuery {
                since,
                reverse,
                limit,
                bytes: usize::MAX,
            };
            let page = bench.page(&name(channel), query).await;
            model.reconcile(channel, page.top.offset);
            assert_eq!(offsets(&page), model.page(channel, since, reverse, limit));
        }
        Operation::Remove { channel: number } => {
            let removed = bench.broker.remove_history(&channel(&name(number))).await;
            removed.expect("the broker takes it");
            if let Some(stream) = model.streams.get_mut(&number) {
                stream.kept.clear();
            }
        }
        Operation::Pass { seconds } => {
            bench.clock.advance(Duration::from_secs(seconds));
            model.now += seconds;
        }
        Operation::Sweep => bench.broker.sweep(),
    }
}

fn disk(fixture: &Fixture) -> Arc<dyn Broker> {
    let options = DiskOptions {
        segment_bytes: 512,
        cache_bytes: 1024,
        ..DiskOptions::default()
    };
    let broker = DiskBroker::open(
        Arc::new(SimulatedDisk::default()),
        options,
        fixture.inboxes.clone(),
        Arc::clone(&fixture.budget),
        fixture.clock.clone(),
        fixture.meta_ttl_min,
    );
    Arc::new(broker.expect("a new disk can be used"))
}

async fn run(build: fn(&Fixture) -> Arc<dyn Broker>, operations: Vec<Operation>) {
    let bench = Bench::new(build);
    let mut model = Model::default();
    for operation in operations {
        apply(&bench, &mut model, operation).await;
    }
    for (shard, expected) in model.deliveries.iter_mut().enumerate() {
        while let Some((number, offset)) = expected.pop_front() {
            let delivery = bench.delivery(shard).await;
            assert_eq!(delivery.channel, channel(&format!("c{number}")));
            let campanile_engine::delivery::Event::Publication { publication, .. } =
                &delivery.event
            else {
                panic!("no publication: {delivery:?}");
            };
            assert_eq!(publication.offset, offset);
        }
        assert!(bench.is_quiet(shard).await);
    }
    for shard in 0..3 {
        for number in 0..3 {
            bench.unsubscribe(shard, &format!("c{number}")).await;
        }
    }
    bench.clock.advance(RETENTION.meta_ttl);
    // What compaction has in hand is forgotten a little later.
    for _ in 0..1000 {
        bench.broker.sweep();
        if bench.budget.stored() == 0 {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(
        bench.budget.stored(),
        0,
        "everything is given back in the end"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_broker_does_what_a_simple_model_does(
        operations in proptest::collection::vec(operation(), 1..80)
    ) {
        run(memory, operations).now_or_never().expect("memory never waits");
    }

    #[test]
    fn the_disk_broker_does_what_a_simple_model_does(
        operations in proptest::collection::vec(operation(), 1..80)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("it needs no driver").block_on(run(disk, operations));
    }
}
