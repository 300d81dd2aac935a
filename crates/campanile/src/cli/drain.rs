//! `campanile drain`: sends everybody away from a running server, and waits until they have gone.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;

use super::remote::{Answer, Failure, Http, TlsArgs, local_url, parse_http_url};
use super::{FileArgs, load, say};
use crate::config::duration;

/// Between two looks at who is left.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Flags of `drain`.
#[derive(Args, Debug)]
pub struct DrainArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// Have the process end as well
    #[arg(long)]
    pub exit: bool,
    /// How long to wait until nobody is left, or the process has ended; 0s to wait for nothing
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Where the server is [default: where the configured one listens]
    #[arg(long, value_parser = parse_http_url)]
    pub url: Option<String>,
    /// Key of the server API, for others on this machine to see: better set CAMPANILE_HTTP_API_KEY
    /// [default: the configured one]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub tls: TlsArgs,
}

pub(super) fn run(args: &DrainArgs) -> ExitCode {
    match drain(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn drain(args: &DrainArgs) -> Result<(), ExitCode> {
    let config = load(&args.file.sources())?.config;
    let url = args.url.clone();
    let url = url.unwrap_or_else(|| local_url("http", &config.http_server));
    let key = args.api_key.as_deref();
    let key = key.unwrap_or_else(|| config.http_api.key.expose());
    let path = format!(
        "{}/drain",
        config.http_api.handler_prefix.trim_end_matches('/')
    );
    let http = Http::new(url, &args.tls).map_err(Failure::tell)?;
    let order = format!(r#"{{"exit":{}}}"#, args.exit);
    let ordered = http.post(&path, key, &order);
    let ordered = ordered.and_then(|answer| left(&answer));
    let Left {
        node,
        mut connections,
    } = ordered.map_err(Failure::tell)?;
    if args.timeout.is_zero() {
        return Ok(());
    }
    let until = Instant::now() + args.timeout;
    loop {
        if connections == 0 && !args.exit {
            return Ok(());
        }
        if Instant::now() >= until {
            let told = is_left(connections);
            let told = format!("{told} after {:?}", args.timeout);
            return Err(Failure::Refused(told).tell());
        }
        say(&is_left(connections));
        wait();
        // No order, since it may be another process by now that hears it.
        match http.get(&path, key).and_then(|answer| left(&answer)) {
            Ok(now) if now.node == node => connections = now.connections,
            // Another process serves there, or none: who was drained has let go of the socket.
            Ok(_) | Err(Failure::Unreachable { is_late: false, .. }) => return Ok(()),
            Err(failure) => return Err(failure.tell()),
        }
    }
}

fn is_left(connections: u64) -> String {
    match connections {
        0 => "no connection is left, but the process has not ended".into(),
        1 => "1 connection is left".into(),
        some => format!("{some} connections are left"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is nothing else in this process"
)]
fn wait() {
    std::thread::sleep(LOOK_AGAIN);
}

/// What a server says of itself while it is drained.
#[derive(Deserialize)]
struct Left {
    /// Another one after each start.
    node: String,
    connections: u64,
}

fn left(answer: &Answer) -> Result<Left, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        result: Left,
    }
    match serde_json::from_str::<Envelope>(&answer.body) {
        Ok(Envelope { result }) if answer.status.is_success() => Ok(result),
        _ => Err(Failure::Refused(match answer.status.as_u16() {
            401 => "401 Unauthorized: the API key is not the server's".into(),
            404 => "404 Not Found: the server API is switched off there; use SIGTERM".into(),
            _ => format!("the server answered {}", answer.status),
        })),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "expected a duration such as 90s or 5m".into())
}
