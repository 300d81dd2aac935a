//! What the disk broker keeps in memory of one publication: where it is, and itself while it is hot.

use std::sync::Arc;

use campanile_protocol::Publication;

use crate::broker::stream::{Footprint, Kept, publication_bytes};
use crate::channel::ChannelName;
use crate::limits::PUBLICATION_OVERHEAD_BYTES;
use crate::store::Place;

/// What a slot takes of memory: itself, and its channel's name in the list of who has records in
/// its segment.
pub(super) const SLOT_BYTES: usize = size_of::<Slot>() + size_of::<ChannelName>();

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    /// Not the only copy: it can be read from its place again.
    pub(super) hot: Option<Arc<Publication>>,
}

impl Slot {
    /// Lets go of the publication; returns what that took up.
    pub(super) fn cool(&mut self) -> Footprint {
        let cached = self.hot.take().map_or(0, |hot| publication_bytes(&hot));
        cache_footprint(cached)
    }
}

/// What a record takes up on disk.
pub(super) fn log_footprint(place: Place) -> Footprint {
    Footprint {
        logged: u64::from(place.length),
        ..Footprint::default()
    }
}

/// What `bytes` of hot publications take up.
pub(super) fn cache_footprint(bytes: usize) -> Footprint {
    Footprint {
        memory: bytes,
        cached: bytes,
        logged: 0,
    }
}

impl Kept for Slot {
    fn footprint(&self) -> Footprint {
        let cached = self.hot.as_deref().map_or(0, publication_bytes);
        let mut footprint = log_footprint(self.place);
        footprint.memory += SLOT_BYTES;
        footprint += cache_footprint(cached);
        footprint
    }

    fn page_bytes(&self) -> usize {
        match &self.hot {
            Some(hot) => publication_bytes(hot),
            // What a record says beside the payload is never more than what that takes of memory.
            None => self.place.length as usize + PUBLICATION_OVERHEAD_BYTES,
        }
    }
}
