//! How fast are connections accepted, and what does one cost? From the TCP handshake over the
//! upgrade to the reply to `connect`.

use std::time::Duration;

use clap::Args;

use super::client::Client;
use super::meter::Meter;
use super::plan::{Channels, Plan};
use super::report::Report;
use super::{BenchError, CommonArgs};

/// Between rounds: the server clears away the connections of the last one on its own account.
const PAUSE: Duration = Duration::from_millis(700);

#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Connections opened in a round
    #[arg(long, default_value_t = 5000)]
    connections: u32,
    /// Rounds to take the median of
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

pub(super) fn run(args: &AcceptArgs) -> Result<Report, BenchError> {
    let connections = args.connections as usize;
    args.common.prepare(connections)?;
    let mut report = Report::new("accept", &args.common.url);
    args.common.describe(&mut report);
    report.setting("connections", args.connections.to_string());
    report.setting("concurrency", args.common.concurrency.to_string());
    for _ in 0..args.rounds {
        let client = || {
            let plan = Plan::commands(&args.common, Channels::None)?;
            Client::new(&args.common, plan, connections)
        };
        let mut round = client()?;
        let meter = Meter::start(args.common.pid)?;
        round.open(connections)?;
        let usage = meter.stop()?;
        report.record_usage(&usage, "accept", u64::from(args.connections));
        drop(round);
        client()?.idle(PAUSE)?;
    }
    Ok(report)
}
