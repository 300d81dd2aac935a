//! Reading the history of a channel: where it stands is asked of the leader, pages of any replica.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::remote::Sighting;
use campanile_engine::broker::{HistoryPage, HistoryQuery};
use campanile_engine::channel::ChannelName;
use campanile_protocol::{Epoch, Publication};
use tokio::time::{Instant, sleep};

use super::line::Mute;
use super::plan::{Head, Standing};
use super::record::Message;
use super::shared::Shared;
use super::store::StoreError;

/// Messages asked for at once.
const PAGE_MESSAGES: usize = 256;

/// Bytes asked for at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// So many publications before the first wanted one are passed over faster than looked around.
const PASSED_OVER_MAX: u64 = 256;

/// Before a replica that is behind is asked again.
const BEHIND_PAUSE: Duration = Duration::from_millis(20);

/// What a publication counts beside its payload and tags.
const OVERHEAD_BYTES: usize = 64;

/// What a read tells of.
pub(super) enum Reading {
    Page(HistoryPage, Sighting),
    /// The end of the stream is lost, and nobody has noted it yet.
    Lost,
}

/// The offsets that are wanted, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    first: u64,
    last: u64,
}

impl Range {
    fn new(floor: u64, top: u64, query: HistoryQuery) -> Option<Self> {
        let limit = u64::try_from(query.limit).unwrap_or(u64::MAX);
        let (first, last) = if query.reverse {
            let last = query
                .since
                .map_or(top, |since| top.min(since.saturating_sub(1)));
            let first = (last + 1).saturating_sub(limit);
            (first.max(floor + 1), last)
        } else {
            let first = floor.max(query.since.unwrap_or(0)).checked_add(1)?;
            (first, top.min(first.saturating_add(limit) - 1))
        };
        (limit > 0 && first <= last).then_some(Self { first, last })
    }
}

/// Publications of a range that have been found, the newest of them without a hole.
struct Found {
    wanted: Range,
    epoch: Epoch,
    publications: VecDeque<Arc<Publication>>,
    bytes: usize,
    /// How many bytes may be kept, and from which end they are counted.
    bytes_max: usize,
    keeps_newest: bool,
    is_full: bool,
}

impl Found {
    fn take(&mut self, publication: Arc<Publication>) {
        let Range { first, last } = self.wanted;
        if self.is_full || !(first..=last).contains(&publication.offset) {
            return;
        }
        if let Some(newest) = self.publications.back()
            && newest.offset + 1 != publication.offset
        {
            self.publications.clear();
            self.bytes = 0;
        }
        self.bytes += bytes(&publication);
        self.publications.push_back(publication);
        while self.bytes > self.bytes_max {
            if self.keeps_newest {
                let dropped = self.publications.pop_front();
                self.bytes -= dropped.map_or(0, |publication| bytes(&publication));
            } else {
                self.publications.pop_back();
                self.is_full = true;
                return;
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.is_full
            || self
                .publications
                .back()
                .is_some_and(|newest| newest.offset == self.wanted.last)
    }
}

fn bytes(publication: &Publication) -> usize {
    campanile_engine::delivery::payload_bytes(&publication.data, publication.tags.as_deref())
        + OVERHEAD_BYTES
}

impl Shared {
    /// Reads a part of a channel's history.
    pub(super) async fn read(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> Result<Reading, StoreError> {
        let scene = self.scene()?;
        let head = match self.last(channel, &scene).await {
            Err(StoreError::Mute(Mute::Nobody)) => {
                // The stream is not there, or has no leader.
                self.store.ensure().await?;
                let scene = self.scene()?;
                self.last(channel, &scene).await?
            }
            head => head?,
        };
        let scene = self.scene()?;
        let Standing { stream, is_renewed } = scene.standing(head.as_ref(), seen);
        if is_renewed {
            return Ok(Reading::Lost);
        }
        let mut publications = Vec::new();
        if let (Some(head), Some(range)) = (head, Range::new(stream.floor, stream.offset, query)) {
            let subject = self.subjects.kept(&scene.life, channel);
            let mut found = Found {
                wanted: range,
                epoch: stream.epoch,
                publications: VecDeque::new(),
                bytes: 0,
                bytes_max: query.bytes,
                keeps_newest: query.reverse,
                is_full: false,
            };
            self.find(&subject, &head, &mut found).await?;
            publications = found.publications.into();
            if query.reverse {
                publications.reverse();
            }
        }
        let page = HistoryPage {
            publications,
            top: stream.top(),
        };
        Ok(Reading::Page(page, stream.sighting()))
    }

    /// Finds what is wanted; asks again while the replica that answers is behind.
    async fn find(&self, subject: &str, head: &Head, found: &mut Found) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.line.patience();
        let mut from = self.start(subject, head, found).await?;
        loop {
            let page = self
                .store
                .page(subject, from, PAGE_MESSAGES, PAGE_BYTES)
                .await?;
            let is_end = page.is_empty();
            for kept in page {
                from = kept.sequence + 1;
                if kept.sequence > head.sequence {
                    continue;
                }
                if let Ok(Message::Kept(stream, entries)) = Message::read(&kept.payload)
                    && stream.epoch == found.epoch
                {
                    for entry in entries {
                        found.take(entry.publication);
                    }
                }
            }
            if found.is_complete() {
                return Ok(());
            }
            if from > head.sequence {
                // All has been seen, and what is wanted is no longer there.
                return Ok(());
            }
            if is_end {
                if Instant::now() >= deadline {
                    return Err(Mute::Silent.into());
                }
                sleep(BEHIND_PAUSE).await;
            }
        }
    }

    /// A number of the stream from which on everything wanted comes, and not much else.
    async fn start(&self, subject: &str, head: &Head, found: &Found) -> Result<u64, StoreError> {
        let (mut low, mut high) = (1, head.sequence);
        if found.wanted.first <= head.stream.floor.saturating_add(PASSED_OVER_MAX) {
            return Ok(low);
        }
        // Offsets grow with numbers, so it is found by halving.
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.store.page(subject, middle, 1, PAGE_BYTES).await?;
            let Some(kept) = page.into_iter().next() else {
                break;
            };
            let offset = match Message::read(&kept.payload) {
                Ok(Message::Kept(stream, _)) if stream.epoch == found.epoch => stream.offset,
                _ => 0,
            };
            let is_close = offset + PASSED_OVER_MAX >= found.wanted.first;
            if offset < found.wanted.first {
                low = kept.sequence + 1;
                if is_close {
                    break;
                }
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(floor: u64, top: u64, query: HistoryQuery) -> Option<(u64, u64)> {
        Range::new(floor, top, query).map(|range| (range.first, range.last))
    }

    fn query(since: Option<u64>, reverse: bool, limit: usize) -> HistoryQuery {
        HistoryQuery {
            since,
            reverse,
            limit,
            bytes: usize::MAX,
        }
    }

    #[test]
    fn ranges_hold_what_is_kept_and_asked_for() {
        for (since, reverse, limit, expected) in [
            (None, false, usize::MAX, Some((4, 7))),
            (Some(1), false, usize::MAX, Some((4, 7))),
            (Some(5), false, usize::MAX, Some((6, 7))),
            (None, false, 2, Some((4, 5))),
            (Some(7), false, 9, None),
            (Some(u64::MAX), false, 9, None),
            (None, true, 2, Some((6, 7))),
            (Some(6), true, 9, Some((4, 5))),
            (Some(4), true, 9, None),
            (Some(0), true, 9, None),
            (Some(99), true, 1, Some((7, 7))),
            (None, false, 0, None),
            (None, true, 0, None),
        ] {
            let query = query(since, reverse, limit);
            assert_eq!(range(3, 7, query), expected, "{query:?}");
        }
        assert_eq!(range(7, 7, query(None, false, 9)), None);
    }

    fn found(keeps_newest: bool, bytes_max: usize) -> Found {
        Found {
            wanted: Range { first: 4, last: 7 },
            epoch: Epoch::EMPTY,
            publications: VecDeque::new(),
            bytes: 0,
            bytes_max,
            keeps_newest,
            is_full: false,
        }
    }

    fn take(found: &mut Found, offsets: impl IntoIterator<Item = u64>) -> Vec<u64> {
        for offset in offsets {
            found.take(Arc::new(Publication {
                offset,
                data: [0; 36].into(),
                info: None,
                tags: None,
            }));
        }
        let offsets = found.publications.iter();
        offsets.map(|publication| publication.offset).collect()
    }

    #[test]
    fn what_is_found_has_no_hole() {
        let mut all = found(false, usize::MAX);
        assert_eq!(take(&mut all, 1..=9), [4, 5, 6, 7]);
        assert!(all.is_complete());
        let mut late = found(false, usize::MAX);
        assert_eq!(take(&mut late, [4, 6]), [6]);
        assert!(!late.is_complete());
        assert_eq!(take(&mut late, [7]), [6, 7]);
    }

    #[test]
    fn bytes_cut_at_the_far_end() {
        let mut forward = found(false, 200);
        assert_eq!(take(&mut forward, 4..=7), [4, 5]);
        assert!(forward.is_complete());
        let mut reverse = found(true, 200);
        assert_eq!(take(&mut reverse, 4..=7), [6, 7]);
    }
}
