//! Everything that anybody ever saw, over all lives of the broker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use campanile_protocol::{Epoch, Publication};

use crate::stream::brief;
use crate::world::{Outcome, ensure};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Witness {
    /// By channel and position.
    publications: HashMap<(usize, Epoch, u64), Arc<Publication>>,
    /// By payload, of which there is only one of each: the channel and offset.
    offsets: HashMap<Box<[u8]>, (usize, u64)>,
    epochs: HashSet<Epoch>,
}

impl Witness {
    /// Somebody sees `publication` of `channel` in `epoch`.
    pub(crate) fn see(
        &mut self,
        channel: usize,
        epoch: Epoch,
        publication: &Arc<Publication>,
    ) -> Outcome {
        self.epochs.insert(epoch);
        let position = (channel, epoch, publication.offset);
        let before = self.publications.entry(position);
        let before = before.or_insert_with(|| Arc::clone(publication));
        ensure!(
            before == publication,
            "c{channel} had {} at an offset of {epoch:?}, now {}",
            brief([&**before]),
            brief([&**publication])
        );
        let place = (channel, publication.offset);
        let payload = publication.data.to_vec().into_boxed_slice();
        let before = *self.offsets.entry(payload).or_insert(place);
        ensure!(
            before == place,
            "a publication was at {before:?} and is at {place:?}: {}",
            brief([&**publication])
        );
        Ok(())
    }

    pub(crate) fn see_epoch(&mut self, epoch: Epoch) {
        self.epochs.insert(epoch);
    }

    pub(crate) fn knows(&self, epoch: Epoch) -> bool {
        self.epochs.contains(&epoch)
    }
}
