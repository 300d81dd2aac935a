//! The program.

use std::process::ExitCode;

use campanile::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    Cli::parse().run()
}
