//! The scenario `node`: publications a second through [`Node::publish`](campanile_engine::node::Node)
//! without sockets, beside Redis asked directly and beside the disk alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::lane::Way;
use crate::load::{Load, Until, fill};
use crate::meter::Meter;
use crate::node::Running;
use crate::raw::{self, Room};
use crate::redis_server::RedisServer;
use crate::subject::Subject;
use crate::table::Table;
use crate::{Common, Failure};

#[derive(Args)]
pub(crate) struct NodeArguments {
    #[command(flatten)]
    common: Common,
    /// Rounds to take the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Publications in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256])]
    publishers: Vec<usize>,
    /// Threads that publish.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Channels, each with a full history before anything is measured.
    #[arg(long, default_value_t = 1000)]
    channels: usize,
    /// Bytes of one write to the disk alone.
    #[arg(long, default_value_t = 256)]
    raw_bytes: usize,
}

/// Publications in each channel's history.
pub(crate) const HISTORY: usize = 100;

pub(crate) fn run(arguments: &NodeArguments) -> Result<(), Failure> {
    let subjects = &arguments.common.subjects;
    let mut disk = Table::new(&["appended", "set aside"]);
    let mut tables = BTreeMap::new();
    for _ in 0..arguments.rounds {
        let fdatasync = measure_disk(arguments, &mut disk)?;
        for &threads in &arguments.threads {
            // One publisher uses one thread.
            let publishers = arguments.publishers.iter().copied();
            for publishers in publishers.filter(|publishers| *publishers >= threads) {
                let table = tables
                    .entry(threads)
                    .or_insert_with(|| Table::new(subjects));
                let mut memory_rate = None;
                for &subject in subjects {
                    let measured = measure(arguments, subject, publishers, threads, table)?;
                    let row = |name| format!("{publishers} in flight: {name}");
                    if subject == Subject::Memory {
                        memory_rate = Some(measured.rate);
                    } else if let Some(memory_rate) = memory_rate {
                        let share = 100.0 * measured.rate / memory_rate;
                        table.record(&row("% of the memory broker's rate"), subject.name(), share);
                    }
                    if publishers == 1 && subject != Subject::Memory {
                        let times = measured.p50 / fdatasync;
                        table.record(
                            &row("p50, times the disk's fdatasync"),
                            subject.name(),
                            times,
                        );
                    }
                }
            }
        }
    }
    disk.print("disk alone")?;
    for (threads, table) in tables {
        table.print(&format!("publishing threads: {threads}"))?;
    }
    Ok(())
}

/// Measures both kinds of room; returns the median time of a write into room set aside.
fn measure_disk(arguments: &NodeArguments, table: &mut Table) -> Result<f64, Failure> {
    let time = Duration::from_secs_f64(arguments.seconds);
    fs::create_dir_all(&arguments.common.dir)?;
    let mut median = f64::NAN;
    for (column, room) in [("appended", Room::Appended), ("set aside", Room::SetAside)] {
        let latencies = raw::run(&arguments.common.dir, room, arguments.raw_bytes, time)?;
        let at = |part: usize| latencies[latencies.len() * part / 1000];
        table.record("write and fdatasync: p50, µs", column, at(500));
        table.record("write and fdatasync: p99, µs", column, at(990));
        table.record("write and fdatasync: p99.9, µs", column, at(999));
        median = at(500);
    }
    Ok(median)
}

/// What the comparisons between subjects need of a measurement.
struct Outcome {
    rate: f64,
    p50: f64,
}

fn measure(
    arguments: &NodeArguments,
    subject: Subject,
    publishers: usize,
    threads: usize,
    table: &mut Table,
) -> Result<Outcome, Failure> {
    // A place of its own each time, so that nothing is left over from the round before.
    let directory = arguments.common.dir.join(subject.name());
    let stand = Stand::open(subject, &directory)?;
    let way = stand.way();
    fill(&way, arguments.channels, arguments.channels * HISTORY)?;
    let meter = Meter::new(stand.pids(), &arguments.common.dir)?;
    let before = meter.read()?;
    let load = Load {
        publishers,
        threads,
        channels: arguments.channels,
        until: Until::Elapsed(Duration::from_secs_f64(arguments.seconds)),
    };
    let measured = load.run(&way)?;
    let used = meter.read()?.since(&before);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (count, passed) = (measured.count as f64, used.passed as f64);
    let mut record = |name: &str, figure| {
        table.record(
            &format!("{publishers} in flight: {name}"),
            subject.name(),
            figure,
        );
    };
    record("publications a second", measured.rate);
    record("latency p50, µs", measured.latency(0.5));
    record("latency p99, µs", measured.latency(0.99));
    record("latency p99.9, µs", measured.latency(0.999));
    record("CPU µs", used.cpu.as_secs_f64() * 1e6 / count);
    if subject.appendfsync().is_none() {
        // For Redis this would be mostly what is written to sockets.
        record("bytes passed to the kernel", passed / count);
    }
    if let Some(written) = used.written {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        record("bytes written to the disk", written as f64 / count);
    }
    drop(way);
    drop(stand);
    fs::remove_dir_all(&directory).or_else(ignore_absent)?;
    Ok(Outcome {
        rate: measured.rate,
        p50: measured.latency(0.5),
    })
}

/// The memory broker makes no directory.
pub(crate) fn ignore_absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Something to publish to.
enum Stand {
    Node(Running),
    Redis(RedisServer),
}

impl Stand {
    fn open(subject: Subject, directory: &Path) -> Result<Self, Failure> {
        Ok(match subject.appendfsync() {
            None => Self::Node(Running::open(subject, directory)?),
            Some(appendfsync) => Self::Redis(RedisServer::start(directory, appendfsync, None)?),
        })
    }

    fn way(&self) -> Way {
        match self {
            Self::Node(running) => Way::Node(running.node.clone()),
            Self::Redis(server) => Way::Redis(server.address),
        }
    }

    /// Whose CPU time counts: this process's always, since it has the client's half of Redis too.
    fn pids(&self) -> Vec<u32> {
        let own = std::process::id();
        match self {
            Self::Node(_) => vec![own],
            Self::Redis(server) => vec![own, server.process.pid()],
        }
    }
}
