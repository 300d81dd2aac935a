//! A log of random commits, and what it must say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use campanile_engine::broker::Version;
use campanile_engine::store::{
    Group, KeyRecord, Log, LogOptions, LogTime, PlaceReader, RecordRef, StreamState,
};
use campanile_engine::testkit::Random;
use campanile_engine::testkit::disk::{KillPoint, KillPoints, Loss, SimulatedDisk, When};
use campanile_engine::upkeep::{Circumstances, Examination};
use campanile_protocol::{Epoch, Publication};

/// When the log is written, and when it is looked at.
const WRITTEN: LogTime = 1_000_000;
pub(crate) const NOW: LogTime = 2_000_000;
const LATER: LogTime = 3_000_000;
const SEGMENT_BYTES: u64 = 700;
const CHANNELS: usize = 5;
const HISTORY: u64 = 6;

pub(crate) fn circumstances() -> Circumstances {
    Circumstances {
        wall_now: NOW,
        boot_id: Some("boot".to_owned()),
        segment_bytes: SEGMENT_BYTES,
    }
}

/// What there is of one channel, without its epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) top: u64,
    pub(crate) floor: u64,
    pub(crate) publications: BTreeMap<u64, String>,
    pub(crate) keys: BTreeMap<String, Option<u64>>,
    pub(crate) version: Option<u64>,
}

pub(crate) type Contents = BTreeMap<String, Content>;

struct Stream {
    epoch: String,
    content: Content,
    /// In this epoch, counting from 0 over the life of the channel.
    life: usize,
    is_gone: bool,
}

/// One commit, and where it is.
pub(crate) struct Commit {
    pub(crate) segment: u32,
    pub(crate) bytes: std::ops::Range<usize>,
    /// The channels with records in it.
    pub(crate) channels: BTreeSet<String>,
}

/// See the [module](self).
pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) commits: Vec<Commit>,
    streams: BTreeMap<String, Stream>,
    random: Random,
    count: usize,
}

impl World {
    /// A log that was closed as it should be.
    pub(crate) fn new(seed: u64, commits: usize) -> Self {
        let mut world = Self {
            disk: SimulatedDisk::default(),
            commits: Vec::new(),
            streams: BTreeMap::new(),
            random: Random::new(seed),
            count: 0,
        };
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES,
            is_relaxed: false,
            boot_id: Some("boot".to_owned()),
        };
        let disk = Arc::new(world.disk.clone());
        let opened = Log::open(disk, options, WRITTEN, &mut |_, _, _| {});
        let (mut log, _) = opened.expect("an empty disk");
        for _ in 0..commits {
            world.commit(&mut log);
        }
        log.close(WRITTEN).expect("a disk that works");
        world
    }

    fn commit(&mut self, log: &mut Log) {
        let mut group = Group::new();
        let mut channels = BTreeSet::new();
        for _ in 0..=self.random.below(3) {
            channels.insert(self.record(&mut group));
        }
        let appended = log.append(&mut group, WRITTEN);
        let appended = appended.expect("a disk that works");
        let start = appended.base as usize;
        self.commits.push(Commit {
            segment: appended.segment,
            bytes: start..start + group.len(),
            channels,
        });
    }

    fn record(&mut self, group: &mut Group) -> String {
        self.count += 1;
        let number = self.random.below(CHANNELS);
        let (name, count) = (format!("c{number}"), self.count);
        let stream = self.streams.entry(name.clone()).or_insert_with(|| Stream {
            epoch: format!("e{count}"),
            content: Content::new(),
            life: 0,
            // One channel is past its time when the log is looked at.
            is_gone: number == 0,
        });
        if self.random.one_in(30) {
            // It was forgotten, and begins again.
            stream.epoch = format!("e{count}");
            stream.content = Content::new();
            stream.life += 1;
        }
        let content = &mut stream.content;
        let (mut publication, mut keys) = (None, Vec::new());
        if self.random.one_in(6) {
            content.trim(content.top + 1);
        } else {
            content.top += 1;
            content.trim((content.top + 1).saturating_sub(HISTORY).max(content.floor));
            let text = format!("{name}/{}/{}", stream.life, content.top);
            content.publications.insert(content.top, text.clone());
            publication = Some(self::publication(content.top, &text));
            content.version = Some(content.top);
            if self.random.one_in(3) {
                content.keys.insert(text.clone(), Some(content.top));
                keys.push(key(&text, Some(content.top)));
            }
        }
        let state = content.state(&stream.epoch, if stream.is_gone { NOW } else { LATER });
        group.push(RecordRef::Channel {
            channel: &name,
            state: &state,
            publication: publication.as_ref(),
            keys: &keys,
        });
        name
    }

    /// What the log must say.
    pub(crate) fn contents(&self) -> Contents {
        let there = self.streams.iter().filter(|(_, stream)| !stream.is_gone);
        there
            .map(|(name, stream)| (name.clone(), stream.content.clone()))
            .collect()
    }

    /// The epochs that anybody may have seen.
    pub(crate) fn epochs(&self) -> BTreeSet<String> {
        let streams = self.streams.values();
        streams.map(|stream| stream.epoch.clone()).collect()
    }
}

impl Content {
    fn new() -> Self {
        Self {
            top: 0,
            floor: 1,
            publications: BTreeMap::new(),
            keys: BTreeMap::new(),
            version: None,
        }
    }

    fn trim(&mut self, floor: u64) {
        self.floor = floor;
        self.publications = self.publications.split_off(&floor);
    }

    fn state(&self, epoch: &str, expires: LogTime) -> StreamState {
        StreamState {
            epoch: Epoch::new(epoch),
            top: self.top,
            floor: self.floor,
            history_expires: expires,
            meta_expires: Some(expires),
            version: self.version.map(|number| Version {
                number,
                epoch: "v".into(),
            }),
        }
    }
}

pub(crate) fn publication(offset: u64, text: &str) -> Publication {
    Publication {
        offset,
        data: text.as_bytes().into(),
        info: None,
        tags: None,
    }
}

pub(crate) fn key(text: &str, offset: Option<u64>) -> KeyRecord {
    // Those of the channel that is gone are past their time too.
    let expires = if text.starts_with("c0/") { NOW } else { LATER };
    KeyRecord {
        key: text.into(),
        offset,
        expires,
    }
}

pub(crate) fn examine_as(disk: &SimulatedDisk, boot: &str) -> Examination {
    Examination::of(disk, Some(boot), NOW).expect("a disk that works")
}

/// What the log on `disk` says, and the epochs that it has. The log must be whole.
pub(crate) fn read(disk: &SimulatedDisk, boot: &str) -> (Contents, BTreeSet<String>) {
    let examination = examine_as(disk, boot);
    assert!(examination.is_sound(), "{:?}", examination.survey.problems);
    let mut reader = PlaceReader::new(disk);
    let mut epochs = BTreeSet::new();
    let mut contents = Contents::new();
    for (channel, settled) in &examination.streams {
        epochs.insert(settled.state.epoch.as_str().to_owned());
        let publications = settled.kept.iter().map(|(offset, place)| {
            let publication = reader.publication(*place).expect("it was read before");
            assert_eq!(publication.offset, *offset);
            let text = String::from_utf8(publication.data.into());
            (*offset, text.expect("ours are texts"))
        });
        let keys = settled.keys.iter();
        let content = Content {
            top: settled.state.top,
            floor: settled.state.floor,
            publications: publications.collect(),
            keys: keys.map(|key| (key.key.to_string(), key.offset)).collect(),
            version: settled.state.version.as_ref().map(|one| one.number),
        };
        contents.insert(channel.as_str().to_owned(), content);
    }
    (contents, epochs)
}

/// Does `run` on copies of `disk` that are killed or lose power at each of its steps, and has what
/// is left of each looked at.
pub(crate) fn at_every_step<T>(
    disk: &SimulatedDisk,
    run: impl Fn(Arc<KillPoints>) -> T,
    check: impl Fn(&SimulatedDisk, &str),
) {
    let mut steps = 0;
    for when in [When::Before, When::Middle, When::After] {
        for after in 0.. {
            let copy = disk.kill();
            let is_reached = Arc::new(AtomicBool::new(false));
            let (trapped, reached) = (copy.clone(), Arc::clone(&is_reached));
            let point = KillPoint {
                operation: None,
                after,
                when,
            };
            let trap = KillPoints::new(Arc::new(copy.clone()), point, move || {
                reached.store(true, Relaxed);
                trapped.turn_off();
            });
            run(Arc::new(trap));
            if !is_reached.load(Relaxed) {
                break;
            }
            steps += 1;
            check(&copy.kill(), "boot");
            for loss in [
                Loss::Everything,
                Loss::Suffix(after as u64),
                Loss::Scattered(steps),
            ] {
                check(&copy.power_cut(loss), "other");
            }
        }
    }
    assert!(steps > 10, "{steps} steps");
}
