//! Making a log as small as it can be.
//!
//! As the broker does it, but all segments: what is needed of the oldest one is written again at the
//! end, made durable, then the file is removed. At every moment the log is whole, and says the same.

use std::sync::Arc;

use super::writing::{Opened, open};
use super::{Circumstances, UpkeepError};
use crate::store::{Directory, PlaceReader, RecordRef};

/// What became smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// Bytes of the log before.
    pub bytes_before: u64,
    /// Bytes of the log now.
    pub bytes: u64,
    /// Channels in it.
    pub channels: usize,
    /// Publications in it.
    pub publications: usize,
    /// Whether every stream has a new epoch, since what the last run acknowledged may be lost.
    pub is_reborn: bool,
}

/// Rewrites the log in `directory`, so that only what is needed stays. It takes room for one segment and for all idempotency keys while it works.
///
/// # Errors
/// The log cannot be opened or written; it is still whole.
pub fn compact(
    directory: &Arc<dyn Directory>,
    circumstances: &Circumstances,
) -> Result<Compacted, UpkeepError> {
    let Opened {
        mut writing,
        streams,
        era,
        is_reborn,
    } = open(Arc::clone(directory), circumstances)?;
    let bytes_before = writing.segments().bytes();
    let (oldest, newest) = (writing.segments().oldest(), writing.segments().newest());
    writing.log.begin_segment()?;
    // Nothing that is left out here can come back: whoever opens the log is not earlier than this.
    writing.flush()?;
    if let Some((epoch, ends)) = era {
        writing.push(RecordRef::Era {
            epoch,
            ends,
            is_rebirth: false,
        })?;
    }
    for (channel, settled) in &streams {
        writing.state(channel, &settled.state, &settled.keys)?;
    }
    let kept = streams.iter().flat_map(|(channel, settled)| {
        let kept = settled.kept.iter();
        kept.map(move |(_, place)| (*place, channel, &settled.state))
    });
    let mut kept: Vec<_> = kept.collect();
    kept.sort_unstable_by_key(|(place, _, _)| (place.segment, place.offset));
    let (publications, mut kept) = (kept.len(), kept.into_iter().peekable());
    let mut reader = PlaceReader::new(&**directory);
    for segment in oldest..=newest {
        while let Some((place, channel, state)) =
            kept.next_if(|(place, ..)| place.segment == segment)
        {
            let publication = reader.publication(place)?;
            writing.publication(channel, state, &publication)?;
        }
        writing.commit()?;
        writing.segments().remove_oldest()?;
    }
    let bytes = writing.segments().bytes();
    writing.close()?;
    Ok(Compacted {
        bytes_before,
        bytes,
        channels: streams.len(),
        publications,
        is_reborn,
    })
}
