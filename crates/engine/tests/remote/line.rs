//! A link to nowhere: tests say what is answered, and see what was asked.

use std::sync::{Arc, Mutex, MutexGuard};

use campanile_engine::broker::remote::{Accepted, Generation, Hearing, Link, Sighting};
use campanile_engine::broker::{
    Attendance, BoxFuture, Broker, BrokerError, HistoryPage, HistoryQuery, NewPublication,
    Published, RemoteBroker,
};
use campanile_engine::channel::ChannelName;
use campanile_engine::delivery::{Delivery, Event, Inbox, Inboxes, ShardId};
use campanile_engine::testkit::{ManualClock, channel};
use campanile_protocol::{Epoch, Position, Publication};
use tokio::sync::Semaphore;

/// What was asked of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Publish(Option<Sighting>),
    Listen,
    Ignore,
    History(Option<Sighting>),
}

pub(crate) struct StubLink {
    asked: Mutex<Vec<Asked>>,
    /// Where the stream is said to be.
    pub(crate) sighting: Mutex<Sighting>,
    pub(crate) failure: Mutex<Option<BrokerError>>,
    /// Held by whoever is answered; without permits nobody is.
    pub(crate) answers: Semaphore,
    pub(crate) hearing: Hearing,
}

impl StubLink {
    async fn ask(&self, asked: Asked) -> Result<Sighting, BrokerError> {
        self.asked
            .lock()
            .expect("no test panics inside")
            .push(asked);
        let _answer = self.answers.acquire().await.expect("never closed");
        match *self.failure.lock().expect("no test panics inside") {
            Some(error) => Err(error),
            None => Ok(*self.sighting.lock().expect("no test panics inside")),
        }
    }
}

impl Link for StubLink {
    fn publish(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> BoxFuture<'_, Result<Accepted, BrokerError>> {
        Box::pin(async move {
            let sighting = self.ask(Asked::Publish(seen)).await?;
            let sighting = new.retention.map(|_| sighting);
            let published = Published {
                position: sighting.map(|sighting| sighting.position),
                is_suppressed: false,
            };
            Ok(Accepted {
                published,
                sighting,
            })
        })
    }

    fn announce<'a>(
        &'a self,
        _: &'a ChannelName,
        _: Attendance,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }

    fn listen<'a>(&'a self, _: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async { self.ask(Asked::Listen).await.map(drop) })
    }

    fn ignore(&self, _: &ChannelName) {
        self.asked
            .lock()
            .expect("no test panics inside")
            .push(Asked::Ignore);
    }

    fn history<'a>(
        &'a self,
        _: &'a ChannelName,
        _: HistoryQuery,
        seen: Option<Sighting>,
    ) -> BoxFuture<'a, Result<(HistoryPage, Sighting), BrokerError>> {
        Box::pin(async move {
            let sighting = self.ask(Asked::History(seen)).await?;
            let page = HistoryPage {
                publications: Vec::new(),
                top: sighting.position,
            };
            Ok((page, sighting))
        })
    }

    fn remove_history<'a>(&'a self, _: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A broker over such a link, and its two shards.
pub(crate) struct Line {
    pub(crate) broker: RemoteBroker,
    pub(crate) link: Arc<StubLink>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) inboxes: Inboxes,
    shards: Vec<Inbox>,
}

/// What a shard was brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Brought {
    /// By its offset.
    Publication(u64),
    Lapse,
}

impl Line {
    pub(crate) fn new() -> Self {
        let (inboxes, shards) = Inboxes::new(2);
        let clock = Arc::new(ManualClock::default());
        let mut made = None;
        let broker = RemoteBroker::new(inboxes.clone(), clock.clone(), |hearing| {
            let link = Arc::new(StubLink {
                asked: Mutex::default(),
                sighting: Mutex::new(sighting(1, 5)),
                failure: Mutex::default(),
                answers: Semaphore::new(Semaphore::MAX_PERMITS),
                hearing,
            });
            made = Some(Arc::clone(&link));
            Ok::<_, std::convert::Infallible>(link)
        });
        let Ok(broker) = broker;
        Self {
            broker,
            link: made.expect("just connected"),
            clock,
            inboxes,
            shards,
        }
    }

    pub(crate) async fn subscribe(&self, shard: usize) -> Result<u64, BrokerError> {
        let top = self.broker.subscribe(id(shard), &channel("c")).await;
        top.map(|top| top.offset)
    }

    pub(crate) async fn unsubscribe(&self, shard: usize) {
        self.broker.unsubscribe(id(shard), &channel("c")).await;
    }

    /// What was asked of the link since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.link.asked.lock().expect("no test panics inside"))
    }

    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<BrokerError>> {
        self.link.failure.lock().expect("no test panics inside")
    }

    pub(crate) fn stream_is(&self, sighting: Sighting) {
        *self.link.sighting.lock().expect("no test panics inside") = sighting;
    }

    pub(crate) fn hear(&self, generation: u64, offset: u64) {
        let event = event(offset, 1);
        let generation = Generation(generation);
        self.link.hearing.heard("c", event, generation);
    }

    /// What waits for a shard.
    pub(crate) fn brought(&mut self, shard: usize) -> Vec<Brought> {
        let deliveries = std::iter::from_fn(|| self.shards[shard].try_recv().ok());
        deliveries.map(|delivery| brought(&delivery)).collect()
    }
}

fn brought(delivery: &Delivery) -> Brought {
    match &delivery.event {
        Event::Publication { publication, .. } => Brought::Publication(publication.offset),
        Event::Lapse => Brought::Lapse,
        other => panic!("nobody announced {other:?}"),
    }
}

pub(crate) fn event(offset: u64, bytes: usize) -> Event {
    Event::Publication {
        publication: Arc::new(Publication {
            offset,
            data: vec![b'1'; bytes].as_slice().into(),
            info: None,
            tags: None,
        }),
        epoch: Epoch::new("e"),
        previous: None,
    }
}

pub(crate) fn sighting(generation: u64, offset: u64) -> Sighting {
    let epoch = Epoch::new("e");
    Sighting {
        position: Position { epoch, offset },
        generation: Generation(generation),
    }
}

fn id(shard: usize) -> ShardId {
    ShardId::new(shard).expect("there are two")
}
