//! `campanile data renew`.

use std::process::ExitCode;

use campanile_engine::upkeep::renew;
use serde_json::json;

use super::{Failure, ReadArgs, circumstances, open, words};
use crate::cli::print;

pub(super) fn run(args: &ReadArgs) -> Result<(), ExitCode> {
    let path = args.place.path()?;
    let renewed = open(&path)
        .and_then(|directory| Ok(renew(directory, &circumstances())?))
        .map_err(|failure: Failure| failure.tell())?;
    if args.json {
        print(&json!({"channels": renewed.channels}).to_string());
    } else {
        let channels = words::count(renewed.channels as u64, "channel", "channels");
        print(&format!("{}: new epochs for {channels}", path.display()));
    }
    Ok(())
}
