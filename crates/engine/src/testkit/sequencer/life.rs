//! What one life of a sequencer holds: streams, keys, versions.
//!
//! Written apart from the brokers of this crate and as plainly as possible, since it judges them. It
//! knows no lines and no nodes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use campanile_protocol::{Epoch, Position, Publication};

use crate::broker::remote::{Accepted, Generation, Sighting};
use crate::broker::{
    HistoryPage, HistoryQuery, IDEMPOTENCY_TTL, NewPublication, Published, Version,
};
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::limits::PUBLICATION_OVERHEAD_BYTES;
use crate::time::Moment;

/// See the [module](self). A clone is a replica.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) generation: Generation,
    streams: BTreeMap<ChannelName, Stream>,
}

#[derive(Clone)]
struct Stream {
    epoch: Epoch,
    top: u64,
    history: VecDeque<Arc<Publication>>,
    history_expires: Moment,
    /// `None` until something was stored.
    meta_expires: Option<Moment>,
    version: Option<Version>,
    keys: HashMap<Box<str>, (Published, Moment)>,
    /// Under which generations this epoch went on, and at which offset each began.
    begun: Vec<(Generation, u64)>,
    /// The place of its top in the log of everything that was ever stored.
    pub(super) last: Option<usize>,
}

/// What became of a publish.
pub(super) struct Done {
    pub(super) accepted: Accepted,
    /// What nodes are to be told, if anything.
    pub(super) event: Option<Event>,
    /// Set when it was stored: where the one before it stands in the log.
    pub(super) stored_behind: Option<Option<usize>>,
}

/// What an operation comes with.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) now: Moment,
    pub(super) seen: Option<Sighting>,
    /// Taken if a stream begins.
    pub(super) epoch: Epoch,
    /// Whether what nodes have seen is of no interest: for trying whether that is noticed.
    pub(super) believes_nobody: bool,
}

impl Life {
    pub(super) const fn new(generation: Generation) -> Self {
        Self {
            generation,
            streams: BTreeMap::new(),
        }
    }

    /// What it knows, in the hands of another life.
    pub(super) fn under(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    pub(super) fn publish(&mut self, new: NewPublication, context: Context) -> Done {
        let (now, generation) = (context.now, self.generation);
        let stream = self.touch(&new.channel, context);
        let retention = new.retention;
        let done = |stream: &Stream, published, event, stored_behind| Done {
            accepted: Accepted {
                published,
                sighting: retention.map(|_| stream.sighting(generation)),
            },
            event,
            stored_behind,
        };
        if let Some(key) = &new.idempotency_key
            && let Some((first, expires)) = stream.keys.get(key)
            && now < *expires
        {
            let is_suppressed = true;
            let published = Published {
                is_suppressed,
                ..*first
            };
            return done(stream, published, None, None);
        }
        if retention.is_some()
            && let Some(version) = &new.version
            && stream.has_seen(version)
        {
            let published = Published {
                position: Some(stream.position()),
                is_suppressed: true,
            };
            return done(stream, published, None, None);
        }
        let previous = stream.history.back().filter(|_| new.wants_delta).cloned();
        let (stored_behind, published) = stream.store(&new, now);
        if let Some(key) = new.idempotency_key {
            stream.keys.insert(key, (published, now + IDEMPOTENCY_TTL));
        }
        let position = published.position;
        let event = Event::Publication {
            publication: position.map_or_else(
                || Arc::new(publication(0, &new.data, &new.info, &new.tags)),
                |_| Arc::clone(stream.history.back().expect("just stored")),
            ),
            epoch: position.map_or(Epoch::EMPTY, |position| position.epoch),
            previous: previous.filter(|_| position.is_some()),
        };
        done(stream, published, Some(event), stored_behind)
    }

    pub(super) fn note_last(&mut self, channel: &ChannelName, last: usize) {
        if let Some(stream) = self.streams.get_mut(channel) {
            stream.last = Some(last);
        }
    }

    pub(super) fn history(
        &mut self,
        channel: &ChannelName,
        query: HistoryQuery,
        context: Context,
    ) -> (HistoryPage, Sighting) {
        let generation = self.generation;
        let stream = self.touch(channel, context);
        let page = HistoryPage {
            publications: stream.select(query),
            top: stream.position(),
        };
        (page, stream.sighting(generation))
    }

    pub(super) fn remove_history(&mut self, channel: &ChannelName, context: Context) {
        self.touch(channel, context).history.clear();
    }

    /// Where the channel's stream is, and where its top stands in the log.
    pub(super) fn top(&self, channel: &ChannelName) -> Option<(Position, Option<usize>)> {
        let stream = self.streams.get(channel)?;
        Some((stream.position(), stream.last))
    }

    /// The channel's stream as it is to be for this operation.
    fn touch(&mut self, channel: &ChannelName, context: Context) -> &mut Stream {
        let generation = self.generation;
        let Context { now, epoch, .. } = context;
        let new = || Stream::new(epoch, generation);
        let stream = self.streams.entry(channel.clone()).or_insert_with(new);
        if stream.meta_expires.is_some_and(|expires| expires <= now) {
            let keys = std::mem::take(&mut stream.keys);
            *stream = Stream {
                keys,
                ..Stream::new(epoch, generation)
            };
        }
        if stream.history_expires <= now {
            stream.history.clear();
        }
        if stream.begun.last().map(|(begun, _)| *begun) != Some(generation) {
            stream.begun.push((generation, stream.top));
        }
        if let Some(seen) = context.seen.filter(|_| !context.believes_nobody)
            && stream.has_lost(seen)
        {
            stream.begin_again(epoch, generation);
        }
        stream
    }
}

impl Stream {
    fn new(epoch: Epoch, generation: Generation) -> Self {
        Self {
            epoch,
            top: 0,
            history: VecDeque::new(),
            history_expires: Moment::START,
            meta_expires: None,
            version: None,
            keys: HashMap::new(),
            begun: vec![(generation, 0)],
            last: None,
        }
    }

    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    fn sighting(&self, generation: Generation) -> Sighting {
        Sighting {
            position: self.position(),
            generation,
        }
    }

    /// Whether a node was told of something by an earlier life that was not there when a later one
    /// began.
    fn has_lost(&self, seen: Sighting) -> bool {
        let known = |(begun, _): &&(Generation, u64)| seen.generation.0 < begun.0;
        let least = self.begun.iter().filter(known).map(|(_, at)| *at).min();
        seen.position.epoch == self.epoch && least.is_some_and(|least| least < seen.position.offset)
    }

    fn begin_again(&mut self, epoch: Epoch, generation: Generation) {
        self.epoch = epoch;
        self.top = 0;
        self.history.clear();
        self.begun = vec![(generation, 0)];
        self.last = None;
    }

    fn has_seen(&self, version: &Version) -> bool {
        self.version.as_ref().is_some_and(|seen| {
            let is_same = version.epoch.is_empty() || version.epoch == seen.epoch;
            is_same && version.number <= seen.number
        })
    }

    /// Stores it if it is to be; returns where in the log the one before it stands, if it was.
    fn store(&mut self, new: &NewPublication, now: Moment) -> (Option<Option<usize>>, Published) {
        let Some(retention) = new.retention else {
            let published = Published {
                position: None,
                is_suppressed: false,
            };
            return (None, published);
        };
        self.top += 1;
        let stored = publication(self.top, &new.data, &new.info, &new.tags);
        self.history.push_back(Arc::new(stored));
        while self.history.len() > retention.size {
            self.history.pop_front();
        }
        self.history_expires = now + retention.ttl;
        self.meta_expires = Some(now + retention.meta_ttl);
        if let Some(version) = &new.version {
            self.version = Some(version.clone());
        }
        let published = Published {
            position: Some(self.position()),
            is_suppressed: false,
        };
        (Some(self.last), published)
    }

    fn select(&self, query: HistoryQuery) -> Vec<Arc<Publication>> {
        let floor = self.history.front().map_or(self.top + 1, |it| it.offset);
        let mut wanted: Vec<_> = self.history.iter().cloned().collect();
        if let Some(since) = query.since {
            if query.reverse {
                let is_gone = since <= self.top && since < floor;
                wanted.retain(|it| it.offset < since && !is_gone);
            } else {
                wanted.retain(|it| it.offset > since);
            }
        }
        if query.reverse {
            wanted.reverse();
        }
        let mut bytes_left = query.bytes;
        wanted.truncate(query.limit);
        let fits = |it: &Arc<Publication>| {
            let bytes = it.data.len() + PUBLICATION_OVERHEAD_BYTES;
            let fits = bytes <= bytes_left;
            bytes_left = bytes_left.saturating_sub(bytes);
            fits
        };
        wanted.into_iter().take_while(fits).collect()
    }
}

fn publication(
    offset: u64,
    data: &campanile_protocol::Payload,
    info: &Option<Arc<campanile_protocol::ClientInfo>>,
    tags: &Option<Box<campanile_protocol::Tags>>,
) -> Publication {
    Publication {
        offset,
        data: data.clone(),
        info: info.clone(),
        tags: tags.clone(),
    }
}
