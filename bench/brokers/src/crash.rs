//! The scenario `startup`: how long a killed server takes to be there again.

use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::held::{Held, HeldArguments, empty_place};
use crate::meter::{drop_page_cache, resident_bytes};
use crate::subject::Subject;
use crate::table::Table;

pub(crate) fn run(arguments: &HeldArguments) -> Result<(), Failure> {
    let mut subjects = arguments.common.subjects.clone();
    // It has nothing to come back to.
    subjects.retain(|subject| *subject != Subject::Memory);
    let mut table = Table::new(&subjects);
    for &subject in &subjects {
        let place = empty_place(arguments, subject)?;
        let mut held = Held::open(arguments, subject, &place)?;
        let began = Instant::now();
        held.fill(arguments)?;
        let filled = began.elapsed().as_secs_f64();
        table.record("publishing all of it: s", subject.name(), filled);
        // Killed, each time.
        drop(held);
        for _ in 0..arguments.rounds {
            restart(arguments, subject, &place, "files in memory", &mut table)?;
            if drop_page_cache() {
                restart(arguments, subject, &place, "files on the disk", &mut table)?;
            }
        }
        std::fs::remove_dir_all(place)?;
    }
    let (channels, publications) = (arguments.channels, arguments.publications);
    table.print(&format!(
        "start after a crash, {publications} publications in {channels} channels"
    ))?;
    Ok(())
}

/// Starts a process that finds what the one before left behind, and kills it as soon as it could be
/// published to.
fn restart(
    arguments: &HeldArguments,
    subject: Subject,
    place: &Path,
    name: &str,
    table: &mut Table,
) -> Result<(), Failure> {
    let began = Instant::now();
    let held = Held::open(arguments, subject, place)?;
    let seconds = began.elapsed().as_secs_f64();
    table.record(&format!("ready, {name}: s"), subject.name(), seconds);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let resident = resident_bytes(held.pid())? as f64 / 1e6;
    table.record(&format!("resident, {name}: MB"), subject.name(), resident);
    Ok(())
}
