//! What the program says of itself: its version, its manual, how shells complete it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use super::{Cli, EXIT_FAILURE, print, say};

/// Flags of `version`.
#[derive(Args, Debug)]
pub struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write a page for each command into this directory, instead of printing the first
    pub directory: Option<PathBuf>,
}

pub(super) fn version(args: &VersionArgs) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        let system = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let about = json!({"name": "campanile", "version": version, "system": system});
        print(&about.to_string());
    } else {
        print(&format!("campanile {version}"));
    }
    ExitCode::SUCCESS
}

pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    // Not straight to standard output: the generator panics if that is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "campanile", &mut script);
    print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

pub(super) fn man(args: &ManArgs) -> ExitCode {
    match &args.directory {
        Some(directory) => done(clap_mangen::generate_to(Cli::command(), directory)),
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            print(&String::from_utf8_lossy(&page));
            done(rendered)
        }
    }
}

fn done(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
