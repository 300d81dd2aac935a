//! What all parts of a link have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use campanile_engine::broker::BrokerError;
use campanile_engine::channel::ChannelName;
use campanile_engine::time::Clock;

use super::heads::Heads;
use super::line::{Line, Mute};
use super::plan::{Head, Scene};
use super::record::Message;
use super::store::{Known, Store, StoreError};
use super::subjects::Subjects;

/// See the [module](self).
pub(super) struct Shared {
    pub(super) line: Arc<Line>,
    pub(super) subjects: Subjects,
    pub(super) store: Store,
    pub(super) heads: Heads,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counts: Counts,
    /// Milliseconds.
    pub(super) meta_ttl_min: u64,
    /// Whether any channel has a history.
    pub(super) keeps_history: bool,
}

/// What is counted since the start.
#[derive(Default)]
pub(super) struct Counts {
    conflicts: AtomicU64,
    malformed: AtomicU64,
    reconnects: AtomicU64,
}

impl Counts {
    pub(super) fn conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }

    pub(super) fn reconnect(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// Conflicts, malformed messages, connections.
    pub(super) fn all(&self) -> [u64; 3] {
        [&self.conflicts, &self.malformed, &self.reconnects].map(|count| count.load(Relaxed))
    }
}

impl Shared {
    /// What holds for all channels now.
    pub(super) fn scene(&self) -> Result<Scene, StoreError> {
        self.line.client()?;
        let known = match self.store.known() {
            Some(known) => known,
            // Every stream is empty then, for all nodes alike.
            None if !self.keeps_history => Known {
                life: "".into(),
                generation: 0,
            },
            None => return Err(Mute::Nobody.into()),
        };
        let now = self.clock.now().unix_millis;
        Ok(Scene {
            now: u64::try_from(now).unwrap_or(0),
            life: known.life,
            generation: known.generation,
            meta_ttl_min: self.meta_ttl_min,
        })
    }

    /// Lets go of all messages of a channel but the last, which says where the stream is.
    pub(super) async fn purge(&self, channel: &ChannelName) -> Result<(), StoreError> {
        let scene = self.scene()?;
        self.store
            .purge(&self.subjects.kept(&scene.life, channel))
            .await
    }

    /// The last message of a channel, asked of the leader.
    pub(super) async fn last(
        &self,
        channel: &ChannelName,
        scene: &Scene,
    ) -> Result<Option<Head>, StoreError> {
        if !self.keeps_history {
            return Ok(None);
        }
        let subject = self.subjects.kept(&scene.life, channel);
        let Some(kept) = self.store.last(&subject).await? else {
            return Ok(None);
        };
        match Message::read(&kept.payload) {
            Ok(Message::Kept(stream, _)) => Ok(Some(Head {
                sequence: kept.sequence,
                stream,
            })),
            // Not to be written behind: a later version may have said what we cannot read.
            _ => {
                self.counts.malformed();
                Err(StoreError::Refused)
            }
        }
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mute(mute) => mute.into(),
            StoreError::Full => Self::StorageFull,
            StoreError::Refused => Self::StorageFailed,
        }
    }
}
