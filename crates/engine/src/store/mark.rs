//! The mark: how the last run ended, and what it knew to be on disk.
//!
//! A small file of text that is replaced as a whole. It owns the file's name and its spelling, a line
//! for each field and a checksum of all lines before it in the last one; every later format keeps the
//! first two lines and the last one as they are.
//!
//! It is written when a log is opened, before the oldest segment is removed, and when a log is closed.
//! No publish waits for it.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};

use super::directory::Directory;
use super::record::LogTime;
use super::segment::{FORMAT, unfinished};

/// The name of the file.
pub(super) const FILE_NAME: &str = "mark";
/// Far above what is written; a larger file is none of ours.
const BYTES_MAX: u64 = 4096;
const TITLE: &str = "campanile publication log";
/// The longest boot id that is believed.
const BOOT_ID_BYTES_MAX: usize = 64;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Whether the log was closed; else it is open, or was when its process ended.
    pub(super) is_stopped: bool,
    /// Whether the run may have acknowledged what was not durable.
    pub(super) is_relaxed: bool,
    /// Whether something may have been lost that nobody was told of yet.
    pub(super) is_lossy: bool,
    /// The machine's boot that the run belonged to.
    pub(super) boot_id: Option<String>,
    /// The oldest segment that is needed.
    pub(super) oldest: u32,
    /// A sequence number that was durable when this was written; of a closed log, the last one.
    pub(super) sequence: u64,
    /// The log's time when this was written.
    pub(super) time: LogTime,
}

/// Why the mark cannot be used.
#[derive(Debug)]
pub(super) enum BadMark {
    Io(io::Error),
    Damaged,
    Newer { found: u32 },
}

/// The boot id, if it is one that the file can hold.
pub(super) fn plausible(boot_id: Option<String>) -> Option<String> {
    boot_id.filter(|id| {
        (1..=BOOT_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
            && id != UNKNOWN
    })
}

const UNKNOWN: &str = "-";

impl Mark {
    /// Replaces the file; durable when this returns.
    pub(super) fn write(&self, directory: &dyn Directory) -> io::Result<()> {
        let temporary = unfinished(FILE_NAME);
        let text = self.encode();
        let file = directory.create(&temporary, 0)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        directory.rename(&temporary, FILE_NAME)?;
        directory.sync()
    }

    /// Reads the file; `None` when there is none.
    pub(super) fn read(directory: &dyn Directory) -> Result<Option<Self>, BadMark> {
        let file = match directory.open(FILE_NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BadMark::Io(error)),
        };
        let length = file.len().map_err(BadMark::Io)?;
        let length = usize::try_from(length.min(BYTES_MAX)).map_err(|_| BadMark::Damaged)?;
        let mut bytes = vec![0; length];
        file.read_at(&mut bytes, 0).map_err(BadMark::Io)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| BadMark::Damaged)?;
        Self::decode(text).map(Some)
    }

    fn encode(&self) -> String {
        let mut text = format!("{TITLE}\nformat {FORMAT}\n");
        let fields = [
            ("state", word(self.is_stopped, STATES).to_owned()),
            ("durability", word(self.is_relaxed, DURABILITIES).to_owned()),
            ("lossy", word(self.is_lossy, ANSWERS).to_owned()),
            ("boot", self.boot_id.clone().unwrap_or(UNKNOWN.to_owned())),
            ("oldest", self.oldest.to_string()),
            ("sequence", self.sequence.to_string()),
            ("time", self.time.to_string()),
        ];
        for (key, value) in fields {
            writeln!(text, "{key} {value}").expect("a string takes everything");
        }
        let sum = crc32fast::hash(text.as_bytes());
        writeln!(text, "checksum {sum:08x}").expect("a string takes everything");
        text
    }

    fn decode(text: &str) -> Result<Self, BadMark> {
        let mut lines = verified(text).ok_or(BadMark::Damaged)?.lines();
        let format = match (lines.next(), lines.next()) {
            (Some(TITLE), Some(format)) => format.strip_prefix("format "),
            _ => None,
        };
        match format.and_then(|number| number.parse().ok()) {
            Some(FORMAT) => Self::fields(lines).ok_or(BadMark::Damaged),
            None | Some(0) => Err(BadMark::Damaged),
            Some(found) => Err(BadMark::Newer { found }),
        }
    }

    fn fields<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut field = |key| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        Some(Self {
            is_stopped: choice(field("state")?, STATES)?,
            is_relaxed: choice(field("durability")?, DURABILITIES)?,
            is_lossy: choice(field("lossy")?, ANSWERS)?,
            boot_id: Some(field("boot")?.to_owned()).filter(|id| id != UNKNOWN),
            oldest: field("oldest")?.parse().ok()?,
            sequence: field("sequence")?.parse().ok()?,
            time: field("time")?.parse().ok()?,
        })
    }
}

/// The words for no and yes.
type Words = [&'static str; 2];
const STATES: Words = ["running", "stopped"];
const DURABILITIES: Words = ["sync", "relaxed"];
const ANSWERS: Words = ["no", "yes"];

fn word(is: bool, words: Words) -> &'static str {
    words[usize::from(is)]
}

fn choice(text: &str, words: Words) -> Option<bool> {
    words
        .iter()
        .position(|word| *word == text)
        .map(|index| index == 1)
}

/// What the checksum in the last line covers; `None` when it does not hold.
fn verified(text: &str) -> Option<&str> {
    let line = text.strip_suffix('\n')?;
    let start = line.rfind('\n')? + 1;
    let sum = line[start..].strip_prefix("checksum ")?;
    let covered = &text[..start];
    (sum == format!("{:08x}", crc32fast::hash(covered.as_bytes()))).then_some(covered)
}
