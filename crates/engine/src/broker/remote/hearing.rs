//! Where a link brings what it hears.

use std::sync::Arc;

use super::link::Generation;
use super::table::Table;
use crate::channel::ChannelName;
use crate::delivery::Event;

/// Where a link brings what it hears. Cheap to clone; nothing of it waits.
#[derive(Clone)]
pub struct Hearing {
    table: Arc<Table>,
}

impl Hearing {
    pub(super) const fn new(table: Arc<Table>) -> Self {
        Self { table }
    }

    /// Takes what happened in a channel: in the sequencer's order for each. `generation` is that of
    /// who gave a publication its offset, and of no meaning for what has none.
    pub fn heard(&self, channel: &str, event: Event, generation: Generation) {
        self.table.hear(channel, event, generation);
    }

    /// Takes notice that the line was interrupted, and that these are listened to again: what came
    /// between may be missing. The shards compare where they are, and read what they miss.
    pub fn resumed<'a>(&self, channels: impl IntoIterator<Item = &'a ChannelName>) {
        for channel in channels {
            self.table.lapse(channel);
        }
    }

    /// Everything that this node wants to hear: what is to be listened to after a reconnect.
    #[must_use]
    pub fn wanted(&self) -> Vec<ChannelName> {
        self.table.wanted()
    }
}
