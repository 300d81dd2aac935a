//! `campanile data`: looking after the data directory of a server that does not run.
//!
//! It owns what is typed and what is printed; what is done to the log is the engine's
//! ([`campanile_engine::upkeep`]). Whatever only looks can be used on a directory that cannot be
//! written.

mod compact;
mod info;
mod verify;
mod words;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile_engine::store::{
    Directory, LockError, LogTime, OsDirectory, StoppedDirectory, has_log,
};
use campanile_engine::upkeep::{Examination, UpkeepError};
use clap::{Args, Subcommand};

use super::{EXIT_FAILURE, FileArgs, say};

pub use info::InfoArgs;

/// What can be done with a data directory.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Tell what is in it
    Info(InfoArgs),
    /// Read everything and tell what is damaged
    Verify(ReadArgs),
    /// Remove what is no longer needed from the disk
    Compact(ReadArgs),
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
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<UpkeepError> for Failure {
    fn from(error: UpkeepError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<campanile_engine::store::OpenError> for Failure {
    fn from(error: campanile_engine::store::OpenError) -> Self {
        Self::Other(error.to_string())
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
        ExitCode::from(EXIT_FAILURE)
    }
}

impl PlaceArgs {
    fn path(&self) -> PathBuf {
        let given = self.directory.as_ref().or(self.data_dir.as_ref());
        given.cloned().unwrap_or_else(|| "campanile-data".into())
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

/// Milliseconds since 1970.
fn now() -> LogTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(0))
}

/// What names this boot of the machine.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
