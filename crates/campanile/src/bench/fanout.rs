//! One channel, many subscribers: what does a delivery cost, and how long does it take?

use clap::Args;

use super::client::Client;
use super::meter::Meter;
use super::plan::{Channels, Plan};
use super::report::Report;
use super::{BenchError, CommonArgs, scan};

/// Publications before the first round: buffers and caches get their size.
const WARM_UP: u64 = 10;

#[derive(Debug, Args)]
pub(super) struct FanoutArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Subscribers of the channel
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// Publications under way at a time: the next one waits until all have received the one so many
    /// before it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    in_flight: u32,
    /// Publications in a round. The server's CPU time is counted in ticks of 10 ms, a sampled split
    /// into user and system: let a round use a few seconds of it
    #[arg(long, default_value_t = 200)]
    messages: u32,
    /// Size of the payload
    #[arg(long, default_value_t = 128)]
    payload_bytes: usize,
    /// Channel
    #[arg(long, default_value = "fan")]
    channel: String,
    /// Rounds to take the median of
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

pub(super) fn run(args: &FanoutArgs) -> Result<Report, BenchError> {
    let subscribers = args.subscribers as usize;
    args.common.prepare(subscribers + args.in_flight as usize)?;
    let plan = Plan::commands(&args.common, Channels::Shared(args.channel.clone()))?;
    let mut client = Client::new(&args.common, plan, subscribers)?;
    client.open(subscribers)?;
    let mut client = client.with_publisher(&args.common, args.in_flight as usize)?;

    let mut report = Report::new("fanout", &args.common.url);
    args.common.describe(&mut report);
    report.setting("subscribers", args.subscribers.to_string());
    report.setting("in-flight", args.in_flight.to_string());
    report.setting("messages", args.messages.to_string());
    report.setting(
        "payload-bytes",
        args.payload_bytes.max(scan::MIN_PAYLOAD).to_string(),
    );

    deliver(&mut client, args, WARM_UP)?;
    let messages = u64::from(args.messages);
    for _ in 0..args.rounds {
        client.fleet.take_latency();
        let bytes_before = client.fleet.bytes();
        let meter = Meter::start(args.common.pid)?;
        deliver(&mut client, args, messages)?;
        let usage = meter.stop()?;
        let deliveries = messages * u64::from(args.subscribers);
        report.record_usage(&usage, "delivery", deliveries);
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        let bytes = (client.fleet.bytes() - bytes_before) as f64 / deliveries as f64;
        report.record("received per delivery", "bytes", bytes);
        report.record_latency(&client.fleet.take_latency());
    }
    report.record_pings(client.fleet.pings());
    let expected = WARM_UP + messages * u64::from(args.rounds);
    match client.fleet.deviating(expected) {
        0 => {}
        deviating => report.flag(format!(
            "{deviating} subscribers missed or doubled something"
        )),
    }
    Ok(report)
}

/// Publishes `messages` and returns when all subscribers have received all of them.
fn deliver(client: &mut Client, args: &FanoutArgs, messages: u64) -> Result<(), BenchError> {
    let subscribers = u64::from(args.subscribers);
    let (received_before, published_before) = (client.fleet.received(), client.published());
    let mut sent = 0;
    client.until("deliveries", subscribers * messages, |client| {
        let received = client.fleet.received() - received_before;
        let complete = received / subscribers;
        while sent < messages
            && sent < complete + u64::from(args.in_flight)
            && client.publish(&args.channel, args.payload_bytes)?
        {
            sent += 1;
        }
        Ok(received)
    })?;
    client.until("publish replies", messages, |client| {
        Ok(client.published() - published_before)
    })
}
