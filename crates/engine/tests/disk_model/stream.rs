//! What one stream should be: the rules of brokers, written as simply as they can be.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use campanile_engine::broker::{
    HistoryQuery, IDEMPOTENCY_TTL, NewPublication, Published, Retention, Version,
};
use campanile_engine::delivery::Admission;
use campanile_engine::testkit::channel;
use campanile_protocol::{Epoch, Position, Publication};

/// Milliseconds of the wall clock.
pub(crate) type Time = u64;

/// A stream as far as it can be seen.
#[derive(Clone, PartialEq, Default)]
pub(crate) struct Stream {
    /// `None` where every epoch would be right.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) top: u64,
    kept: VecDeque<Arc<Publication>>,
    history_expires: Time,
    meta_expires: Option<Time>,
    version: Option<Version>,
    /// The offset that was told, and until when.
    keys: BTreeMap<Box<str>, (Option<u64>, Time)>,
}

/// A publish that can be tried again.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) publication: Publication,
    pub(crate) retention: Option<Retention>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) version: Option<Version>,
}

/// The offset and the number of each publication, which is what is in front of its padding.
pub(crate) fn brief<P: Borrow<Publication>>(publications: impl IntoIterator<Item = P>) -> String {
    let brief = |publication: &Publication| {
        let number = publication.data.split(|byte| *byte == b':').next();
        let number = String::from_utf8_lossy(number.unwrap_or_default()).into_owned();
        format!("{}:#{number}", publication.offset)
    };
    let all: Vec<_> = publications
        .into_iter()
        .map(|one| brief(one.borrow()))
        .collect();
    format!("[{}]", all.join(" "))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = brief(self.kept.iter().map(|kept| &**kept));
        write!(
            f,
            "{:?} {} {kept} until {}, meta {:?}, version {:?}, keys {:?}",
            self.epoch, self.top, self.history_expires, self.meta_expires, self.version, self.keys
        )
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let publication = brief([&self.publication]);
        let Self {
            retention,
            key,
            version,
            ..
        } = self;
        write!(
            f,
            "{publication} for {retention:?} with {key:?}, {version:?}"
        )
    }
}

/// What changes a stream.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Publish(Attempt),
    Remove,
}

impl Attempt {
    pub(crate) fn to_new(&self, name: &str) -> NewPublication {
        NewPublication {
            channel: channel(name),
            data: self.publication.data.clone(),
            info: self.publication.info.clone(),
            tags: self.publication.tags.clone(),
            retention: self.retention,
            idempotency_key: self.key.clone(),
            version: self.version.clone(),
            wants_delta: true,
            is_local_if_unreachable: false,
            admission: Admission::default(),
        }
    }

    /// The publication, where it has come to be.
    pub(crate) fn at(&self, position: Option<Position>) -> Publication {
        Publication {
            offset: position.map_or(0, |position| position.offset),
            ..self.publication.clone()
        }
    }
}

impl Change {
    /// Whether the store has to know of it.
    pub(crate) fn is_stored(&self) -> bool {
        match self {
            Self::Publish(attempt) => attempt.retention.is_some() || attempt.key.is_some(),
            Self::Remove => true,
        }
    }
}

impl Stream {
    /// Does `change`; says what a publish comes to: its offset, and whether it was suppressed.
    pub(crate) fn apply(&mut self, change: &Change, now: Time) -> (Option<u64>, bool) {
        match change {
            Change::Publish(attempt) => self.publish(attempt, now),
            Change::Remove => {
                self.kept.clear();
                (None, false)
            }
        }
    }

    fn publish(&mut self, attempt: &Attempt, now: Time) -> (Option<u64>, bool) {
        let remembered = attempt.key.as_ref().and_then(|key| self.keys.get(key));
        if let Some((offset, _)) = remembered.filter(|(_, expires)| now < *expires) {
            return (*offset, true);
        }
        let mut offset = None;
        if let Some(retention) = attempt.retention {
            if self.meta_expires.is_none_or(|expires| expires <= now) {
                self.version = None;
            }
            if attempt
                .version
                .as_ref()
                .is_some_and(|version| self.has_seen(version))
            {
                return (Some(self.top), true);
            }
            if self.history_expires <= now {
                self.kept.clear();
            }
            self.top += 1;
            offset = Some(self.top);
            self.kept.push_back(Arc::new(Publication {
                offset: self.top,
                ..attempt.publication.clone()
            }));
            let excess = self.kept.len().saturating_sub(retention.size);
            self.kept.drain(..excess);
            self.history_expires = now + millis(retention.ttl);
            self.meta_expires = Some(now + millis(retention.meta_ttl));
            if let Some(version) = &attempt.version {
                self.version = Some(version.clone());
            }
        }
        if let Some(key) = &attempt.key {
            let expires = now + millis(IDEMPOTENCY_TTL);
            self.keys.insert(key.clone(), (offset, expires));
        }
        (offset, false)
    }

    fn has_seen(&self, version: &Version) -> bool {
        self.version.as_ref().is_some_and(|seen| {
            (version.epoch.is_empty() || version.epoch == seen.epoch)
                && version.number <= seen.number
        })
    }

    /// Whether it may be forgotten once nobody is subscribed.
    pub(crate) fn is_forgettable(&self, now: Time) -> bool {
        self.meta_expires.is_none_or(|expires| expires <= now)
            && self.keys.values().all(|(_, expires)| *expires <= now)
    }

    /// What is left of it then: where it stands, which its subscribers have been told.
    pub(crate) fn forgotten(&self, is_heard: bool) -> Self {
        let Self { epoch, top, .. } = *self;
        let position = if is_heard { (epoch, top) } else { (None, 0) };
        Self {
            epoch: position.0,
            top: position.1,
            ..Self::default()
        }
    }

    /// Whether it would tell of `position` as its top; it has that epoch from then on.
    pub(crate) fn stands_at(&mut self, position: Position) -> bool {
        let epoch = *self.epoch.get_or_insert(position.epoch);
        Position {
            epoch,
            offset: self.top,
        } == position
    }

    /// Whether it would say `published` of a publish that came to `outcome`.
    pub(crate) fn would_say(&mut self, outcome: (Option<u64>, bool), published: Published) -> bool {
        let told = published.position;
        let is_epoch_right =
            told.is_none_or(|told| *self.epoch.get_or_insert(told.epoch) == told.epoch);
        let told = (told.map(|told| told.offset), published.is_suppressed);
        is_epoch_right && outcome == told
    }

    pub(crate) fn page(&self, query: HistoryQuery, now: Time) -> Vec<Arc<Publication>> {
        let mut page: Vec<_> = self.kept.iter().map(Arc::clone).collect();
        let is_kept = |since| page.iter().any(|publication| publication.offset == since);
        match query.since {
            _ if self.history_expires <= now => page.clear(),
            Some(since) if query.reverse => {
                if since <= self.top && !is_kept(since) {
                    page.clear();
                }
                page.retain(|publication| publication.offset < since);
            }
            Some(since) => page.retain(|publication| publication.offset > since),
            None => {}
        }
        if query.reverse {
            page.reverse();
        }
        page.truncate(query.limit);
        page
    }
}

fn millis(duration: std::time::Duration) -> Time {
    Time::try_from(duration.as_millis()).expect("lifetimes are short")
}
