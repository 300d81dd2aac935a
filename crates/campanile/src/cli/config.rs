//! `campanile config`: what a configuration means, without running it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{EXIT_CONFIG, FileArgs, load, print, say};
use crate::config::{ConfigError, Loaded, Problem, Sources, Unknown, default_toml};

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Tell everything that is wrong with a configuration
    Check(CheckArgs),
    /// Print what is in effect and where it came from; secrets are masked
    Show(ShowArgs),
    /// Print every setting with its default and its meaning, as TOML
    Default,
}

/// Flags of `config check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// Accepted for the sake of Centrifugo's `checkconfig`; this check is always strict.
    #[arg(long, hide = true)]
    pub strict: bool,
}

/// Flags of `config show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(args) => check(args),
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Default => {
            print(&default_toml());
            ExitCode::SUCCESS
        }
    }
}

fn check(args: &CheckArgs) -> ExitCode {
    let sources = Sources {
        unknown: Unknown::Refuse,
        ..args.file.sources()
    };
    let result = crate::config::load(&sources);
    let problems = findings(&result);
    if args.json {
        let list: Vec<_> = problems.iter().map(Problem::to_json).collect();
        print(&json!({"ok": result.is_ok(), "problems": list}).to_string());
    } else {
        for problem in problems {
            say(&problem.to_string());
        }
        if result.is_ok() {
            let file = sources.file.as_deref();
            let name = file.map_or("defaults".into(), |file| file.display().to_string());
            print(&format!("{name}: ok"));
        }
    }
    if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_CONFIG)
    }
}

fn findings(result: &Result<Loaded, ConfigError>) -> &[Problem] {
    match result {
        Ok(loaded) => &loaded.warnings,
        Err(error) => error.problems(),
    }
}

fn show(args: &ShowArgs) -> ExitCode {
    let loaded = match load(&args.file.sources()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for warning in &loaded.warnings {
        say(&warning.to_string());
    }
    if args.json {
        print(&format!("{:#}", loaded.to_json()));
    } else {
        print(&loaded.to_toml());
    }
    ExitCode::SUCCESS
}
