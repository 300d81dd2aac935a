//! A machine with a disk and the processes that use it one after the other, until it is checked what
//! became of what they had promised.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::disk::OpenError;
use campanile_engine::broker::{DiskBroker, DiskOptions, Durability};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::delivery::{Inbox, Inboxes};
use campanile_engine::store::Directory;
use campanile_engine::testkit::disk::{
    KillPoint, KillPoints, Loss, Operation, SimulatedDisk, Step, When,
};
use campanile_engine::testkit::{ManualClock, Random};
use campanile_engine::time::Clock;

use crate::channel::Channel;
use crate::stream::Time;
use crate::witness::Witness;

/// A promise that was broken.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Ends the run with a message unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

pub(crate) const CHANNELS: usize = 4;
pub(crate) const SHARDS: usize = 2;

/// The shortest lifetime of metadata that a publication has.
pub(crate) const META_TTL_MIN: Duration = Duration::from_secs(300);

/// Longer than every lifetime.
pub(crate) const END_OF_ALL: Duration = Duration::from_secs(3600);

/// So small that a run fills several, and some publications want one of their own.
const SEGMENT_BYTES: u64 = 1400;

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Clean,
    Kill,
    PowerCut,
}

/// Which durability processes have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Sync,
    Relaxed,
    /// Each process another one.
    Mixed,
}

/// What of the acknowledged may be lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lossy {
    /// Nothing.
    No,
    /// What was not synced, where the epochs are new.
    Maybe,
    /// What was not synced, and every epoch is new.
    Yes,
}

/// How much was done and checked.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) operations: usize,
    pub(crate) attempts: usize,
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) deliveries: usize,
    pub(crate) clean_stops: usize,
    pub(crate) kills: usize,
    pub(crate) power_cuts: usize,
    /// Of the crashes, those during an opening.
    pub(crate) failed_openings: usize,
    pub(crate) compactions: usize,
    pub(crate) cold_reads: usize,
    pub(crate) checks: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.attempts += other.attempts;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.deliveries += other.deliveries;
        self.clean_stops += other.clean_stops;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.failed_openings += other.failed_openings;
        self.compactions += other.compactions;
        self.cold_reads += other.cold_reads;
        self.checks += other.checks;
    }
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) disk: SimulatedDisk,
    pub(crate) process: Option<Process>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) counts: Counts,
    pub(crate) runtime: tokio::runtime::Runtime,
    manner: Manner,
    /// Milliseconds since 1970.
    now: i64,
    boot: usize,
    /// What the next opening may find lost.
    lossy: Lossy,
    /// The same, if the power fails before the next opening has succeeded.
    at_stake: Lossy,
    pub(crate) witness: Witness,
    /// What happened, for who has to find out why it went wrong.
    pub(crate) diary: Vec<String>,
}

/// One life of the broker.
pub(crate) struct Process {
    pub(crate) broker: DiskBroker,
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) budget: Arc<MemoryBudget>,
    clock: Arc<ManualClock>,
    pub(crate) is_relaxed: bool,
    pub(crate) has_stored: bool,
}

impl World {
    pub(crate) fn new(seed: u64, manner: Manner, forgotten: &[Operation]) -> Self {
        let disk = SimulatedDisk::default();
        for sync in forgotten {
            disk.forget(*sync);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            random: Random::new(seed),
            disk,
            process: None,
            channels: (0..CHANNELS).map(|_| Channel::new()).collect(),
            counts: Counts::default(),
            runtime: runtime.expect("a runtime without drivers"),
            manner,
            now: 1_700_000_000_123,
            boot: 0,
            lossy: Lossy::No,
            at_stake: Lossy::No,
            witness: Witness::default(),
            diary: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::try_from(self.now).expect("after 1970")
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += i64::try_from(time.as_millis()).expect("a short time");
        self.process().clock.advance(time);
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("one is running")
    }

    /// Starts a process, through whatever happens during that.
    pub(crate) fn start(&mut self) -> Outcome {
        for attempt in 0.. {
            // So that it ends: the later attempts are left alone.
            let is_disturbed = attempt < 5 && self.random.one_in(3);
            match self.open(is_disturbed) {
                Ok(process) if !self.disk.is_off() => {
                    self.process = Some(process);
                    break;
                }
                outcome => {
                    self.counts.failed_openings += 1;
                    let error = outcome.err().map(|error| error.to_string());
                    let is_forgiven = is_disturbed
                        || self.disk.is_off()
                        || self.disk.log().iter().any(|step| step.has_failed);
                    self.diary.push(format!("does not open: {error:?}"));
                    ensure!(is_forgiven, "does not open again: {error:?}");
                    let log = self.disk.log();
                    self.note_failed_sync(&log);
                    // It may have made durable what was not.
                    self.at_stake = self.at_stake.min(Lossy::Maybe);
                    self.disk.set_capacity(usize::MAX);
                    self.disk.fail_no_more();
                    if self.disk.is_off() {
                        let is_power_cut = self.random.one_in(2);
                        self.crash(is_power_cut);
                    }
                }
            }
        }
        let is_relaxed = self.process().is_relaxed;
        let lossy = std::mem::replace(&mut self.lossy, Lossy::No);
        self.diary
            .push(format!("opened, relaxed: {is_relaxed}, lossy: {lossy:?}"));
        // Until something is stored, there is nothing to lose.
        self.at_stake = if is_relaxed { Lossy::Maybe } else { Lossy::No };
        self.check_all(lossy)
    }

    fn open(&mut self, is_disturbed: bool) -> Result<Process, OpenError> {
        let is_relaxed = match self.manner {
            Manner::Sync => false,
            Manner::Relaxed => true,
            Manner::Mixed => self.random.one_in(2),
        };
        if is_relaxed {
            self.at_stake = self.at_stake.max(Lossy::Maybe);
        }
        self.diary.push(format!(
            "opening, relaxed: {is_relaxed}, boot {}",
            self.boot
        ));
        let sync_interval = [Duration::from_millis(1), Duration::from_secs(3600)];
        let options = DiskOptions {
            durability: if is_relaxed {
                Durability::Relaxed {
                    sync_interval: sync_interval[self.random.below(2)],
                }
            } else {
                Durability::Sync
            },
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: [0, 4000, 1 << 20][self.random.below(3)],
            size_limit: self.random.one_in(6).then_some(40_000),
            boot_id: Some(format!("boot-{}", self.boot)),
        };
        if is_disturbed && self.random.one_in(3) {
            self.inject_fault();
        }
        let directory = self.directory(is_disturbed);
        let clock = Arc::new(ManualClock::at(self.now));
        let (inboxes, receivers) = Inboxes::new(SHARDS);
        let budget = Arc::new(MemoryBudget::new(None));
        let broker = DiskBroker::open(
            directory,
            options,
            inboxes,
            Arc::clone(&budget),
            Arc::clone(&clock) as Arc<dyn Clock>,
            META_TTL_MIN,
        )?;
        Ok(Process {
            broker,
            inboxes: receivers,
            budget,
            clock,
            is_relaxed,
            has_stored: false,
        })
    }

    /// The disk, perhaps with a point where everything ends.
    fn directory(&mut self, is_disturbed: bool) -> Arc<dyn Directory> {
        let disk = self.disk.clone();
        // While it is opened, or later.
        let is_mortal = is_disturbed || self.random.one_in(2);
        if !is_mortal {
            return Arc::new(disk);
        }
        let point = KillPoint {
            operation: None,
            after: self.random.below(if is_disturbed { 12 } else { 80 }),
            when: [When::Before, When::Middle, When::After][self.random.below(3)],
        };
        self.diary.push(format!("everything is to end: {point:?}"));
        let victim = disk.clone();
        Arc::new(KillPoints::new(Arc::new(disk), point, move || {
            victim.turn_off();
        }))
    }

    pub(crate) fn inject_fault(&mut self) {
        let operation = Operation::CHANGES[self.random.below(Operation::CHANGES.len())];
        let after = self.random.below(4);
        self.diary
            .push(format!("{operation:?} is to fail, after {after}"));
        self.disk
            .fail_next(operation, after, std::io::ErrorKind::Other);
    }

    /// Ends the process and starts another one.
    pub(crate) fn restart(&mut self, end: End) -> Outcome {
        match end {
            End::Clean => self.stop(),
            End::Kill => self.crash(false),
            End::PowerCut => self.crash(true),
        }
        self.start()
    }

    fn stop(&mut self) {
        let before = self.disk.steps();
        self.process().broker.close();
        let is_failed = self.process().broker.status().is_failed || self.disk.is_off();
        let log = self.disk.log();
        let is_untroubled = !log[before..].iter().any(|step| step.has_failed);
        self.end_process();
        // First the segment is made durable, then the mark says so.
        if is_durable(&log, log.len()) {
            self.at_stake = self.at_stake.min(Lossy::Maybe);
            for channel in &mut self.channels {
                channel.forget_durable(|_| true);
            }
        }
        if !is_failed && is_untroubled {
            self.at_stake = Lossy::No;
        }
        self.diary
            .push(format!("stopped, at stake: {:?}", self.at_stake));
        self.counts.clean_stops += 1;
        self.leave(false);
    }

    /// The end of process or power; what runs notices nothing more.
    pub(crate) fn crash(&mut self, is_power_cut: bool) {
        self.disk.turn_off();
        self.end_process();
        self.counts.kills += usize::from(!is_power_cut);
        self.leave(is_power_cut);
    }

    /// Leaves the disk to the next process.
    fn leave(&mut self, is_power_cut: bool) {
        // A process that dies before it can note that a sync has failed leaves a log that only a
        // restart of the machine makes good.
        if is_power_cut || is_unnoted(&self.disk.log()) {
            let loss = Loss::of(self.random.below(1 << 30) as u64);
            self.diary.push(format!("power cut: {loss:?}"));
            self.disk = self.disk.power_cut(loss);
            self.boot += 1;
            self.lossy = self.lossy.max(self.at_stake);
            self.counts.power_cuts += 1;
        } else {
            self.diary.push("killed".to_owned());
            self.disk = self.disk.kill();
        }
    }

    /// After a failed sync the broker may trust nothing that was not synced, whatever came of it.
    fn note_failed_sync(&mut self, log: &[Step]) {
        if log.iter().any(is_failed_sync) {
            self.lossy = self.lossy.max(self.at_stake.min(Lossy::Maybe));
        }
    }

    fn end_process(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        if process.is_relaxed && process.has_stored {
            self.at_stake = Lossy::Yes;
        }
        let status = process.broker.status();
        self.counts.compactions += usize::try_from(status.compacted_segments).unwrap_or(0);
        self.counts.cold_reads += usize::try_from(status.cold_reads).unwrap_or(0);
        let log = self.disk.log();
        self.note_failed_sync(&log);
        for channel in &mut self.channels {
            channel.forget_durable(|steps| is_durable(&log, steps));
        }
    }
}

/// Whether all that had been written after so many steps was synced by the end of the log. A segment
/// is synced before the next one begins: a sync of the one that was written to last is for all.
fn is_durable(log: &[Step], steps: usize) -> bool {
    let of_segment = |operation, step: &Step| {
        step.operation == operation && !step.has_failed && !step.file.starts_with("mark")
    };
    let written = log[..steps]
        .iter()
        .rposition(|step| of_segment(Operation::Write, step));
    written.is_some_and(|written| {
        let file = &log[written].file;
        log[written..]
            .iter()
            .any(|step| of_segment(Operation::SyncBytes, step) && step.file == *file)
    })
}

fn is_failed_sync(step: &Step) -> bool {
    let syncs = [Operation::SyncBytes, Operation::SyncNames];
    step.has_failed && syncs.contains(&step.operation)
}

/// Whether a sync failed and the mark was neither written nor removed after it.
fn is_unnoted(log: &[Step]) -> bool {
    let failed = log.iter().rposition(is_failed_sync);
    failed.is_some_and(|failed| {
        !log[failed..].iter().any(|step| {
            step.file.starts_with("mark")
                && !step.has_failed
                && [Operation::Rename, Operation::Remove].contains(&step.operation)
        })
    })
}
