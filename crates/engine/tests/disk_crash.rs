//! Processes that are killed in the middle of what they do to a real directory: whatever one of them
//! acknowledged or delivered, the next one has.
//!
//! A process is this binary again, told by its environment to publish from several threads until it
//! is killed at a chosen operation. `CAMPANILE_CRASHES` says how many directories are tried,
//! `CAMPANILE_CRASH` which single one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use campanile_engine::broker::{
    Broker as _, DiskBroker, DiskOptions, Durability, HistoryQuery, NewPublication, Published,
    Retention,
};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::{Delivery, Event, Inbox, Inboxes, ShardId};
use campanile_engine::store::{Directory, OsDirectory};
use campanile_engine::testkit::contract::passing;
use campanile_engine::testkit::disk::{KillPoint, KillPoints, Operation, When};
use campanile_engine::testkit::{Random, channel};
use campanile_engine::time::MachineClock;
use campanile_protocol::{Epoch, Publication};

const THREADS: usize = 4;
const PUBLISHES: usize = 40;

/// One that keeps all, and one that keeps so little that segments are emptied for it.
const CHANNELS: [(&str, usize); 2] = [("all", 100_000), ("few", 3)];

/// Processes that use a directory one after the other before somebody looks at it.
const LIVES: u64 = 2;

/// What a process of this directory says of a publication, a line each: `ack` for one that was
/// acknowledged, `got` for one that was delivered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Word {
    channel: String,
    offset: u64,
    epoch: String,
    payload: String,
}

/// What was tried, and how much of it there was.
#[derive(Default, Debug)]
struct Counts {
    kills: usize,
    ends: usize,
    acknowledged: usize,
    delivered: usize,
    recovered: usize,
    by_operation: BTreeMap<Operation, usize>,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.ends += other.ends;
        self.acknowledged += other.acknowledged;
        self.delivered += other.delivered;
        self.recovered += other.recovered;
        for (operation, count) in other.by_operation {
            *self.by_operation.entry(operation).or_default() += count;
        }
    }
}

/// Opens the store with `directory` and one shard.
fn open(directory: Arc<dyn Directory>, is_relaxed: bool) -> (DiskBroker, Inbox) {
    let options = DiskOptions {
        durability: if is_relaxed {
            Durability::Relaxed {
                sync_interval: Duration::from_millis(1),
            }
        } else {
            Durability::Sync
        },
        segment_bytes: 2048,
        cache_bytes: 4096,
        size_limit: None,
        boot_id: Some("this".to_owned()),
    };
    let (inboxes, mut shards) = Inboxes::new(1);
    let broker = DiskBroker::open(
        directory,
        options,
        inboxes,
        Arc::new(MemoryBudget::new(None)),
        Arc::new(MachineClock::start()),
        Duration::from_secs(3600),
    );
    let broker = broker.unwrap_or_else(|error| panic!("the store does not open: {error}"));
    (broker, shards.pop().expect("there is one"))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs no driver").block_on(future)
}

/// A publication whose key is its payload without the padding.
fn publication(name: &str, size: usize, key: &str, padding: usize) -> NewPublication {
    NewPublication {
        retention: Some(Retention {
            size,
            ttl: Duration::from_secs(3600),
            meta_ttl: Duration::from_secs(3600),
        }),
        idempotency_key: Some(key.into()),
        ..passing(name, &format!("{key}-{}", "x".repeat(padding)))
    }
}

/// Where the process of this life ends.
fn point_of(seed: u64, life: u64) -> KillPoint {
    let random = Random::new(seed * LIVES + life);
    let kind = random.below(Operation::CHANGES.len());
    let operation = Operation::CHANGES[kind];
    // Some are done for every group, some for every segment, some when one is emptied.
    let often = match operation {
        Operation::Write | Operation::SyncBytes => 100,
        Operation::Remove => 3,
        _ => 12,
    };
    KillPoint {
        operation: Some(operation),
        after: random.below(often),
        when: [When::Before, When::Middle, When::After][random.below(3)],
    }
}

/// What the killed process is.
#[test]
fn process() {
    let Ok(path) = std::env::var("CAMPANILE_CRASH_DIRECTORY") else {
        return;
    };
    let number = |name| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let (seed, life) = (
        number("CAMPANILE_CRASH_SEED"),
        number("CAMPANILE_CRASH_LIFE"),
    );
    let directory = OsDirectory::lock(Path::new(&path)).expect("nobody else has it");
    let directory = KillPoints::new(Arc::new(directory), point_of(seed, life), || {
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    });
    let (broker, mut inbox) = open(Arc::new(directory), seed % 2 == 0);
    let shard = ShardId::new(0).unwrap();
    for (name, _) in CHANNELS {
        wait(broker.subscribe(shard, &channel(name))).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let broker = &broker;
            scope.spawn(move || publish_all(broker, seed, life, thread));
        }
        scope.spawn(|| {
            for _ in 0..THREADS * PUBLISHES {
                let delivery = wait(inbox.recv()).unwrap();
                say("got", &heard(&delivery));
            }
        });
    });
    broker.close();
}

fn publish_all(broker: &DiskBroker, seed: u64, life: u64, thread: usize) {
    let random = Random::new(seed ^ (life << 8) ^ ((thread as u64) << 16));
    for number in 0..PUBLISHES {
        let (name, size) = CHANNELS[random.below(CHANNELS.len())];
        let key = format!("{life}-{thread}-{number}");
        let new = publication(name, size, &key, random.below(400));
        let payload = String::from_utf8_lossy(&new.data).into_owned();
        let published = wait(broker.publish(new)).expect("an intact disk takes it");
        let position = published.position.expect("history is kept");
        say("ack", &word(name, position.epoch, position.offset, payload));
        if number % 10 == 0 {
            broker.sweep();
        }
    }
}

fn word(channel: &str, epoch: Epoch, offset: u64, payload: String) -> Word {
    Word {
        channel: channel.to_owned(),
        offset,
        epoch: epoch.as_str().to_owned(),
        payload,
    }
}

fn heard(delivery: &Delivery) -> Word {
    let Event::Publication {
        publication, epoch, ..
    } = &delivery.event
    else {
        panic!("nobody comes or goes");
    };
    word(
        delivery.channel.as_str(),
        *epoch,
        publication.offset,
        text(publication),
    )
}

fn text(publication: &Publication) -> String {
    String::from_utf8_lossy(&publication.data).into_owned()
}

/// Says it in one write, past the capture of the test harness.
fn say(verb: &str, word: &Word) {
    let Word {
        channel,
        offset,
        epoch,
        payload,
    } = word;
    let line = format!("{verb} {channel} {offset} {epoch} {payload}\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("somebody listens");
}

fn understood(line: &str) -> Option<(bool, Word)> {
    let parts: Vec<_> = line.split(' ').collect();
    let [verb @ ("ack" | "got"), channel, offset, epoch, payload] = parts[..] else {
        return None;
    };
    let word = Word {
        channel: channel.to_owned(),
        offset: offset.parse().ok()?,
        epoch: epoch.to_owned(),
        payload: payload.to_owned(),
    };
    Some((verb == "ack", word))
}

/// Lets processes live and die in a directory of their own, then looks what is there.
fn try_directory(seed: u64, all: &Mutex<Counts>) {
    let mut counts = Counts::default();
    let name = format!("campanile-crash-{}-{seed}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    let mut words = Vec::new();
    for life in 0..LIVES {
        let child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "process", "--nocapture"])
            .env("CAMPANILE_CRASH_DIRECTORY", &path)
            .env("CAMPANILE_CRASH_SEED", seed.to_string())
            .env("CAMPANILE_CRASH_LIFE", life.to_string())
            .output()
            .expect("it can be started");
        let was_killed = child.status.signal() == Some(9);
        let complaint = String::from_utf8_lossy(&child.stderr);
        assert!(
            was_killed || child.status.success(),
            "seed {seed}: {complaint}"
        );
        if was_killed {
            counts.kills += 1;
            let operation = point_of(seed, life).operation.expect("of a kind");
            *counts.by_operation.entry(operation).or_default() += 1;
        } else {
            counts.ends += 1;
        }
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        let said: Vec<_> = said.lines().filter_map(understood).collect();
        for (name, _) in CHANNELS {
            let got = |(is_ack, word): &&(bool, Word)| !is_ack && word.channel == name;
            let offsets: Vec<_> = said
                .iter()
                .filter(got)
                .map(|(_, word)| word.offset)
                .collect();
            let is_in_order = offsets.is_sorted_by(|one, next| one + 1 == *next);
            assert!(is_in_order, "seed {seed}: {name} came as {offsets:?}");
        }
        words.extend(said);
    }
    check(seed, &path, &words, &mut counts);
    *all.lock().expect("no other thread panicked") += counts;
    std::fs::remove_dir_all(&path).expect("it is ours");
}

fn check(seed: u64, path: &Path, words: &[(bool, Word)], counts: &mut Counts) {
    let directory = OsDirectory::lock(path).expect("the processes are dead");
    let (broker, _inbox) = open(Arc::new(directory), false);
    let everything = HistoryQuery {
        limit: usize::MAX,
        bytes: usize::MAX,
        ..HistoryQuery::default()
    };
    for (name, size) in CHANNELS {
        let page = wait(broker.history(&channel(name), everything)).expect("it can be read");
        let found: BTreeMap<u64, String> = page
            .publications
            .iter()
            .map(|publication| (publication.offset, text(publication)))
            .collect();
        let kept = page.top.offset.min(size as u64);
        let offsets: Vec<_> = page.publications.iter().map(|one| one.offset).collect();
        let expected: Vec<_> = (page.top.offset - kept + 1..=page.top.offset).collect();
        assert_eq!(offsets, expected, "seed {seed}: {name} has holes");
        let mut payloads: Vec<_> = found.values().collect();
        payloads.sort();
        payloads.dedup();
        assert_eq!(
            payloads.len(),
            found.len(),
            "seed {seed}: {name} has one twice"
        );
        counts.recovered += found.len();

        for (is_ack, word) in words.iter().filter(|(_, word)| word.channel == name) {
            let context = || format!("seed {seed}: {word:?}, but {name} is at {:?}", page.top);
            assert_eq!(word.epoch, page.top.epoch.as_str(), "{}", context());
            assert!(word.offset <= page.top.offset, "{}", context());
            if word.offset >= expected[0] {
                assert_eq!(found[&word.offset], word.payload, "{}", context());
            }
            if *is_ack {
                counts.acknowledged += 1;
                let (key, _) = word.payload.rsplit_once('-').expect("it ends with padding");
                let again = wait(broker.publish(publication(name, size, key, 0)));
                let again = again.expect("it was published before");
                let told = |published: Published| published.position.map(|told| told.offset);
                assert!(again.is_suppressed, "{}", context());
                assert_eq!(told(again), Some(word.offset), "{}", context());
            } else {
                counts.delivered += 1;
            }
        }
    }
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn what_a_killed_process_acknowledged_or_delivered_the_next_one_has() {
    let seeds = match number_of("CAMPANILE_CRASH") {
        Some(seed) => seed..seed + 1,
        None => 0..number_of("CAMPANILE_CRASHES").unwrap_or(40),
    };
    // Most of the time everybody waits for the disk.
    let next = AtomicU64::new(seeds.start);
    let counts = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    try_directory(seed, &counts);
                }
            });
        }
    });
    println!("{:?}", counts.lock().unwrap());
}
