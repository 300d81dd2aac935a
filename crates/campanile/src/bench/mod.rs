//! `campanile bench`: drives any server that speaks the Centrifuge protocol and says what it costs.
//!
//! Owns the command line, the choice of scenario and the error. The client under it is one thread
//! with one readiness loop, cheap enough that the server is what gets measured; each report carries
//! the client's own busy share, so that a run in which it was not can be recognised. Refuses to know
//! anything of this server's insides: it sees a URL, an HTTP API and `/proc`. Linux only.

use std::path::PathBuf;
use std::time::Duration;
use std::{error, fmt, io};

use clap::{Args, Subcommand, ValueEnum};

mod accept;
mod client;
mod compression;
mod connection;
mod echo;
mod fanout;
mod fleet;
mod herd;
mod memory;
mod meter;
mod plan;
mod proc;
mod protobuf;
mod publisher;
mod report;
mod scan;
mod wire;

/// Measures a running server and prints a table.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Bytes of memory a connection with one subscription costs
    Memory(memory::MemoryArgs),
    /// CPU and latency of delivering publications to many subscribers
    Fanout(fanout::FanoutArgs),
    /// Round trip latency at the echo endpoint
    Echo(echo::EchoArgs),
    /// Rate and CPU of accepting connections
    Accept(accept::AcceptArgs),
    /// Time until all are back who lost their connection at once
    Herd(herd::HerdArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// One JSON object a line
    Json,
    /// The subprotocol `centrifuge-protobuf`
    Protobuf,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

/// What every scenario needs to know.
#[derive(Debug, Args)]
struct CommonArgs {
    /// WebSocket endpoint, `ws://HOST:PORT/PATH`
    #[arg(long)]
    url: String,
    /// Base of the HTTP API [default: `/api` at the host and port of the URL]
    #[arg(long)]
    api_url: Option<String>,
    /// Sent as `X-API-Key`
    #[arg(long)]
    api_key: Option<String>,
    /// Secret to sign a connection token (HS256) for each user with; without it none is sent
    #[arg(long)]
    token_secret: Option<String>,
    /// Process id of the server; without it nothing about its CPU and memory is reported
    #[arg(long)]
    pid: Option<u32>,
    /// Pin all threads of the server to this CPU
    #[arg(long, requires = "pid")]
    pin_server: Option<usize>,
    /// Pin this client to this CPU
    #[arg(long)]
    pin_client: Option<usize>,
    /// Handshakes under way at a time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Give up after this many seconds without any progress
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// How commands and replies are spelled. What is published is JSON always, and echoes are text
    #[arg(long, value_enum, default_value_t = Protocol::Json)]
    protocol: Protocol,
    /// Offer permessage-deflate and fail if the server does not agree; what the client sends stays as
    /// it is. A server compresses what is long enough to it: see --payload-bytes
    #[arg(long)]
    compress: bool,
    /// What a JSON message that is a publication contains
    #[arg(long, default_value = "\"pub\":")]
    marker: String,
    /// Also write the report as JSON to this file (`-`: to standard output instead of the table)
    #[arg(long)]
    json: Option<PathBuf>,
}

impl CommonArgs {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// Notes how connections speak.
    fn describe(&self, report: &mut report::Report) {
        report.setting("protocol", self.protocol.name());
        report.setting("compressed", if self.compress { "yes" } else { "no" });
    }

    /// Pins both sides and makes room for the sockets.
    fn prepare(&self, connections: usize) -> Result<(), BenchError> {
        proc::reserve_descriptors(connections)?;
        if let Some(cpu) = self.pin_client {
            proc::pin(std::process::id(), cpu)?;
        }
        if let (Some(pid), Some(cpu)) = (self.pid, self.pin_server) {
            proc::pin(pid, cpu)?;
        }
        Ok(())
    }
}

/// Runs one scenario to its end and prints what it found.
///
/// Blocks the calling thread for as long as the scenario takes.
///
/// # Errors
/// Whatever kept the scenario from being completed; a partial measurement is never reported.
pub fn run(args: &BenchArgs) -> Result<(), BenchError> {
    let (report, json) = match &args.scenario {
        Scenario::Memory(args) => (memory::run(args)?, &args.common.json),
        Scenario::Fanout(args) => (fanout::run(args)?, &args.common.json),
        Scenario::Echo(args) => (echo::run(args)?, &args.common.json),
        Scenario::Accept(args) => (accept::run(args)?, &args.common.json),
        Scenario::Herd(args) => (herd::run(args)?, &args.common.json),
    };
    report
        .print(json.as_deref())
        .map_err(|source| BenchError::Io {
            doing: "report",
            source,
        })
}

/// Why a scenario was not completed.
#[derive(Debug)]
pub enum BenchError {
    /// The URL is not of the form `ws://HOST:PORT/PATH` or `http://HOST:PORT/PATH`.
    Url(String),
    /// More sockets are needed than the process may have.
    Descriptors {
        /// Sockets the scenario opens, and a few for the program itself.
        needed: u64,
        /// The hard limit of the process.
        limit: u64,
    },
    /// A system call failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A connection token could not be signed.
    Token(jsonwebtoken::errors::Error),
    /// The server answered a handshake, a command or a publish with something else than success.
    Refused(String),
    /// The server closed a connection, or broke the WebSocket protocol on it.
    Lost {
        /// Number of the connection, from 0.
        connection: usize,
        /// Close code and reason, or what was wrong.
        why: String,
    },
    /// Nothing happened for the time of `--patience`.
    Stalled {
        /// What was being waited for.
        waiting_for: &'static str,
        /// How much of it had arrived.
        reached: u64,
        /// How much of it was expected.
        expected: u64,
    },
    /// `/proc` does not show what is needed.
    Proc {
        /// The file that was read.
        path: String,
        /// What was wrong with it.
        why: String,
    },
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "not a ws:// or http:// url with host and port: {url}"),
            Self::Descriptors { needed, limit } => {
                write!(f, "{needed} descriptors are needed, the limit is {limit}")
            }
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Token(source) => write!(f, "sign token: {source}"),
            Self::Refused(answer) => write!(f, "the server refused: {answer}"),
            Self::Lost { connection, why } => write!(f, "connection {connection} lost: {why}"),
            Self::Stalled {
                waiting_for,
                reached,
                expected,
            } => {
                write!(f, "stalled at {reached} of {expected} {waiting_for}")
            }
            Self::Proc { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

impl error::Error for BenchError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Token(source) => Some(source),
            _ => None,
        }
    }
}
