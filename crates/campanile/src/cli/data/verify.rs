//! `campanile data verify`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use campanile_engine::store::{Directory as _, Problem};
use campanile_engine::upkeep::Examination;
use serde_json::{Value, json};

use super::{EXIT_FAILURE, ReadArgs, examine, say, words};
use crate::cli::print;

pub(super) fn run(args: &ReadArgs) -> Result<(), ExitCode> {
    let path = args.place.path()?;
    let (directory, examination) = examine(&path).map_err(|failure| failure.tell())?;
    if args.json {
        print(&to_json(&examination).to_string());
    } else {
        for problem in &examination.survey.problems {
            print(&problem_line(problem));
        }
        for (channel, missing) in examination.incomplete() {
            let missing = ranges(&missing);
            print(&format!(
                "channel {channel:?}: publications {missing} are missing"
            ));
        }
    }
    if examination.is_sound() {
        if !args.json {
            print(&sound_line(
                &examination,
                &directory.path().display().to_string(),
            ));
        }
        return Ok(());
    }
    let path = path.display();
    say(&format!(
        "the log is damaged, and a server refuses to start on it. Keep a copy of it, look at the \
         disk, then run `campanile data repair {path} {path}-repaired` to save what can be read into \
         a new directory"
    ));
    Err(ExitCode::from(EXIT_FAILURE))
}

fn sound_line(examination: &Examination, place: &str) -> String {
    let survey = &examination.survey;
    let segments = words::count(survey.segments.len() as u64, "segment", "segments");
    let channels = words::count(examination.streams.len() as u64, "channel", "channels");
    let publications = words::count(
        examination.publications() as u64,
        "publication",
        "publications",
    );
    let mut line = format!("{place}: ok ({segments}, {channels}, {publications})");
    if survey.torn_bytes > 0 {
        let torn = words::bytes(survey.torn_bytes);
        let _ = write!(
            line,
            "; {torn} at the end are of a write that was interrupted"
        );
    }
    line
}

pub(super) fn problem_line(problem: &Problem) -> String {
    let Problem {
        file,
        bytes,
        reason,
        groups_lost,
        affected,
    } = problem;
    let mut line = file.clone();
    if !bytes.is_empty() {
        let _ = write!(line, ", bytes {} to {}", bytes.start, bytes.end - 1);
    }
    let _ = write!(line, ": {reason}");
    if *groups_lost > 0 {
        let _ = write!(
            line,
            "; {} lost",
            words::count(*groups_lost, "commit", "commits")
        );
    }
    if !affected.is_empty() {
        line += "; among what is lost:";
        for (channel, offsets) in by_channel(problem) {
            let offsets = offsets.iter().map(|offset| *offset..=*offset);
            let offsets = ranges(&offsets.collect::<Vec<_>>());
            let _ = write!(line, " {channel:?} {offsets};");
        }
        line.pop();
    }
    line
}

fn by_channel(problem: &Problem) -> BTreeMap<&str, Vec<u64>> {
    let mut channels = BTreeMap::<&str, Vec<u64>>::new();
    for affected in &problem.affected {
        let offsets = channels.entry(affected.channel.as_str()).or_default();
        offsets.extend(affected.offset);
    }
    channels
}

pub(super) fn ranges(ranges: &[RangeInclusive<u64>]) -> String {
    let texts = ranges
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start} to {end}"),
        });
    texts.collect::<Vec<_>>().join(", ")
}

pub(super) fn ranges_to_json(ranges: &[RangeInclusive<u64>]) -> Value {
    ranges
        .iter()
        .map(|range| json!([range.start(), range.end()]))
        .collect()
}

pub(super) fn problem_to_json(problem: &Problem) -> Value {
    let affected = by_channel(problem).into_iter();
    let affected =
        affected.map(|(channel, offsets)| json!({"channel": channel, "offsets": offsets}));
    json!({
        "file": problem.file,
        "from": problem.bytes.start,
        "to": problem.bytes.end,
        "reason": problem.reason,
        "commits_lost": problem.groups_lost,
        "affected": affected.collect::<Vec<_>>(),
    })
}

fn to_json(examination: &Examination) -> Value {
    let survey = &examination.survey;
    let problems = survey.problems.iter().map(problem_to_json);
    let incomplete = examination.incomplete().map(|(channel, missing)| {
        json!({"channel": channel.as_str(), "missing": ranges_to_json(&missing)})
    });
    json!({
        "ok": examination.is_sound(),
        "segments": survey.segments.len(),
        "bytes": survey.bytes(),
        "channels": examination.streams.len(),
        "publications": examination.publications(),
        "torn_bytes": survey.torn_bytes,
        "problems": problems.collect::<Vec<_>>(),
        "incomplete": incomplete.collect::<Vec<_>>(),
    })
}
