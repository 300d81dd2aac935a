//! Listening to channels: a subscription for each, and a short task that hands on what comes.
//!
//! What is heard of a history was stored before: the server sends it on in the order of storing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Message as Heard, Subscriber};
use campanile_engine::broker::remote::{Generation, Hearing};
use campanile_engine::channel::ChannelName;
use campanile_engine::delivery::{Event, payload_bytes};
use campanile_protocol::{Epoch, Publication};
use futures_util::StreamExt as _;

use super::line::Mute;
use super::record::{Entry, Message, Stream};
use super::shared::Shared;
use crate::background::{Running, Spawner};

/// Bytes of last publications that are kept for those who want the difference to them. What does
/// not fit is not kept, and the next one is then delivered whole.
const LAST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the [module](self).
pub(super) struct Ears {
    shared: Arc<Shared>,
    hearing: Hearing,
    spawner: Spawner,
    /// Dropped, a task ends, and with it its subscription.
    open: Mutex<HashMap<ChannelName, Running<()>>>,
    last_bytes: Arc<AtomicUsize>,
}

impl Ears {
    pub(super) fn new(shared: Arc<Shared>, hearing: Hearing, spawner: Spawner) -> Self {
        Self {
            shared,
            hearing,
            spawner,
            open: Mutex::default(),
            last_bytes: Arc::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Listens to a channel. To be awaited on the thread of the spawner.
    pub(super) async fn listen(&self, channel: &ChannelName) -> Result<(), Mute> {
        if self.lock().contains_key(channel) {
            // It may have been subscribed to on a connection that was lost meanwhile.
            return self.shared.line.settle().await;
        }
        let subscriber = self
            .shared
            .line
            .listen(self.shared.subjects.heard(channel))
            .await?;
        let ear = Ear {
            shared: Arc::clone(&self.shared),
            hearing: self.hearing.clone(),
            channel: channel.clone(),
            last: Last::new(Arc::clone(&self.last_bytes)),
        };
        let running = self.spawner.spawn(ear.hear(subscriber));
        self.lock().insert(channel.clone(), running);
        Ok(())
    }

    pub(super) fn ignore(&self, channel: &ChannelName) {
        let running = self.lock().remove(channel);
        drop(running);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelName, Running<()>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What hears one channel.
struct Ear {
    shared: Arc<Shared>,
    hearing: Hearing,
    channel: ChannelName,
    last: Last,
}

impl Ear {
    async fn hear(mut self, mut subscriber: Subscriber) {
        while let Some(heard) = subscriber.next().await {
            self.take(&heard);
        }
    }

    fn take(&mut self, heard: &Heard) {
        match Message::read(&heard.payload) {
            Ok(Message::Kept(stream, entries)) => {
                self.learn(heard, &stream);
                self.hand_on(&stream, entries);
            }
            Ok(Message::Passing(publication)) => self.tell(publication_event(publication)),
            Ok(Message::Join(who)) => self.tell(Event::Join(Arc::new(who))),
            Ok(Message::Leave(who)) => self.tell(Event::Leave(Arc::new(who))),
            Err(_) => self.shared.counts.malformed(),
        }
    }

    fn tell(&self, event: Event) {
        self.hearing
            .heard(self.channel.as_str(), event, Generation(0));
    }

    /// Notes where the channel stands at the server, for the next message that is written here.
    fn learn(&self, heard: &Heard, stream: &Stream) {
        let Some(headers) = &heard.headers else {
            return;
        };
        let sequence = headers.get("Nats-Sequence");
        let sequence = sequence.and_then(|value| value.as_str().parse().ok());
        // `prefix.h.life.channel`, of which no part has a dot.
        let life = headers.get("Nats-Subject");
        let life = life.and_then(|subject| subject.as_str().split('.').nth(2));
        if let (Some(sequence), Some(life)) = (sequence, life) {
            self.shared
                .heads
                .hear(&self.channel, life, sequence, stream);
        }
    }

    fn hand_on(&mut self, stream: &Stream, entries: Vec<Entry>) {
        if entries.is_empty() {
            self.last.forget();
            return;
        }
        let generation = stream.sighting().generation;
        for entry in entries {
            let publication = entry.publication;
            let previous = self.last.before(stream.epoch, publication.offset);
            self.last.keep(stream.epoch, &publication);
            let event = Event::Publication {
                publication,
                epoch: stream.epoch,
                previous: previous.filter(|_| entry.has_previous),
            };
            self.hearing.heard(self.channel.as_str(), event, generation);
        }
    }
}

fn publication_event(publication: Publication) -> Event {
    Event::Publication {
        publication: Arc::new(publication),
        epoch: Epoch::EMPTY,
        previous: None,
    }
}

/// The publication that was heard last, if there was room for it.
struct Last {
    publication: Option<(Epoch, Arc<Publication>)>,
    bytes: usize,
    /// Of all channels.
    kept: Arc<AtomicUsize>,
}

impl Last {
    const fn new(kept: Arc<AtomicUsize>) -> Self {
        Self {
            publication: None,
            bytes: 0,
            kept,
        }
    }

    fn before(&self, epoch: Epoch, offset: u64) -> Option<Arc<Publication>> {
        let (of, last) = self.publication.as_ref()?;
        (*of == epoch && last.offset + 1 == offset).then(|| Arc::clone(last))
    }

    fn keep(&mut self, epoch: Epoch, publication: &Arc<Publication>) {
        self.forget();
        let bytes = payload_bytes(&publication.data, publication.tags.as_deref()) + 128;
        // Ears share one thread: nothing comes between.
        if self.kept.load(Relaxed) + bytes <= LAST_BYTES_MAX {
            self.kept.fetch_add(bytes, Relaxed);
            self.bytes = bytes;
            self.publication = Some((epoch, Arc::clone(publication)));
        }
    }

    fn forget(&mut self) {
        self.publication = None;
        self.kept
            .fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.forget();
    }
}
