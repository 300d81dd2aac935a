//! The command line: which commands there are, what they take, how they end.
//!
//! A command is a variant of [`Command`] and a module beside this one; what it does is not known
//! here. Data goes to standard output, everything said about it to standard error.

mod about;
mod config;
mod data;
mod dev;
mod drain;
mod health;
mod publish;
mod remote;
mod secrets;
mod serve;
mod subscribe;
mod supervisor;
mod terminal;
mod token;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use about::{CompletionsArgs, ManArgs, VersionArgs};
pub use config::{CheckArgs, ConfigCommand, ShowArgs};
pub use data::{DataCommand, ExportArgs, ImportArgs, InfoArgs, PlaceArgs, ReadArgs, RepairArgs};
pub use drain::DrainArgs;
pub use health::HealthArgs;
pub use publish::PublishArgs;
pub use remote::TlsArgs;
pub use serve::{CentrifugoFlags, ServeArgs};
pub use subscribe::SubscribeArgs;
pub use token::{GenArgs, TokenCommand, VerifyArgs};

use crate::config::{Loaded, Sources};

/// It did not work.
pub const EXIT_FAILURE: u8 = 1;

/// The command line makes no sense; what `clap` ends with too.
pub const EXIT_USAGE: u8 = 2;

/// Stored data is damaged, or of a newer version: `EX_DATAERR` of `sysexits.h`; trying again is of no
/// use.
pub const EXIT_DATA: u8 = 65;

/// Nobody answered: `EX_UNAVAILABLE` of `sysexits.h`, which tells a script that trying again may
/// help.
pub const EXIT_UNREACHABLE: u8 = 69;

/// The configuration is bad: `EX_CONFIG` of `sysexits.h`, which tells an init system that trying
/// again is of no use.
pub const EXIT_CONFIG: u8 = 78;

/// Real-time messaging server, compatible with the Centrifuge client protocol.
#[derive(Debug, Parser)]
#[command(name = "campanile", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Without one, the server is run: that is how Centrifugo is started.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Check, show or write a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure a running server
    #[cfg(target_os = "linux")]
    Bench(crate::bench::BenchArgs),
    /// Look after the data directory of a stopped server
    #[command(subcommand)]
    Data(DataCommand),
    /// Make or verify tokens of clients
    #[command(subcommand)]
    Token(TokenCommand),
    /// Publish to a channel of a running server
    Publish(PublishArgs),
    /// Print what is published to channels of a running server
    Subscribe(SubscribeArgs),
    /// Ask a running server whether it is alive
    Health(HealthArgs),
    /// Send all clients away from a running server, and wait until they have gone
    Drain(DrainArgs),
    /// Print the version
    Version(VersionArgs),
    /// Print what makes a shell complete these commands
    Completions(CompletionsArgs),
    /// Print the manual
    Man(ManArgs),
    /// What users of Centrifugo type.
    #[command(flatten)]
    Centrifugo(CentrifugoCommand),
}

/// The names Centrifugo has for some of these commands.
#[derive(Debug, Subcommand)]
pub enum CentrifugoCommand {
    /// `config default`
    #[command(hide = true, alias = "defaultconfig")]
    Genconfig,
    /// `config check`
    #[command(hide = true)]
    Checkconfig(CheckArgs),
    /// `token gen`
    #[command(hide = true)]
    Gentoken(GenArgs),
    /// `token gen --channel`
    #[command(hide = true)]
    Gensubtoken(GenArgs),
    /// `token verify`
    #[command(hide = true, alias = "checksubtoken")]
    Checktoken(VerifyArgs),
}

/// Where the configuration is.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArgs {
    /// Configuration file, TOML or JSON [default: campanile.toml, campanile.json, config.toml or
    /// config.json of the working directory]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl FileArgs {
    /// This file, or the one that is found, and the environment of the process.
    fn sources(&self) -> Sources {
        let found = || crate::config::find_file(Path::new(""));
        Sources {
            file: self.config.clone().or_else(found),
            environment: crate::config::process_environment(),
            ..Sources::default()
        }
    }
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => serve::run(&args),
            Command::Config(command) => config::run(&command),
            Command::Data(command) => data::run(&command),
            Command::Token(command) => token::run(&command),
            Command::Publish(args) => publish::run(&args),
            Command::Subscribe(args) => subscribe::run(&args),
            Command::Health(args) => health::run(&args),
            Command::Drain(args) => drain::run(&args),
            Command::Version(args) => about::version(&args),
            Command::Completions(args) => about::completions(&args),
            Command::Man(args) => about::man(&args),
            #[cfg(target_os = "linux")]
            Command::Bench(args) => match crate::bench::run(&args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    say(&error.to_string());
                    ExitCode::from(EXIT_FAILURE)
                }
            },
            Command::Centrifugo(command) => command.run(),
        }
    }
}

impl CentrifugoCommand {
    fn run(self) -> ExitCode {
        match self {
            Self::Genconfig => config::run(&ConfigCommand::Default),
            Self::Checkconfig(args) => config::run(&ConfigCommand::Check(args)),
            Self::Gensubtoken(args) if args.channel.is_none() => {
                say("a subscription token needs a channel: -s CHANNEL");
                ExitCode::from(EXIT_FAILURE)
            }
            Self::Gentoken(args) | Self::Gensubtoken(args) => token::run(&TokenCommand::Gen(args)),
            Self::Checktoken(args) => token::run(&TokenCommand::Verify(args)),
        }
    }
}

/// Loads, or says why not; warnings are for the caller to tell.
fn load(sources: &Sources) -> Result<Loaded, ExitCode> {
    crate::config::load(sources).map_err(|error| {
        say(&error.to_string());
        ExitCode::from(EXIT_CONFIG)
    })
}

/// A line of data. A reader that went away is no failure of ours.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n'));
}

/// A line about the data.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Engine;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_serves() {
        let cli = parse("campanile -c a.json --port 1");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.file.config, Some("a.json".into()));
    }

    #[test]
    fn commands_of_centrifugo_are_understood_and_hidden() {
        for line in [
            "campanile genconfig",
            "campanile defaultconfig",
            "campanile checkconfig -c config.json --strict",
            "campanile gentoken -u 42 -t 3600 -q",
            "campanile gentoken -u 42 -t -1",
            "campanile gensubtoken -u 42 -s news",
            "campanile checktoken abc",
        ] {
            let Some(Command::Centrifugo(_)) = parse(line).command else {
                panic!("{line}");
            };
        }
        let help = Cli::command().render_long_help().to_string();
        assert!(
            !help.contains("gentoken") && help.contains("token"),
            "{help}"
        );
    }

    #[test]
    fn flags_become_settings_above_the_environment() {
        let cli = parse(
            "campanile serve -a ::1 --http_server.port 7 --workers 3 --log.level debug \
             --client.insecure --health.enabled=false --data-dir /data --strict --dev",
        );
        let Some(Command::Serve(args)) = cli.command else {
            panic!("not serve");
        };
        let mut sources = args.sources();
        sources.file = None;
        sources.environment = vec![("CAMPANILE_LOG_LEVEL".into(), "error".into())];
        let config = crate::config::load(&sources).unwrap().config;
        assert_eq!(config.http_server.listen.to_string(), "[::1]:7");
        assert_eq!(config.http_server.workers.get(), 3);
        assert_eq!(config.log.level, crate::config::LogLevel::Debug);
        assert!(config.client.authentication.insecure);
        assert!(!config.health.enabled);
        let Engine::Disk(disk) = config.engine else {
            panic!("not on disk");
        };
        assert_eq!(disk.path, Path::new("/data"));
        assert_eq!(sources.unknown, crate::config::Unknown::Refuse);
    }

    #[test]
    fn flags_of_centrifugo_choose_the_engine() {
        let cli = parse("campanile --engine.type memory");
        let mut sources = cli.serve.sources();
        sources.file = None;
        let config = crate::config::load(&sources).unwrap().config;
        assert_eq!(config.engine, Engine::Memory);
    }
}
