//! `campanile data repair`.

use std::path::PathBuf;
use std::process::ExitCode;

use campanile_engine::upkeep::{Loss, Repaired, repair};
use clap::Args;
use serde_json::json;

use super::staging::{Staging, is_free};
use super::{Failure, circumstances, say, stopped, verify, words};
use crate::cli::print;

/// Flags of `data repair`.
#[derive(Args, Debug)]
pub struct RepairArgs {
    /// The damaged data directory, which stays as it is
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The directory to be made
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &RepairArgs) -> Result<(), ExitCode> {
    let repaired = save(args).map_err(|failure| failure.tell())?;
    if args.json {
        print(&to_json(&repaired).to_string());
    } else {
        for problem in &repaired.problems {
            say(&verify::problem_line(problem));
        }
        for loss in &repaired.losses {
            say(&loss_line(loss));
        }
        print(&format!(
            "{}: {} with {}",
            args.new.display(),
            words::count(repaired.channels as u64, "channel", "channels"),
            words::count(repaired.publications as u64, "publication", "publications"),
        ));
    }
    say(&format!(
        "every stream has a new epoch, so that clients notice. Newest publications of a channel may be \
         lost without a trace. Start the server with --data-dir {}, and keep {} until all is well",
        args.new.display(),
        args.directory.display()
    ));
    Ok(())
}

fn save(args: &RepairArgs) -> Result<Repaired, Failure> {
    let from = stopped(&args.directory)?;
    let new = args.new.display();
    match is_free(&args.new) {
        Ok(true) => {}
        Ok(false) => {
            let text = format!("{new} is not empty; name a directory that is to be made");
            return Err(Failure::Other(text));
        }
        Err(error) => return Err(Failure::Other(format!("{new}: {error}"))),
    }
    let (staging, to) = Staging::begin(&args.new)?;
    let repaired = repair(&from, to, &circumstances())?;
    staging.name(&args.new)?;
    Ok(repaired)
}

fn loss_line(loss: &Loss) -> String {
    let channel = &loss.channel;
    let mut line = format!("channel {channel:?}:");
    if !loss.missing.is_empty() {
        line += &format!(" publications {} are lost", verify::ranges(&loss.missing));
    }
    if loss.left_out > 0 {
        let count = words::count(loss.left_out as u64, "older one", "older ones");
        let and = if loss.missing.is_empty() { "" } else { ", and" };
        line += &format!("{and} {count} left out, since a history has no holes");
    }
    line
}

fn to_json(repaired: &Repaired) -> serde_json::Value {
    let problems = repaired.problems.iter().map(verify::problem_to_json);
    let losses = repaired.losses.iter().map(|loss| {
        json!({
            "channel": loss.channel.as_str(),
            "missing": verify::ranges_to_json(&loss.missing),
            "left_out": loss.left_out,
        })
    });
    json!({
        "channels": repaired.channels,
        "publications": repaired.publications,
        "problems": problems.collect::<Vec<_>>(),
        "losses": losses.collect::<Vec<_>>(),
    })
}
