//! Whether a subscriber that was away can be made whole: section 8.3 of the client protocol.
//!
//! Pure: judges a page of history against the position from which it was asked for.

use std::sync::Arc;

use campanile_protocol::{Position, Publication};

use crate::broker::HistoryPage;

/// What came of an attempt to recover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Whether nothing is missing.
    pub is_recovered: bool,
    /// What was missed, by ascending offsets; empty when not recovered.
    pub publications: Vec<Arc<Publication>>,
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
    use campanile_protocol::Epoch;

    fn page(offsets: impl IntoIterator<Item = u64>, top: u64) -> HistoryPage {
        let publication = |offset| {
            let data = b"1".as_slice().into();
            Arc::new(Publication {
                offset,
                data,
                info: None,
                tags: None,
            })
        };
        HistoryPage {
            publications: offsets.into_iter().map(publication).collect(),
            top: Position {
                epoch: Epoch::new("e"),
                offset: top,
            },
        }
    }

    fn recovered(epoch: &str, offset: u64, page: HistoryPage) -> Option<usize> {
        let recovery = judge(
            Position {
                epoch: Epoch::new(epoch),
                offset,
            },
            page,
        );
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
}
