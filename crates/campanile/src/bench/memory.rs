//! Bytes a connection costs: the slope between few and many connections, so that what the program
//! needs anyway falls out. Every connection has a user, a subscription and a publication received.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::client::Client;
use super::plan::{Channels, Plan};
use super::report::Report;
use super::{BenchError, CommonArgs, proc, scan};

/// The server's memory counts as settled when this many readings in a row agree.
const STABLE_READINGS: u32 = 4;
const READING_INTERVAL: Duration = Duration::from_millis(250);
const MAX_READINGS: u32 = 60;
const STABLE_BYTES: u64 = 64 * 1024;
/// Publishes under way at a time when each connection has a channel of its own.
const IN_FLIGHT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChannelMode {
    /// All connections subscribe to one channel
    Shared,
    /// Each connection subscribes to a channel of its own
    Own,
}

#[derive(Debug, Args)]
pub(super) struct MemoryArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Connections at the first reading
    #[arg(long, default_value_t = 2000)]
    from: u32,
    /// Connections at the second reading
    #[arg(long, default_value_t = 10_000)]
    to: u32,
    /// What connections subscribe to
    #[arg(long, value_enum, default_value_t = ChannelMode::Shared)]
    channel_mode: ChannelMode,
    /// The shared channel
    #[arg(long, default_value = "bench:shared")]
    channel: String,
    /// Own channels are this and the number of the connection
    #[arg(long, default_value = "bench:own")]
    channel_prefix: String,
    /// Size of the payload
    #[arg(long, default_value_t = 128)]
    payload_bytes: usize,
}

impl MemoryArgs {
    fn channels(&self) -> Channels {
        match self.channel_mode {
            ChannelMode::Shared => Channels::Shared(self.channel.clone()),
            ChannelMode::Own => Channels::Own(self.channel_prefix.clone()),
        }
    }
}

struct Reading {
    resident: u64,
    tcp: u64,
}

pub(super) fn run(args: &MemoryArgs) -> Result<Report, BenchError> {
    let to = args.to as usize;
    args.common.prepare(to + IN_FLIGHT)?;
    let Some(pid) = args.common.pid else {
        return Err(BenchError::Proc {
            path: "/proc".into(),
            why: "--pid is needed".into(),
        });
    };
    let plan = Plan::commands(&args.common, args.channels())?;
    let mut client =
        Client::new(&args.common, plan, to)?.with_publisher(&args.common, IN_FLIGHT)?;

    let mut report = Report::new("memory", &args.common.url);
    let mode = args
        .channel_mode
        .to_possible_value()
        .expect("no variant is skipped");
    report.setting("channels", mode.get_name());
    args.common.describe(&mut report);
    report.setting(
        "payload-bytes",
        args.payload_bytes.max(scan::MIN_PAYLOAD).to_string(),
    );
    report.setting("from", args.from.to_string());
    report.setting("to", args.to.to_string());

    let mut readings = [0, args.from, args.to]
        .into_iter()
        .zip([args.from, args.to]);
    let mut read = |client: &mut Client| -> Result<Reading, BenchError> {
        let (before, connections) = readings.next().expect("two readings");
        client.open(connections as usize)?;
        publish_to_all(client, args, before..connections)?;
        settle(client, pid, &mut report)
    };
    let (few, many) = (read(&mut client)?, read(&mut client)?);

    let connections = f64::from(args.to.saturating_sub(args.from).max(1));
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^52")]
    let slope = |few: u64, many: u64| (many as f64 - few as f64) / connections;
    report.record(
        "server memory per connection",
        "bytes",
        slope(few.resident, many.resident),
    );
    report.record(
        "socket buffers per connection",
        "bytes",
        slope(few.tcp, many.tcp),
    );
    for (name, reading) in [
        ("server memory, first", &few),
        ("server memory, second", &many),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^52")]
        report.record(name, "MiB", reading.resident as f64 / f64::from(1 << 20));
    }
    report.record_pings(client.fleet.pings());
    Ok(report)
}

/// Every connection of the run so far gets a publication: those of `new` in channels of their own,
/// or all of them in the shared one.
fn publish_to_all(
    client: &mut Client,
    args: &MemoryArgs,
    new: std::ops::Range<u32>,
) -> Result<(), BenchError> {
    let channels = args.channels();
    let (mut waiting, expected) = match args.channel_mode {
        ChannelMode::Shared => (0..1, new.end),
        ChannelMode::Own => (new.clone(), new.end - new.start),
    };
    let before = client.fleet.received();
    client.until("publications", u64::from(expected), |client| {
        while let Some(connection) = waiting.clone().next() {
            let channel = channels.name(connection as usize).unwrap_or_default();
            if !client.publish(&channel, args.payload_bytes)? {
                break;
            }
            waiting.start += 1;
        }
        Ok(client.fleet.received() - before)
    })
}

/// Reads when nothing changes any more; says so if that does not happen.
fn settle(client: &mut Client, pid: u32, report: &mut Report) -> Result<Reading, BenchError> {
    let mut last = 0;
    let mut stable = 0;
    for _ in 0..MAX_READINGS {
        client.idle(READING_INTERVAL)?;
        let resident = proc::resident_bytes(pid)?;
        stable = if resident.abs_diff(last) <= STABLE_BYTES {
            stable + 1
        } else {
            0
        };
        last = resident;
        if stable == STABLE_READINGS {
            return Ok(Reading {
                resident,
                tcp: proc::tcp_bytes()?,
            });
        }
    }
    report.flag("the server's memory did not settle".to_owned());
    Ok(Reading {
        resident: last,
        tcp: proc::tcp_bytes()?,
    })
}
