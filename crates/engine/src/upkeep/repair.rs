//! Saving what is left of a damaged log.
//!
//! Every group that can be read is used, also those behind damage. What comes out has no holes: of
//! each stream it is the run of publications up to the newest that is known. Since nobody can say
//! whether newer ones were acknowledged, every stream gets a new epoch; and a key or version that
//! belongs to a publication that is lost is forgotten, so that publishing again works.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::writing::open;
use super::{Circumstances, Examination, UpkeepError};
use crate::broker::random_epoch;
use crate::channel::ChannelName;
use crate::store::{Directory, Place, PlaceReader, Problem, Settled};

/// What was saved, and what was not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// Channels in the new log.
    pub channels: usize,
    /// Publications in the new log.
    pub publications: usize,
    /// What was wrong with the old one.
    pub problems: Vec<Problem>,
    /// What is known to be lost. Of a channel whose newest publications are lost, nobody may know.
    pub losses: Vec<Loss>,
}

/// What is known to be lost of one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The channel.
    pub channel: ChannelName,
    /// The offsets of publications that cannot be read.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Publications that can be read, and are left out since they are older than some that cannot.
    pub left_out: usize,
}

/// Saves what can be read of the log in `from` into `to`, which is empty.
///
/// # Errors
/// The files of the one cannot be had, or those of the other not be written. Then what is in `to` is
/// worth nothing.
pub fn repair(
    from: &dyn Directory,
    to: Arc<dyn Directory>,
    circumstances: &Circumstances,
) -> Result<Repaired, UpkeepError> {
    let boot_id = circumstances.boot_id.as_deref();
    let examination = Examination::of(from, boot_id, circumstances.wall_now)?;
    let later = Circumstances {
        wall_now: examination.now,
        ..circumstances.clone()
    };
    let mut writing = open(to, &later)?.writing;
    let mut reader = PlaceReader::new(from);
    let mut repaired = Repaired {
        channels: examination.streams.len(),
        publications: 0,
        problems: examination.survey.problems,
        losses: Vec::new(),
    };
    let epoch = random_epoch();
    for (channel, mut settled) in examination.streams {
        let missing = settled.missing();
        let left_out = close_up(&mut settled);
        if !missing.is_empty() || left_out > 0 {
            repaired.losses.push(Loss {
                channel: channel.clone(),
                missing,
                left_out,
            });
        }
        settled.state.epoch = epoch;
        repaired.publications += settled.kept.len();
        writing.stream(&channel, &settled, &mut reader)?;
    }
    writing.close()?;
    Ok(repaired)
}

/// Makes it a stream without holes; returns how many publications are left out for that.
fn close_up(settled: &mut Settled<Place>) -> usize {
    let Settled { state, kept, keys } = settled;
    let count = kept.len();
    kept.retain(|(offset, _)| *offset <= state.top);
    let Some((newest, _)) = kept.last().copied() else {
        state.floor = state.top.saturating_add(1);
        return count;
    };
    if newest < state.top {
        state.top = newest;
        state.version = None;
        keys.retain(|key| key.offset.is_none_or(|offset| offset <= newest));
    }
    let from_newest = kept.iter().rev().zip((0..=newest).rev());
    let run = from_newest.take_while(|((offset, _), expected)| offset == expected);
    let first = kept.len() - run.count();
    kept.drain(..first);
    state.floor = kept.first().map_or(newest + 1, |(offset, _)| *offset);
    count - kept.len()
}
