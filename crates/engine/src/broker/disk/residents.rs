//! Which channels have records in which segment, so that a segment can be emptied without reading
//! all of it.

use std::collections::VecDeque;

use crate::channel::ChannelName;

/// Channels by segment. One may be named twice, and may have nothing left there.
#[derive(Debug, Default)]
pub(super) struct Residents {
    first: u32,
    segments: VecDeque<Vec<ChannelName>>,
}

impl Residents {
    /// Notes that `channel` has a record in `segment`.
    pub(super) fn add(&mut self, segment: u32, channel: ChannelName) {
        if self.segments.is_empty() {
            self.first = segment;
        }
        let Some(index) = segment.checked_sub(self.first) else {
            return;
        };
        let index = index as usize;
        if self.segments.len() <= index {
            self.segments.resize_with(index + 1, Vec::new);
        }
        self.segments[index].push(channel);
    }

    /// The channels of `segment`.
    pub(super) fn of(&self, segment: u32) -> &[ChannelName] {
        let index = segment.checked_sub(self.first);
        let channels = index.and_then(|index| self.segments.get(index as usize));
        channels.map_or(&[], Vec::as_slice)
    }

    /// Forgets segments that are no more.
    pub(super) fn forget_before(&mut self, oldest: u32) {
        while self.first < oldest && self.segments.pop_front().is_some() {
            self.first += 1;
        }
    }
}
