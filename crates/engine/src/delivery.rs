//! What travels from a broker to the shards of this node, and the budget that bounds it.
//!
//! A publisher is admitted before a broker takes any lock, so that the hand-off inside the lock can
//! neither fail nor wait. The admission returns when the last shard has dropped the delivery.

use std::sync::Arc;

use campanile_protocol::{ClientInfo, Epoch, Publication, Tags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::channel::ChannelName;
use crate::limits::{DELIVERY_OVERHEAD_BYTES, INBOX_BYTES_MAX, SHARDS_MAX};

/// One of a node's shards, below [`SHARDS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(u8);

impl ShardId {
    /// The shard with this index; `None` when a node cannot have so many.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index)
            .ok()
            .filter(|_| index < SHARDS_MAX)
            .map(Self)
    }

    /// Its index, as it stands in client ids.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Its bit in a set of shards.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// One event of a channel on its way to subscribers, shared by all shards.
#[derive(Debug)]
pub struct Delivery {
    /// Where it happened.
    pub channel: ChannelName,
    /// What happened.
    pub event: Event,
    /// Held until every shard is done with it.
    pub admission: Admission,
}

/// What can happen in a channel.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something was published.
    Publication {
        /// What.
        publication: Arc<Publication>,
        /// The epoch that its offset counts in.
        epoch: Epoch,
        /// The one with the offset before its own, if its publisher wants those who have that one to
        /// be told the difference. Kept alive by this alone once the history has let go of it.
        previous: Option<Arc<Publication>>,
    },
    /// A session subscribed.
    Join(Arc<ClientInfo>),
    /// A session's subscription ended.
    Leave(Arc<ClientInfo>),
    /// Something may have happened that nobody here was told of: where the stream is has to be
    /// looked at.
    Lapse,
}

impl Event {
    /// Its place in the channel's stream, when it has one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Publication { publication, .. } => {
                Some(publication.offset).filter(|offset| *offset != 0)
            }
            Self::Join(_) | Self::Leave(_) | Self::Lapse => None,
        }
    }

    /// What it takes of a byte budget.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let payload = match self {
            // With the previous one, which may be in no history any more.
            Self::Publication {
                publication,
                previous,
                ..
            } => {
                payload_bytes(&publication.data, publication.tags.as_deref())
                    + previous.as_ref().map_or(0, |previous| previous.data.len())
            }
            Self::Join(_) | Self::Leave(_) | Self::Lapse => 0,
        };
        payload + DELIVERY_OVERHEAD_BYTES
    }
}

/// What the parts of a publication that its publisher chose take of a byte budget.
#[must_use]
pub fn payload_bytes(data: &[u8], tags: Option<&Tags>) -> usize {
    let tags = tags.into_iter().flatten();
    data.len()
        + tags
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
}

/// A share of the inboxes' budget; gives it back when dropped.
#[derive(Debug, Default)]
pub struct Admission {
    _share: Option<OwnedSemaphorePermit>,
}

/// The ways to all shards of a node.
#[derive(Clone, Debug)]
pub struct Inboxes {
    shards: Arc<[mpsc::UnboundedSender<Arc<Delivery>>]>,
    budget: Arc<Semaphore>,
}

/// The shard's end of its inbox. Unbounded by itself: what may be in it is bounded by admissions.
pub type Inbox = mpsc::UnboundedReceiver<Arc<Delivery>>;

impl Inboxes {
    /// Inboxes for `shards` shards.
    #[must_use]
    pub fn new(shards: usize) -> (Self, Vec<Inbox>) {
        let (senders, receivers): (Vec<_>, _) =
            (0..shards).map(|_| mpsc::unbounded_channel()).unzip();
        let budget = Arc::new(Semaphore::new(INBOX_BYTES_MAX));
        (
            Self {
                shards: senders.into(),
                budget,
            },
            receivers,
        )
    }

    /// Waits until a publication with `payload_bytes` fits into the inboxes.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn admit(&self, payload_bytes: usize) -> Admission {
        let share = Arc::clone(&self.budget).acquire_many_owned(permits(payload_bytes));
        let share = share.await;
        Admission {
            _share: Some(share.expect("the budget is never closed")),
        }
    }

    /// What [`Inboxes::admit`] would wait for, if there is room for it now.
    #[must_use]
    pub fn try_admit(&self, payload_bytes: usize) -> Option<Admission> {
        let share = Arc::clone(&self.budget).try_acquire_many_owned(permits(payload_bytes));
        Some(Admission {
            _share: Some(share.ok()?),
        })
    }

    /// Hands `delivery` to every shard whose bit is set in `shards`. Never waits; a shard that has
    /// stopped is passed over.
    pub fn deliver(&self, mut shards: u64, delivery: &Arc<Delivery>) {
        while shards != 0 {
            let index = shards.trailing_zeros();
            shards &= shards - 1;
            if let Some(shard) = self.shards.get(index as usize) {
                // Fails only when the shard has stopped, and then nobody is left to tell.
                let _ = shard.send(Arc::clone(delivery));
            }
        }
    }
}

/// What a delivery takes of the budget; never more than there is.
fn permits(payload_bytes: usize) -> u32 {
    let bytes = (payload_bytes + DELIVERY_OVERHEAD_BYTES).min(INBOX_BYTES_MAX);
    u32::try_from(bytes).expect("the whole budget fits into u32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn delivery(admission: Admission) -> Arc<Delivery> {
        let publication = Publication {
            offset: 0,
            data: b"1".as_slice().into(),
            info: None,
            tags: None,
        };
        Arc::new(Delivery {
            channel: ChannelName::trusted("c"),
            event: Event::Publication {
                publication: Arc::new(publication),
                epoch: Epoch::EMPTY,
                previous: None,
            },
            admission,
        })
    }

    #[test]
    fn a_delivery_reaches_just_the_shards_that_want_it() {
        let (inboxes, mut shards) = Inboxes::new(3);
        inboxes.deliver(0b101, &delivery(Admission::default()));
        assert!(shards[0].try_recv().is_ok() && shards[2].try_recv().is_ok());
        assert!(shards[1].try_recv().is_err());
        inboxes.deliver(u64::MAX, &delivery(Admission::default()));
        assert!(
            shards[1].try_recv().is_ok(),
            "bits without a shard are passed over"
        );
    }

    #[test]
    fn a_publisher_waits_while_the_inboxes_are_full() {
        let (inboxes, mut shards) = Inboxes::new(1);
        let whole = inboxes
            .admit(usize::MAX / 2)
            .now_or_never()
            .expect("nothing is in the way");
        inboxes.deliver(1, &delivery(whole));
        assert!(inboxes.admit(0).now_or_never().is_none(), "full");
        drop(shards[0].try_recv().unwrap());
        assert!(
            inboxes.admit(0).now_or_never().is_some(),
            "the last shard gave it back"
        );
    }
}
