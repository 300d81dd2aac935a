//! Looking at a log: what is in it, and whether all of it is there.

use std::ops::RangeInclusive;

use campanile_protocol::Epoch;

use crate::channel::ChannelName;
use crate::limits::RECORD_OVERHEAD_BYTES;
use crate::store::{Directory, Fold, LogTime, OpenError, Place, Record, Settled, Survey};

/// What a log was found to be. Nothing was changed by looking.
#[derive(Debug)]
pub struct Examination {
    /// The files.
    pub survey: Survey,
    /// The channels that are not past their time, by name.
    pub streams: Vec<(ChannelName, Settled<Place>)>,
    /// The epoch of streams that begin, and when it ends.
    pub era: Option<(Epoch, LogTime)>,
    /// The log's time: the wall clock's, or the newest in the log where that is later.
    pub now: LogTime,
}

impl Examination {
    /// Looks at the log in `directory`, which nobody has open. `boot_id` is that of the machine now.
    ///
    /// # Errors
    /// The files cannot be had, or a newer version has written them. Damage is no error.
    pub fn of(
        directory: &dyn Directory,
        boot_id: Option<&str>,
        wall_now: LogTime,
    ) -> Result<Self, OpenError> {
        let mut fold = Fold::default();
        let mut take = |_: LogTime, record: Record, place| {
            fold.take(record, place, |_| place);
        };
        let survey = Survey::of(directory, boot_id, &mut take)?;
        let now = wall_now.max(survey.time);
        let era = fold.era;
        Ok(Self {
            streams: fold.settle(now),
            survey,
            era,
            now,
        })
    }

    /// Whether a broker would open it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.survey.problems.is_empty() && self.incomplete().next().is_none()
    }

    /// The channels that are without publications that they say they have, and which these are.
    pub fn incomplete(&self) -> impl Iterator<Item = (&ChannelName, Vec<RangeInclusive<u64>>)> {
        let streams = self.streams.iter();
        streams
            .filter(|(_, settled)| !settled.is_whole())
            .map(|(channel, settled)| (channel, settled.missing()))
    }

    /// How many publications are kept.
    #[must_use]
    pub fn publications(&self) -> usize {
        self.streams.iter().map(|(_, one)| one.kept.len()).sum()
    }

    /// How many idempotency keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.streams.iter().map(|(_, one)| one.keys.len()).sum()
    }

    /// About how many bytes of the log are needed.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        let streams = self.streams.iter();
        streams
            .map(|(channel, settled)| {
                let rest = RECORD_OVERHEAD_BYTES + channel.as_str().len() as u64;
                publication_bytes(settled) + rest
            })
            .sum()
    }
}

/// Bytes of the log that a channel's publications take.
fn publication_bytes(settled: &Settled<Place>) -> u64 {
    let places = settled.kept.iter();
    places.map(|(_, place)| u64::from(place.length)).sum()
}
