//! Whether a subscriber that was away can be made whole: sections 8.3 and 8.5 of the client protocol.
//!
//! Pure: names the page of history that an attempt needs, and judges it against the position from
//! which it was asked for.

use std::sync::Arc;

use campanile_protocol::{Position, Publication};

use crate::broker::{HistoryPage, HistoryQuery};
use crate::channel::TagsFilter;
use crate::channel::options::RecoveryMode;

/// What came of an attempt to recover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Whether nothing is missing.
    pub is_recovered: bool,
    /// What the client is brought, by ascending offsets: what it missed, or the latest state.
    pub publications: Vec<Arc<Publication>>,
}

/// What a subscriber wants of what it missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Where it stands.
    pub from: Position,
    /// Everything, or the latest.
    pub mode: RecoveryMode,
    /// What it wants at all.
    pub filter: Option<Arc<TagsFilter>>,
}

impl Attempt {
    /// The history that decides it, of at most `limit` publications and `bytes`.
    #[must_use]
    pub fn query(&self, limit: usize, bytes: usize) -> HistoryQuery {
        match self.mode {
            RecoveryMode::Stream => HistoryQuery {
                since: Some(self.from.offset),
                reverse: false,
                limit,
                bytes,
            },
            RecoveryMode::Cache => HistoryQuery {
                since: None,
                reverse: true,
                limit: if self.filter.is_some() { limit } else { 1 },
                bytes,
            },
        }
    }

    /// Judges the page that [`Attempt::query`] asked for.
    #[must_use]
    pub fn judge(&self, page: HistoryPage) -> Recovery {
        let accepts = |publication: &Arc<Publication>| {
            let filter = self.filter.as_deref();
            filter.is_none_or(|filter| filter.accepts(publication.tags.as_deref()))
        };
        match self.mode {
            RecoveryMode::Stream => {
                let mut recovery = judge(self.from, page);
                recovery.publications.retain(accepts);
                recovery
            }
            RecoveryMode::Cache => {
                let latest = page.publications.into_iter().find(accepts);
                judge_latest(self.from, latest, page.top)
            }
        }
    }
}

/// Judges `latest`, the newest publication that the subscriber wants, in a channel that is a cache
/// of it. The client is brought it, unless it stands at the top already.
///
/// As a cache, a publication in front of the latest is no loss, whatever epoch the client knows. Who
/// stands at the top is whole, also where a filter hides what is there, of which section 8.5 would
/// say the opposite.
#[must_use]
pub fn judge_latest(from: Position, latest: Option<Arc<Publication>>, top: Position) -> Recovery {
    let has_it = from.offset > 0 && from == top;
    let is_top = |latest: &Arc<Publication>| latest.offset == top.offset;
    Recovery {
        is_recovered: has_it || latest.as_ref().is_some_and(is_top),
        publications: latest.filter(|_| !has_it).into_iter().collect(),
    }
}

/// Judges `page`, the history after `from.offset`.
///
/// Recovered is only who holds the same epoch, or names none, and receives every publication up to
/// the top: one that is trimmed, cut by a limit or expired is a loss, and is told as one.
#[must_use]
pub fn judge(from: Position, page: HistoryPage) -> Recovery {
    let same_epoch = from.epoch.is_empty() || from.epoch == page.top.epoch;
    let is_contiguous = page
        .publications
        .iter()
        .zip(from.offset.saturating_add(1)..)
        .all(|(publication, offset)| publication.offset == offset);
    let last = page
        .publications
        .last()
        .map_or(from.offset, |publication| publication.offset);
    let is_recovered = same_epoch && is_contiguous && last == page.top.offset;
    let publications = if is_recovered {
        page.publications
    } else {
        Vec::new()
    };
    Recovery {
        is_recovered,
        publications,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_protocol::command::FilterNode;
    use campanile_protocol::{Epoch, Tags};

    /// Odd offsets are tagged so.
    fn publication(offset: u64) -> Arc<Publication> {
        let tags = Tags::from([("odd".into(), "1".into())]);
        Arc::new(Publication {
            offset,
            data: b"1".as_slice().into(),
            info: None,
            tags: (offset % 2 == 1).then(|| Box::new(tags)),
        })
    }

    fn at(epoch: &str, offset: u64) -> Position {
        let epoch = Epoch::new(epoch);
        Position { epoch, offset }
    }

    fn page(offsets: impl IntoIterator<Item = u64>, top: u64) -> HistoryPage {
        HistoryPage {
            publications: offsets.into_iter().map(publication).collect(),
            top: at("e", top),
        }
    }

    fn odd() -> Option<Arc<TagsFilter>> {
        let node = FilterNode {
            key: "odd".into(),
            cmp: "ex".into(),
            ..FilterNode::default()
        };
        Some(Arc::new(TagsFilter::new(&node).expect("it makes sense")))
    }

    /// What came of an attempt: whether it is recovered, and the offsets that it brings.
    fn outcome(attempt: &Attempt, page: HistoryPage) -> (bool, Vec<u64>) {
        let recovery = attempt.judge(page);
        let offsets = recovery.publications.iter().map(|one| one.offset);
        (recovery.is_recovered, offsets.collect())
    }

    fn recovered(epoch: &str, offset: u64, page: HistoryPage) -> Option<usize> {
        let recovery = judge(at(epoch, offset), page);
        assert!(recovery.is_recovered || recovery.publications.is_empty());
        recovery.is_recovered.then_some(recovery.publications.len())
    }

    #[test]
    fn who_gets_everything_up_to_the_top_is_recovered() {
        assert_eq!(recovered("e", 2, page([3, 4], 4)), Some(2));
        assert_eq!(recovered("e", 4, page([], 4)), Some(0));
        assert_eq!(recovered("e", 0, page([], 0)), Some(0));
        assert_eq!(
            recovered("", 0, page([1], 1)),
            Some(1),
            "no epoch is as good as the right one"
        );
    }

    #[test]
    fn who_misses_anything_is_not() {
        assert_eq!(recovered("e", 2, page([4], 4)), None, "trimmed in front");
        assert_eq!(recovered("e", 2, page([3], 4)), None, "cut by a limit");
        assert_eq!(recovered("e", 2, page([3, 5], 5)), None, "a hole");
        assert_eq!(recovered("e", 2, page([], 4)), None, "expired");
        assert_eq!(recovered("e", 9, page([], 4)), None, "ahead of the stream");
        assert_eq!(recovered("x", 4, page([], 4)), None, "another epoch");
        assert_eq!(recovered("e", u64::MAX, page([], 4)), None);
    }

    #[test]
    fn what_a_filter_hides_is_not_missed() {
        let attempt = Attempt {
            from: at("e", 2),
            mode: RecoveryMode::Stream,
            filter: odd(),
        };
        assert_eq!(outcome(&attempt, page([3, 4, 5, 6], 6)), (true, vec![3, 5]));
        assert_eq!(outcome(&attempt, page([4, 5], 5)), (false, vec![]));
    }

    #[test]
    fn a_cache_brings_the_latest_to_who_does_not_have_it() {
        let attempt = |from| Attempt {
            from,
            mode: RecoveryMode::Cache,
            filter: None,
        };
        for from in [at("", 0), at("e", 0), at("e", 2), at("x", 6), at("e", 9)] {
            assert_eq!(
                outcome(&attempt(from), page([6], 6)),
                (true, vec![6]),
                "{from:?}"
            );
        }
        assert_eq!(outcome(&attempt(at("e", 6)), page([6], 6)), (true, vec![]));
    }

    #[test]
    fn a_cache_without_its_latest_serves_only_who_has_it() {
        let attempt = |from| Attempt {
            from,
            mode: RecoveryMode::Cache,
            filter: None,
        };
        assert_eq!(outcome(&attempt(at("e", 6)), page([], 6)), (true, vec![]));
        for from in [at("e", 5), at("x", 6), at("", 0)] {
            assert_eq!(outcome(&attempt(from), page([], 6)), (false, vec![]));
        }
        assert_eq!(
            outcome(&attempt(at("e", 0)), page([], 0)),
            (false, vec![]),
            "an empty cache is nothing to have"
        );
    }

    #[test]
    fn a_filtered_cache_brings_the_newest_that_passes() {
        let attempt = |from| Attempt {
            from,
            mode: RecoveryMode::Cache,
            filter: odd(),
        };
        let newest_first = || page([6, 5, 4, 3], 6);
        assert_eq!(
            outcome(&attempt(at("e", 2)), newest_first()),
            (false, vec![5]),
            "the top is hidden: whether it matters is not known"
        );
        assert_eq!(
            outcome(&attempt(at("e", 6)), newest_first()),
            (true, vec![])
        );
        assert_eq!(
            outcome(&attempt(at("e", 2)), page([7, 6], 7)),
            (true, vec![7])
        );
        assert_eq!(attempt(at("", 0)).query(300, 9).limit, 300);
    }
}
