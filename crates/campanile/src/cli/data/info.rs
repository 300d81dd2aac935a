//! `campanile data info`.

use std::process::ExitCode;

use campanile_engine::channel::ChannelName;
use campanile_engine::store::{Directory as _, LogTime, Place, Settled};
use campanile_engine::upkeep::Examination;
use clap::Args;
use serde_json::{Value, json};

use super::{EXIT_FAILURE, PlaceArgs, boot_id, examine, say, words};
use crate::cli::print;

/// Flags of `data info`.
#[derive(Args, Debug)]
pub struct InfoArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub place: PlaceArgs,
    /// List the channels
    #[arg(long)]
    pub channels: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &InfoArgs) -> Result<(), ExitCode> {
    let path = args.place.path()?;
    let (directory, examination) = examine(&path).map_err(|failure| failure.tell())?;
    let place = directory.path().display().to_string();
    if args.json {
        let mut report = to_json(&examination, &place);
        if args.channels {
            let streams = examination.streams.iter();
            report["channel_list"] = streams.map(channel_to_json).collect();
        }
        print(&report.to_string());
    } else {
        for (name, value) in lines(&examination, &place) {
            print(&format!("{name:<14}{value}"));
        }
        if args.channels {
            print_channels(&examination);
        }
    }
    if examination.is_sound() {
        return Ok(());
    }
    say(&format!(
        "the log is damaged, and these numbers are of what can be read; run `campanile data verify \
         {}`",
        path.display()
    ));
    Err(ExitCode::from(EXIT_FAILURE))
}

/// How the last run ended, in a word and in words.
fn ending(examination: &Examination) -> (&'static str, String) {
    let survey = &examination.survey;
    let Some(ending) = &survey.ending else {
        return ("unknown", "unknown: there is no readable mark".to_owned());
    };
    if ending.was_clean {
        let at = words::time(ending.time);
        return ("stopped", format!("stopped as it should, {at}"));
    }
    let mut text = "ended without closing the log".to_owned();
    if survey.torn_bytes > 0 {
        text += &format!(
            "; {} of an unfinished write",
            words::bytes(survey.torn_bytes)
        );
    }
    if survey.is_lossy {
        text += "; publications may be lost, so that the next start gives streams new epochs";
    }
    ("crashed", text)
}

fn boot(examination: &Examination) -> &'static str {
    let ending = examination.survey.ending.as_ref();
    match (ending.and_then(|one| one.boot_id.clone()), boot_id()) {
        (Some(then), Some(now)) if then == now => "this",
        (Some(_), Some(_)) => "another",
        _ => "unknown",
    }
}

fn durability(examination: &Examination) -> &'static str {
    match &examination.survey.ending {
        Some(ending) if ending.is_relaxed => "relaxed",
        Some(_) => "sync",
        None => "unknown",
    }
}

fn begun(examination: &Examination) -> Option<LogTime> {
    let segments = examination.survey.segments.iter();
    segments.filter_map(|segment| segment.begun).min()
}

fn lines(examination: &Examination, place: &str) -> Vec<(&'static str, String)> {
    let survey = &examination.survey;
    let time = |time: Option<LogTime>| time.map_or("unknown".into(), words::time);
    let era = examination.era.map(|(epoch, ends)| {
        let is_over = ends <= examination.now;
        let until = if is_over { "ended" } else { "until" };
        format!("{}, {until} {}", epoch.as_str(), words::time(ends))
    });
    vec![
        ("directory", place.to_owned()),
        ("format", campanile_engine::store::FORMAT.to_string()),
        ("last run", ending(examination).1),
        ("durability", durability(examination).to_owned()),
        (
            "boot",
            format!("{} one", boot(examination)).replace("unknown one", "unknown"),
        ),
        ("segments", survey.segments.len().to_string()),
        ("bytes", words::bytes(survey.bytes())),
        (
            "live",
            format!("{}, about", words::bytes(examination.live_bytes())),
        ),
        ("channels", examination.streams.len().to_string()),
        ("publications", examination.publications().to_string()),
        ("keys", examination.keys().to_string()),
        ("era", era.unwrap_or_else(|| "none".to_owned())),
        ("oldest", time(begun(examination))),
        ("newest", time(Some(survey.time).filter(|time| *time > 0))),
    ]
}

fn to_json(examination: &Examination, place: &str) -> Value {
    let survey = &examination.survey;
    let era = examination
        .era
        .map(|(epoch, ends)| json!({"epoch": epoch.as_str(), "ends": ends}));
    json!({
        "directory": place,
        "format": campanile_engine::store::FORMAT,
        "last_run": ending(examination).0,
        "torn_bytes": survey.torn_bytes,
        "is_lossy": survey.is_lossy,
        "durability": durability(examination),
        "boot": boot(examination),
        "segments": survey.segments.len(),
        "bytes": survey.bytes(),
        "live_bytes": examination.live_bytes(),
        "channels": examination.streams.len(),
        "publications": examination.publications(),
        "keys": examination.keys(),
        "era": era,
        "oldest": begun(examination),
        "newest": survey.time,
        "is_damaged": !examination.is_sound(),
    })
}

type Stream = (ChannelName, Settled<Place>);

fn publication_bytes(settled: &Settled<Place>) -> u64 {
    let places = settled.kept.iter();
    places.map(|(_, place)| u64::from(place.length)).sum()
}

fn channel_to_json((channel, settled): &Stream) -> Value {
    let state = &settled.state;
    json!({
        "channel": channel.as_str(),
        "epoch": state.epoch.as_str(),
        "top": state.top,
        "floor": state.floor,
        "publications": settled.kept.len(),
        "bytes": publication_bytes(settled),
        "keys": settled.keys.len(),
        "history_expires": state.history_expires,
        "meta_expires": state.meta_expires,
    })
}

fn print_channels(examination: &Examination) {
    let longest = examination
        .streams
        .iter()
        .map(|(channel, _)| channel.as_str().chars().count());
    let width = longest.max().unwrap_or(0).clamp(7, 40);
    print(&format!(
        "\n{:<width$}  {:<15}  {:>10}  {:>10}  {:>12}  {:>10}  EXPIRES",
        "CHANNEL", "EPOCH", "TOP", "FLOOR", "PUBLICATIONS", "BYTES"
    ));
    for (channel, settled) in &examination.streams {
        let state = &settled.state;
        print(&format!(
            "{:<width$}  {:<15}  {:>10}  {:>10}  {:>12}  {:>10}  {}",
            channel.as_str().escape_debug().to_string(),
            state.epoch.as_str(),
            state.top,
            state.floor,
            settled.kept.len(),
            words::bytes(publication_bytes(settled)),
            expiry(settled, examination.now),
        ));
    }
}

/// When the channel's history expires, or else what is left of it.
fn expiry(settled: &Settled<Place>, now: LogTime) -> String {
    let state = &settled.state;
    match state.meta_expires {
        _ if state.history_expires > now => words::time(state.history_expires),
        Some(meta) if meta > now => format!("history has; position {}", words::time(meta)),
        _ => "history has".to_owned(),
    }
}
