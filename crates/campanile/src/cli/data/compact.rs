//! `campanile data compact`.

use std::process::ExitCode;

use campanile_engine::upkeep::{Compacted, compact};
use serde_json::json;

use super::{Failure, ReadArgs, circumstances, open, say, words};
use crate::cli::print;

pub(super) fn run(args: &ReadArgs) -> Result<(), ExitCode> {
    let path = args.place.path()?;
    let compacted = open(&path)
        .and_then(|directory| Ok(compact(&directory, &circumstances())?))
        .map_err(|failure: Failure| failure.tell())?;
    if compacted.is_reborn {
        say(
            "the last run ended without closing the log and may have lost publications: every \
             stream has a new epoch",
        );
    }
    let Compacted {
        bytes_before,
        bytes,
        channels,
        publications,
        is_reborn,
    } = compacted;
    if args.json {
        let report = json!({
            "bytes_before": bytes_before,
            "bytes": bytes,
            "channels": channels,
            "publications": publications,
            "new_epochs": is_reborn,
        });
        print(&report.to_string());
    } else {
        let (before, after) = (words::bytes(bytes_before), words::bytes(bytes));
        let path = path.display();
        print(&format!("{path}: {after}, was {before}"));
    }
    Ok(())
}
