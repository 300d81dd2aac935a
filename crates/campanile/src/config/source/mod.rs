//! Where settings come from: the file, the environment, the flags.
//!
//! Turns each into a tree of values with origins. Whether keys exist and types fit is checked
//! later, except in the environment, where the type decides how a text is read.

mod env;
mod json;
mod toml;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Problem, ProblemKind};
use super::tree::{Item, Origin, Table, Value};

pub(crate) use env::Environment;
pub(crate) use json::parse_value as parse_json;

/// More than any hand-written configuration; keeps a wrong path (a log, a device) out of memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Deeper than any real key, shallow enough for recursion.
const DEPTH_MAX: usize = 32;

/// The names looked for in the working directory when no file is named. The last two are where
/// users of Centrifugo have theirs.
const USUAL_NAMES: [&str; 4] = [
    "campanile.toml",
    "campanile.json",
    "config.toml",
    "config.json",
];

/// The configuration file of the directory, if there is one.
pub(crate) fn find_file(directory: &Path) -> Option<PathBuf> {
    USUAL_NAMES
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
}

/// Reads a file by the format its name tells.
pub(crate) fn read_file(path: &Path) -> Result<Item, Vec<Problem>> {
    let name = path.to_string_lossy();
    let unreadable = |reason: String| {
        let origin = Origin::File {
            name: (&*name).into(),
            position: None,
        };
        let kind = ProblemKind::Unreadable(reason);
        vec![Problem::error(origin, "", kind)]
    };
    let format = Format::of(path).ok_or_else(|| {
        unreadable("only TOML and JSON are read, from files ending in .toml or .json".into())
    })?;
    let text = read_text(path).map_err(|error| unreadable(error.to_string()))?;
    parse(format, &text, &name)
}

/// What a file is written in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Toml,
    Json,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads the text of a file called `name`.
pub(crate) fn parse(format: Format, text: &str, name: &str) -> Result<Item, Vec<Problem>> {
    let name: Arc<str> = name.into();
    match format {
        Format::Toml => toml::parse(text, &name),
        Format::Json => json::parse(text, &name),
    }
}

/// All variables of the process. Names and values that are no text cannot be settings.
pub(crate) fn process_environment() -> Vec<(String, String)> {
    let texts = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(texts).collect()
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}

/// A tree without values.
pub(crate) fn empty() -> Item {
    Item::new(Value::Table(Table::new()), Origin::Default)
}

fn syntax(origin: Origin, reason: impl Into<String>) -> Problem {
    Problem::error(origin, "", ProblemKind::Syntax(reason.into()))
}
