//! Where clients stand in the log of everything that was ever stored, and whether what they are told
//! follows from that.

use std::collections::{BTreeMap, BTreeSet};

use campanile_engine::testkit::sequencer::Stored;
use campanile_engine::testkit::{StubSequencer, channel};

use crate::world::CHANNELS;

/// The log, by place in the stream.
#[derive(Default)]
pub(crate) struct Judge {
    log: Vec<Stored>,
    /// By channel, epoch and offset: two lives may have given the same one to different publications.
    places: BTreeMap<(String, String, u64), Vec<usize>>,
    /// What the present life has, by channel.
    streams: BTreeMap<String, BTreeSet<Option<usize>>>,
}

/// The publications that may be the last one that somebody has, by their places in the log; `None`
/// for who stands at the beginning of an epoch.
pub(crate) type Standing = BTreeSet<Option<usize>>;

impl Judge {
    /// Takes notice of what was stored.
    pub(crate) fn learn(&mut self, sequencer: &StubSequencer) {
        for stored in sequencer.log_since(self.log.len()) {
            let epoch = stored.position.epoch.as_str().to_owned();
            let place = (
                stored.channel.as_str().to_owned(),
                epoch,
                stored.position.offset,
            );
            self.places.entry(place).or_default().push(self.log.len());
            self.log.push(stored);
        }
        for name in CHANNELS {
            let (_, last) = sequencer.top(&channel(name)).unwrap_or_default();
            let lineage = self.lineage(last).into_iter().map(Some);
            self.streams
                .insert(name.to_owned(), lineage.chain([None]).collect());
        }
    }

    /// Whether one of these is in the present stream, or at its beginning.
    pub(crate) fn is_in_stream(&self, channel: &str, standing: &Standing) -> bool {
        let stream = self.streams.get(channel);
        stream.is_some_and(|stream| !stream.is_disjoint(standing))
    }

    pub(crate) fn stored(&self, index: usize) -> &Stored {
        &self.log[index]
    }

    /// Where somebody stands who was told that the stream is there.
    pub(crate) fn standing(&self, channel: &str, epoch: &str, offset: u64) -> Standing {
        if offset == 0 {
            return Standing::from([None]);
        }
        let place = (channel.to_owned(), epoch.to_owned(), offset);
        let known = self.places.get(&place).into_iter().flatten();
        known.copied().map(Some).collect()
    }

    /// Where somebody stands next who is told this; empty if it does not follow.
    pub(crate) fn follow(
        &self,
        standing: &Standing,
        channel: &str,
        (epoch, offset): (&str, u64),
        data: &str,
    ) -> Standing {
        let mut next = self.standing(channel, epoch, offset);
        next.retain(|index| {
            index.is_some_and(|index| {
                let stored = &self.log[index];
                standing.contains(&stored.behind) && &*stored.data == data.as_bytes()
            })
        });
        next
    }

    /// What is in front of a publication, and itself, up to the beginning of its epoch.
    pub(crate) fn lineage(&self, mut last: Option<usize>) -> Vec<usize> {
        let mut lineage = Vec::new();
        while let Some(index) = last {
            lineage.push(index);
            last = self.log[index].behind;
        }
        lineage
    }
}
