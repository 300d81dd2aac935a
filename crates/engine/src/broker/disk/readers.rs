//! Reading publications that are no longer in memory, on threads of their own.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use campanile_protocol::Publication;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::shared::Shared;
use super::slot::Slot;
use crate::broker::BrokerError;
use crate::channel::ChannelName;
use crate::limits::COLD_READS_MAX;

/// Threads that read: one that waits for the disk does not hold up the other.
pub(super) const READERS: usize = 2;

/// What is to be read, and where to tell it: `None` when something is not where it was.
pub(super) struct Read {
    channel: ChannelName,
    slots: Vec<Slot>,
    tell: oneshot::Sender<Result<Option<Vec<Arc<Publication>>>, BrokerError>>,
    /// Its place among the reads under way: until it is done, whether somebody still waits or not.
    _place: OwnedSemaphorePermit,
}

/// The way to the readers.
pub(super) struct Readers {
    /// Gone once the broker closes.
    reads: Mutex<Option<mpsc::Sender<Read>>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(reads: mpsc::Sender<Read>) -> Self {
        Self {
            reads: Mutex::new(Some(reads)),
            room: Arc::new(Semaphore::new(COLD_READS_MAX)),
        }
    }

    /// Reads what is not in memory of `slots`.
    ///
    /// # Cancel safety
    /// A dropped future has read in vain.
    pub(super) async fn read(
        &self,
        channel: &ChannelName,
        slots: Vec<Slot>,
    ) -> Result<Option<Vec<Arc<Publication>>>, BrokerError> {
        let place = Arc::clone(&self.room).acquire_owned().await;
        let (tell, told) = oneshot::channel();
        let read = Read {
            channel: channel.clone(),
            slots,
            tell,
            _place: place.expect("it is never closed"),
        };
        self.send(read)?;
        told.await.unwrap_or(Err(BrokerError::Stopped))
    }

    fn send(&self, read: Read) -> Result<(), BrokerError> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = reads.as_ref().is_some_and(|reads| reads.send(read).is_ok());
        sent.then_some(()).ok_or(BrokerError::Stopped)
    }

    /// Ends the threads when they have done what they were asked for.
    pub(super) fn close(&self) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Reads until nobody asks for more.
pub(super) fn run(shared: &Arc<Shared>, reads: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else {
            return;
        };
        if read.tell.is_closed() {
            continue;
        }
        let fetched = read
            .slots
            .iter()
            .map(|slot| shared.fetch(&read.channel, slot));
        let publications = fetched.collect::<Result<Option<Vec<_>>, _>>();
        // Whoever asked may have gone.
        drop(read.tell.send(publications));
    }
}
