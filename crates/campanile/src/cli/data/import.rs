//! `campanile data import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use campanile_engine::store::{Directory, LockError};
use campanile_engine::upkeep::{ImportError, Imported, Importer, UpkeepError, merge};
use clap::Args;

use super::lines::{Counts, FORMAT, Line};
use super::staging::{Staging, is_free};
use super::{Failure, circumstances, open, say, stopped, words};
use crate::cli::{EXIT_USAGE, print};

/// Bytes of one line: far more than any request that publishes may have.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Flags of `data import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The data directory of a stopped server, or one that is to be made
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// What `data export` has written; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Replace channels that are there already
    #[arg(long)]
    pub replace: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &ImportArgs) -> Result<(), ExitCode> {
    let (name, input) = input(&args.file).map_err(|text| {
        say(&text);
        ExitCode::from(EXIT_USAGE)
    })?;
    let imported = import(args, &name, input).map_err(|failure| failure.tell())?;
    let Imported {
        channels,
        publications,
        keys,
        expired,
    } = imported;
    if args.json {
        let report = serde_json::json!({
            "channels": channels,
            "publications": publications,
            "keys": keys,
            "expired": expired,
        });
        print(&report.to_string());
        return Ok(());
    }
    print(&format!(
        "{}: {} with {} and {}",
        args.directory.display(),
        words::count(channels as u64, "channel", "channels"),
        words::count(publications as u64, "publication", "publications"),
        words::count(keys as u64, "key", "keys"),
    ));
    if expired > 0 {
        let channels = words::count(expired as u64, "channel", "channels");
        say(&format!("{channels} left out: past their time"));
    }
    Ok(())
}

/// What is to be imported, and what to call it.
fn input(file: &Path) -> Result<(String, Box<dyn BufRead>), String> {
    if file == Path::new("-") {
        return Ok(("standard input".into(), Box::new(io::stdin().lock())));
    }
    let name = file.display().to_string();
    match File::open(file) {
        Ok(file) => Ok((name, Box::new(BufReader::new(file)))),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn import(args: &ImportArgs, name: &str, input: Box<dyn BufRead>) -> Result<Imported, Failure> {
    let path = &args.directory;
    let io = |error| Failure::of_lock(&LockError::Io(error), path);
    let is_new = is_free(path).map_err(io)?;
    // Nobody begins to serve from it in the meantime.
    let taken = if is_new { None } else { Some(stopped(path)?) };
    let (staging, directory) = Staging::begin(path)?;
    let imported = stage(directory, name, input)?;
    if is_new {
        staging.name(path)?;
        return Ok(imported);
    }
    drop(taken);
    let from = stopped(staging.path())?;
    match merge(&from, open(path)?, args.replace, &circumstances()) {
        Ok(()) => Ok(imported),
        Err(error @ UpkeepError::Taken(_)) => Err(Failure::Other(format!(
            "{error}; nothing was imported, and --replace puts what is imported in their place"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Makes a log of all lines.
fn stage(
    directory: Arc<dyn Directory>,
    name: &str,
    mut input: Box<dyn BufRead>,
) -> Result<Imported, Failure> {
    let mut reading = Reading {
        importer: Importer::begin(directory, &circumstances())?,
        counts: Counts::default(),
        has_begun: false,
        has_ended: false,
    };
    let mut line = Vec::new();
    for number in 1_u64.. {
        let at = |text: &str| Failure::Other(format!("{name}:{number}: {text}"));
        line.clear();
        let mut limited = (&mut input).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| at(&error.to_string()))? == 0 {
            break;
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX {
            return Err(at("the line is too long"));
        }
        let line = line.trim_ascii_end();
        if !line.is_empty() {
            reading.line(line).map_err(|text| at(&text))?;
        }
    }
    if !reading.has_ended {
        return Err(Failure::Other(format!(
            "{name}: this is not all of an export: its last line is missing"
        )));
    }
    let finished = reading.importer.finish();
    finished.map_err(|error| Failure::Other(format!("{name}: {error}")))
}

/// An import that is under way.
struct Reading {
    importer: Importer,
    counts: Counts,
    has_begun: bool,
    has_ended: bool,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let line = serde_json::from_slice(line).map_err(|error| reason(&error))?;
        if !self.has_begun && !matches!(line, Line::Export(_)) {
            return Err("an export begins with its format".to_owned());
        }
        if self.has_ended {
            return Err("nothing comes behind the end".to_owned());
        }
        let told = |error: ImportError| error.to_string();
        match line {
            Line::Export(_) if self.has_begun => Err("an export has one first line".to_owned()),
            Line::Export(header) if header.format != FORMAT => Err(format!(
                "the export has format {}, and this version reads format {FORMAT}; import it with \
                 the version that wrote it, or a newer one",
                header.format
            )),
            Line::Export(_) => {
                self.has_begun = true;
                Ok(())
            }
            Line::Channel(line) => {
                self.counts.channels += 1;
                self.importer.channel(line.into_stream()).map_err(told)
            }
            Line::Publication(line) => {
                self.counts.publications += 1;
                let channel = line.channel.clone();
                let publication = line.publication()?;
                let added = self.importer.publication(&channel, &publication);
                added.map_err(told)
            }
            Line::Key(line) => {
                self.counts.keys += 1;
                self.importer.key(&line.channel, line.key()).map_err(told)
            }
            Line::End(counts) if counts != self.counts => {
                Err("lines are missing: the end counts more, or others".to_owned())
            }
            Line::End(_) => {
                self.has_ended = true;
                Ok(())
            }
        }
    }
}

/// What is wrong with a line, and in which column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((text, _)) => format!("column {}: {text}", error.column()),
        None => text,
    }
}
