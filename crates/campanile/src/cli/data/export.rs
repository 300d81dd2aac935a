//! `campanile data export`.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use campanile_engine::store::PlaceReader;
use campanile_engine::upkeep::Examination;
use clap::Args;

use super::lines::{ChannelLine, Counts, FORMAT, Header, KeyLine, Line, PublicationLine};
use super::{Failure, PlaceArgs, examine, say, words};

/// Flags of `data export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub place: PlaceArgs,
}

pub(super) fn run(args: &ExportArgs) -> Result<(), ExitCode> {
    let path = args.place.path()?;
    let (directory, examination) = examine(&path).map_err(|failure| failure.tell())?;
    if !examination.is_sound() {
        return Err(Failure::Damaged(path).tell());
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut reader = PlaceReader::new(&directory);
    match export(&mut out, &mut reader, &examination) {
        Ok(counts) => {
            say(&format!(
                "{} with {} and {}",
                words::count(counts.channels, "channel", "channels"),
                words::count(counts.publications, "publication", "publications"),
                words::count(counts.keys, "key", "keys"),
            ));
            Ok(())
        }
        // Who reads has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Other(format!("the export is not complete: {error}")).tell()),
    }
}

fn export(
    out: &mut impl Write,
    reader: &mut PlaceReader<'_>,
    examination: &Examination,
) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let header = Header {
        format: FORMAT,
        time: examination.now,
    };
    put(out, &Line::Export(header))?;
    for (channel, settled) in &examination.streams {
        let channel = channel.as_str();
        put(
            out,
            &Line::Channel(ChannelLine::new(channel, &settled.state)),
        )?;
        counts.channels += 1;
        for (_, place) in &settled.kept {
            let publication = reader.publication(*place).map_err(io::Error::other)?;
            let line = PublicationLine::new(channel, &publication);
            put(out, &Line::Publication(Box::new(line)))?;
            counts.publications += 1;
        }
        for key in &settled.keys {
            put(out, &Line::Key(KeyLine::new(channel, key)))?;
            counts.keys += 1;
        }
    }
    put(out, &Line::End(counts))?;
    out.flush()?;
    Ok(counts)
}

fn put(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
