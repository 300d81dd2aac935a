//! The round trip of a text frame at an endpoint that sends back what it gets.

use std::time::{Duration, Instant};

use clap::Args;

use super::client::Client;
use super::meter::Meter;
use super::plan::Plan;
use super::report::Report;
use super::{BenchError, CommonArgs};

#[derive(Debug, Args)]
pub(super) struct EchoArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Connections
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Frames sent a second over all connections, whether echoes come back or not. With 0 each
    /// connection sends its next frame when its echo has arrived
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Frames in a round over all connections
    #[arg(long, default_value_t = 10_000)]
    messages: u32,
    /// Size of a frame's payload
    #[arg(long, default_value_t = 64)]
    payload_bytes: usize,
    /// Rounds to take the median of
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

pub(super) fn run(args: &EchoArgs) -> Result<Report, BenchError> {
    let connections = args.connections as usize;
    args.common.prepare(connections)?;
    // Sampling is by connection: as if there were one, so that each echo counts.
    let mut client = Client::new(&args.common, Plan::silent(&args.common)?, 1)?;
    client.open(connections)?;

    let mut report = Report::new("echo", &args.common.url);
    report.setting("connections", args.connections.to_string());
    report.setting("rate", args.rate.to_string());
    report.setting("payload-bytes", args.payload_bytes.to_string());
    for _ in 0..args.rounds {
        client.fleet.take_latency();
        let meter = Meter::start(args.common.pid)?;
        if args.rate == 0 {
            closed_loop(&mut client, args)?;
        } else {
            open_loop(&mut client, args)?;
        }
        report.record_usage(&meter.stop()?, "echo", u64::from(args.messages));
        report.record_latency(&client.fleet.take_latency());
    }
    Ok(report)
}

fn closed_loop(client: &mut Client, args: &EchoArgs) -> Result<(), BenchError> {
    let before = client.fleet.received();
    let mut left = args.messages;
    client.fleet.answered = (0..args.connections as usize).collect();
    client.until("echoes", u64::from(args.messages), |client| {
        for connection in std::mem::take(&mut client.fleet.answered) {
            if left > 0 {
                left -= 1;
                send(client, connection, args)?;
            }
        }
        Ok(client.fleet.received() - before)
    })
}

/// The time is taken when a frame is really sent: the loop's timer of one millisecond is no latency
/// of the server's, and a slow echo never holds up the next frame.
fn open_loop(client: &mut Client, args: &EchoArgs) -> Result<(), BenchError> {
    let before = client.fleet.received();
    let start = Instant::now();
    for sent in 0..args.messages {
        let due = start + Duration::from_secs(1) * sent / args.rate;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            client.turn(left)?;
        }
        client.fleet.answered.clear();
        send(client, (sent % args.connections) as usize, args)?;
    }
    client.until("echoes", u64::from(args.messages), |client| {
        Ok(client.fleet.received() - before)
    })
}

fn send(client: &mut Client, connection: usize, args: &EchoArgs) -> Result<(), BenchError> {
    let text = client.fleet.timed_payload(args.payload_bytes);
    client.fleet.send_text(connection, &text)
}
