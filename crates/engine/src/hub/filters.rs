//! Filters of members, each kept once for all of the shard that have the same, and asked once for
//! each delivery: a popular channel has many members and few different wishes.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use campanile_protocol::Tags;

use crate::channel::TagsFilter;

/// All filters of a shard's members.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Clients choose the keys, hence the hash that they cannot foresee.
    shared: HashMap<Arc<TagsFilter>, Rc<SharedFilter>>,
    round: Cell<u64>,
}

/// A filter that members share.
#[derive(Debug)]
pub(super) struct SharedFilter {
    filter: Arc<TagsFilter>,
    /// What it said in the last round in which it was asked.
    verdict: Cell<(Round, bool)>,
}

/// One publication on its way to members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Round(u64);

impl Filters {
    /// The shared form of `filter`.
    pub(super) fn share(&mut self, filter: Arc<TagsFilter>) -> Rc<SharedFilter> {
        let shared = self.shared.entry(filter).or_insert_with_key(|filter| {
            Rc::new(SharedFilter {
                filter: Arc::clone(filter),
                verdict: Cell::new((Round(0), false)),
            })
        });
        Rc::clone(shared)
    }

    /// A member needs `filter` no more.
    pub(super) fn release(&mut self, filter: Rc<SharedFilter>) {
        let key = Arc::clone(&filter.filter);
        drop(filter);
        let is_last = |kept: &Rc<SharedFilter>| Rc::strong_count(kept) == 1;
        if self.shared.get(&key).is_some_and(is_last) {
            self.shared.remove(&key);
        }
    }

    /// Begins with the next publication.
    pub(super) fn next_round(&self) -> Round {
        self.round.set(self.round.get() + 1);
        Round(self.round.get())
    }
}

impl SharedFilter {
    /// Whether members with this filter want the publication of `round`, which has these tags.
    pub(super) fn accepts(&self, round: Round, tags: Option<&Tags>) -> bool {
        let (told_in, verdict) = self.verdict.get();
        if told_in == round {
            return verdict;
        }
        let verdict = self.filter.accepts(tags);
        self.verdict.set((round, verdict));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_protocol::command::FilterNode;

    fn filter(key: &str) -> Arc<TagsFilter> {
        let node = FilterNode {
            key: key.into(),
            cmp: "ex".into(),
            ..FilterNode::default()
        };
        Arc::new(TagsFilter::new(&node).unwrap())
    }

    #[test]
    fn equal_filters_are_one_and_are_forgotten_with_their_last_member() {
        let mut filters = Filters::default();
        let first = filters.share(filter("a"));
        let second = filters.share(filter("a"));
        let other = filters.share(filter("b"));
        assert!(Rc::ptr_eq(&first, &second) && !Rc::ptr_eq(&first, &other));
        filters.release(first);
        filters.release(other);
        assert_eq!(filters.shared.len(), 1);
        filters.release(second);
        assert!(filters.shared.is_empty());
    }

    #[test]
    fn a_verdict_holds_for_one_publication() {
        let mut filters = Filters::default();
        let shared = filters.share(filter("a"));
        let tags = Tags::from([("a".into(), String::new())]);
        for tags in [Some(&tags), None, Some(&tags)] {
            let round = filters.next_round();
            assert_eq!(shared.accepts(round, tags), tags.is_some());
            assert_eq!(
                shared.accepts(round, None),
                tags.is_some(),
                "not asked again"
            );
        }
    }
}
