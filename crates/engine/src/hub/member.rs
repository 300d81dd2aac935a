//! A session that is in a channel, and what it is told of.

use std::rc::Rc;

use super::filters::{Round, SharedFilter};
use crate::delivery::Event;
use crate::session::Deltas;

/// See the [module](self). Multiplied by every subscription of the shard.
#[derive(Debug)]
pub(super) struct Member {
    /// The offset up to which it needs nothing from here. With [`Deltas::Ready`] the client was told
    /// of the publication with this offset, and of no other since.
    pub(super) told_up_to: u64,
    pub(super) is_positioned: bool,
    pub(super) wants_attendance: bool,
    /// Off where there is a filter: a difference needs what came before.
    pub(super) deltas: Deltas,
    pub(super) filter: Option<Rc<SharedFilter>>,
}

const _: () = assert!(
    size_of::<Member>() == 24,
    "the flags lie in what alignment leaves over"
);

/// The form in which a member is told of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Telling {
    /// As it is.
    Plain,
    /// As it is, to a client that takes deltas.
    Whole,
    /// As the difference from the event's previous publication, which the client has.
    Delta,
}

impl Member {
    /// Whether the member is to be told of `event` in its `round`, and in which form; it then has
    /// been.
    pub(super) fn hear(&mut self, event: &Event, round: Round) -> Option<Telling> {
        let (publication, previous) = match event {
            Event::Publication {
                publication,
                previous,
                ..
            } => (publication, previous),
            Event::Join(_) | Event::Leave(_) => {
                return self.wants_attendance.then_some(Telling::Plain);
            }
            Event::Lapse => return None,
        };
        let offset = publication.offset;
        if offset != 0 && offset <= self.told_up_to {
            return None;
        }
        let tags = publication.tags.as_deref();
        let wants = |filter: &Rc<SharedFilter>| filter.accepts(round, tags);
        if !self.filter.as_ref().is_none_or(wants) {
            return None;
        }
        if self.deltas == Deltas::Off {
            return Some(Telling::Plain);
        }
        if offset == 0 {
            // Clients apply a difference to what they were told last, wherever that came from.
            self.deltas = Deltas::AfterWhole;
            return Some(Telling::Whole);
        }
        let has_previous = self.deltas == Deltas::Ready && offset - 1 == self.told_up_to;
        self.told_up_to = offset;
        self.deltas = Deltas::Ready;
        Some(if has_previous && previous.is_some() {
            Telling::Delta
        } else {
            Telling::Whole
        })
    }

    /// Nothing is known any more of where the member stands.
    pub(super) fn lose_place(&mut self) {
        self.told_up_to = 0;
        if self.deltas == Deltas::Ready {
            self.deltas = Deltas::AfterWhole;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::filters::Filters;
    use campanile_protocol::{Epoch, Publication};
    use std::sync::Arc;

    fn publication(offset: u64) -> Arc<Publication> {
        Arc::new(Publication {
            offset,
            data: b"1".as_slice().into(),
            info: None,
            tags: None,
        })
    }

    fn event(offset: u64, has_previous: bool) -> Event {
        Event::Publication {
            publication: publication(offset),
            epoch: Epoch::new("e"),
            previous: has_previous.then(|| publication(offset - 1)),
        }
    }

    fn member(told_up_to: u64, deltas: Deltas) -> Member {
        Member {
            told_up_to,
            is_positioned: false,
            wants_attendance: false,
            deltas,
            filter: None,
        }
    }

    #[test]
    fn a_difference_is_told_only_to_who_was_told_of_the_publication_before_and_nothing_since() {
        use Telling::{Delta, Whole};
        for (deltas, offsets, expected) in [
            (
                Deltas::AfterWhole,
                &[6, 7, 8][..],
                &[Whole, Delta, Delta][..],
            ),
            (Deltas::Ready, &[6, 7], &[Delta, Delta]),
            (Deltas::Ready, &[7, 8], &[Whole, Delta]),
            (Deltas::Ready, &[6, 0, 7, 8], &[Delta, Whole, Whole, Delta]),
            (Deltas::Ready, &[0, 6], &[Whole, Whole]),
        ] {
            let mut member = member(5, deltas);
            let told: Vec<_> = offsets
                .iter()
                .filter_map(|offset| {
                    member.hear(
                        &event(*offset, *offset != 0),
                        Filters::default().next_round(),
                    )
                })
                .collect();
            assert_eq!(told, expected, "{deltas:?} {offsets:?}");
        }
    }

    #[test]
    fn without_the_previous_publication_the_whole_one_is_told() {
        let mut member = member(5, Deltas::Ready);
        assert_eq!(
            member.hear(&event(6, false), Filters::default().next_round()),
            Some(Telling::Whole)
        );
        assert_eq!(
            member.hear(&event(7, true), Filters::default().next_round()),
            Some(Telling::Delta)
        );
    }

    #[test]
    fn who_lost_its_place_is_told_of_a_whole_one() {
        for deltas in [Deltas::Ready, Deltas::AfterWhole, Deltas::Off] {
            let mut member = member(5, deltas);
            member.lose_place();
            let is_off = deltas == Deltas::Off;
            let expected = if is_off {
                Telling::Plain
            } else {
                Telling::Whole
            };
            assert_eq!(
                member.hear(&event(1, true), Filters::default().next_round()),
                Some(expected)
            );
        }
    }

    #[test]
    fn who_takes_no_deltas_is_told_everything_as_it_is() {
        let mut member = member(5, Deltas::Off);
        for offset in [0, 6, 7] {
            let told = member.hear(&event(offset, offset == 7), Filters::default().next_round());
            assert_eq!(told, Some(Telling::Plain));
        }
        assert_eq!(
            member.hear(&event(5, true), Filters::default().next_round()),
            None,
            "it has had that"
        );
    }
}
