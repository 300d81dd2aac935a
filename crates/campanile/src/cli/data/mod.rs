//! `campanile data`: looking after the data directory of a server that does not run.
//!
//! It owns what is typed and what is printed; what is done to the log is the engine's
//! ([`campanile_engine::upkeep`]). Whatever only looks can be used on a directory that cannot be
//! written.

mod compact;
mod export;
mod import;
mod info;
mod lines;
mod renew;
mod repair;
mod staging;
mod verify;
mod words;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile_engine::broker::DiskOptions;
use campanile_engine::store::{
    Directory, LockError, LogTime, OpenError, OsDirectory, StoppedDirectory, has_log,
};
use campanile_engine::upkeep::{Circumstances, Examination, UpkeepError};
use clap::{Args, Subcommand};

use super::{EXIT_DATA, EXIT_FAILURE, EXIT_USAGE, FileArgs, load, say};
use crate::config::Engine;
use crate::server::boot_id;

pub use export::ExportArgs;
pub use import::ImportArgs;
pub use info::InfoArgs;
pub use repair::RepairArgs;

/// What can be done with a data directory.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Tell what is in it
    Info(InfoArgs),
    /// Read everything and tell what is damaged
    Verify(ReadArgs),
    /// Remove what is no longer needed from the disk
    Compact(ReadArgs),
    /// Save what can be read of a damaged one into a new one
    Repair(RepairArgs),
    /// Print all channels as JSON Lines
    Export(ExportArgs),
    /// Bring in what `export` has printed
    Import(ImportArgs),
    /// Give every stream a new epoch, after a backup was copied back
    Renew(ReadArgs),
}

/// Which directory.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// The data directory of a stopped server [default: the configured one]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The same, as `serve` calls it
    #[arg(
        long,
        alias = "engine.disk.path",
        value_name = "PATH",
        conflicts_with = "directory"
    )]
    pub data_dir: Option<PathBuf>,
}

/// Flags of commands that only need to know where.
#[derive(Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(command: &DataCommand) -> ExitCode {
    let outcome = match command {
        DataCommand::Info(args) => info::run(args),
        DataCommand::Verify(args) => verify::run(args),
        DataCommand::Compact(args) => compact::run(args),
        DataCommand::Repair(args) => repair::run(args),
        DataCommand::Export(args) => export::run(args),
        DataCommand::Import(args) => import::run(args),
        DataCommand::Renew(args) => renew::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// Why nothing could be done.
#[derive(Debug)]
enum Failure {
    /// A server has the directory.
    InUse(PathBuf),
    /// There is no log in it.
    NoData(PathBuf),
    /// What is in it is not as it was written.
    Damaged(PathBuf),
    /// What is in it cannot be used as it is, however often it is tried.
    Data(String),
    /// Something else, that says enough.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "{} is in use by a running server, or by another `campanile data`; stop that first",
                path.display()
            ),
            Self::NoData(path) => write!(
                f,
                "{} is no data directory: there is no publication log in it",
                path.display()
            ),
            Self::Damaged(path) => write!(
                f,
                "the log in {path} is damaged; run `campanile data verify {path}` to see what is \
                 affected",
                path = path.display()
            ),
            Self::Data(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<UpkeepError> for Failure {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Open(error) => error.into(),
            UpkeepError::Incomplete(_) => Self::Data(format!(
                "{error}; run `campanile data verify` to see what is affected"
            )),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io { .. } => Self::Other(error.to_string()),
            error => Self::Data(error.to_string()),
        }
    }
}

impl Failure {
    fn of_lock(error: &LockError, path: &Path) -> Self {
        match error {
            LockError::InUse => Self::InUse(path.to_owned()),
            LockError::Io(error) if error.kind() == ErrorKind::NotFound => {
                Self::Other(format!("there is no directory {}", path.display()))
            }
            LockError::Io(error) => Self::Other(format!("{}: {error}", path.display())),
        }
    }

    /// Says it, and how to end.
    fn tell(&self) -> ExitCode {
        say(&self.to_string());
        ExitCode::from(match self {
            Self::Damaged(_) | Self::Data(_) => EXIT_DATA,
            Self::InUse(_) | Self::NoData(_) | Self::Other(_) => EXIT_FAILURE,
        })
    }
}

impl PlaceArgs {
    /// What was typed, or else what is configured.
    fn path(&self) -> Result<PathBuf, ExitCode> {
        if let Some(path) = self.directory.as_ref().or(self.data_dir.as_ref()) {
            return Ok(path.clone());
        }
        match load(&self.file.sources())?.config.engine {
            Engine::Disk(disk) => Ok(disk.path),
            Engine::Memory | Engine::Nats(_) | Engine::Redis(_) => {
                say("engine.type is not disk, so nothing is kept there: name a directory");
                Err(ExitCode::from(EXIT_USAGE))
            }
        }
    }
}

/// The directory at `path`, to be read, and what is in it.
fn examine(path: &Path) -> Result<(StoppedDirectory, Examination), Failure> {
    let directory = stopped(path)?;
    let examination = Examination::of(&directory, boot_id().as_deref(), now())?;
    Ok((directory, examination))
}

/// The directory at `path`, to be read. It has a log in it.
fn stopped(path: &Path) -> Result<StoppedDirectory, Failure> {
    let directory = StoppedDirectory::lock(path).map_err(|error| Failure::of_lock(&error, path))?;
    match has_log(&directory) {
        Ok(true) => Ok(directory),
        Ok(false) => Err(Failure::NoData(path.to_owned())),
        Err(error) => Err(Failure::of_lock(&LockError::Io(error), path)),
    }
}

/// The directory at `path`, to be changed. It has a log in it.
fn open(path: &Path) -> Result<Arc<dyn Directory>, Failure> {
    // Nothing is created where nothing is.
    drop(stopped(path)?);
    let directory = OsDirectory::lock(path).map_err(|error| Failure::of_lock(&error, path))?;
    Ok(Arc::new(directory))
}

/// What the engine cannot know.
fn circumstances() -> Circumstances {
    Circumstances {
        wall_now: now(),
        boot_id: boot_id(),
        segment_bytes: DiskOptions::default().segment_bytes,
    }
}

/// Milliseconds since 1970.
fn now() -> LogTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(0))
}
