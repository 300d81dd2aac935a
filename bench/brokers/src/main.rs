//! What a broker costs: publications a second, latency, CPU time, bytes on the disk, memory, and the
//! time to start again, beside Redis with an append-only file on the same disk.
//!
//! How it is used and read: `bench/README.md`. Each scenario alternates what it compares within each
//! round, and prints medians as Markdown.

mod crash;
mod front;
mod held;
mod http;
mod lane;
mod load;
mod memory;
mod meter;
mod node;
mod process;
mod publishing;
mod raw;
mod redis_server;
mod subject;
mod table;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use subject::Subject;

/// Whatever went wrong: there is nobody to tell it apart, a benchmark only stops.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures Campanile's brokers beside Redis; see bench/README.md")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Publishes through the application API of a node in this process.
    Node(publishing::NodeArguments),
    /// Memory of 10,000 channels of 100 publications.
    Memory(held::HeldArguments),
    /// Time to start after a crash.
    Startup(held::HeldArguments),
    /// Publishes over HTTP, through Campanile and through a plain handler in front of Redis.
    Http(http::HttpArguments),
    /// The plain handler in front of Redis.
    RedisFront(front::FrontArguments),
    /// Opens a broker, fills it, and waits: what `memory` and `startup` watch from outside.
    #[command(hide = true)]
    Hold(held::HoldArguments),
}

/// What all scenarios need to know.
#[derive(Args, Clone)]
struct Common {
    /// Where to keep files: a new directory on the disk to be measured.
    #[arg(long)]
    dir: PathBuf,
    /// What to compare.
    #[arg(long, value_delimiter = ',', default_values_t = Subject::ALL)]
    subjects: Vec<Subject>,
}

fn main() -> Result<(), Failure> {
    match Arguments::parse().scenario {
        Scenario::Node(arguments) => publishing::run(&arguments),
        Scenario::Memory(arguments) => memory::run(&arguments),
        Scenario::Startup(arguments) => crash::run(&arguments),
        Scenario::Http(arguments) => http::run(&arguments),
        Scenario::RedisFront(arguments) => front::run(&arguments),
        Scenario::Hold(arguments) => held::hold(&arguments),
    }
}
