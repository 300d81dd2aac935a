//! The scenario `memory`: what a process takes for many channels with a full history.

use crate::Failure;
use crate::held::{Held, HeldArguments, empty_place};
use crate::meter::{bytes_in, resident_bytes};
use crate::subject::Subject;
use crate::table::Table;

pub(crate) fn run(arguments: &HeldArguments) -> Result<(), Failure> {
    let subjects = &arguments.common.subjects;
    let mut table = Table::new(subjects);
    for _ in 0..arguments.rounds {
        for &subject in subjects {
            measure(arguments, subject, &mut table)?;
        }
    }
    let (channels, publications) = (arguments.channels, arguments.publications);
    table.print(&format!(
        "memory, {publications} publications in {channels} channels"
    ))?;
    Ok(())
}

fn measure(arguments: &HeldArguments, subject: Subject, table: &mut Table) -> Result<(), Failure> {
    let place = empty_place(arguments, subject)?;
    let mut held = Held::open(arguments, subject, &place)?;
    let empty = resident_bytes(held.pid())?;
    held.fill(arguments)?;
    let full = resident_bytes(held.pid())?;
    table.record("resident, empty: MB", subject.name(), megabytes(empty));
    table.record("resident, full: MB", subject.name(), megabytes(full));
    held.stop()?;
    if subject != Subject::Memory {
        table.record("files: MB", subject.name(), megabytes(bytes_in(&place)?));
        let held = Held::open(arguments, subject, &place)?;
        let reopened = resident_bytes(held.pid())?;
        table.record(
            "resident, reopened: MB",
            subject.name(),
            megabytes(reopened),
        );
        held.stop()?;
    }
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
