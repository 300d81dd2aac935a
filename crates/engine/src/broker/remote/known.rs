//! What a node was told of one stream: enough to notice that its end was lost.
//!
//! Nobody can tell which of two generations came first. What each of them said is kept apart, and
//! forgotten only when the sequencer has answered with it in view: by then it is in the stream, or the
//! stream has begun again.

use super::link::{Generation, Sighting};

/// Generations of which something is remembered, beside the first. Several within one round trip are
/// rare; of one beyond these nothing is remembered but that the shards are to look.
const OTHERS_MAX: usize = 4;

/// See the [module](self). At most one of each generation, those first of which something was known
/// first: mostly the latest generation answers, and then one question settles all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    first: Option<Sighting>,
    /// Empty but for moments.
    others: Vec<Sighting>,
}

impl Known {
    /// What the sequencer is to be told with the next question.
    pub(super) const fn seen(&self) -> Option<Sighting> {
        self.first
    }

    /// Where the stream is, if there is nothing to be asked.
    pub(super) fn top(&self) -> Option<Sighting> {
        self.first.filter(|_| self.others.is_empty())
    }

    /// Takes notice of a publication; `true` when the shards have to look at the stream first.
    pub(super) fn hear(&mut self, new: Sighting) -> bool {
        if let Some(known) = self.of(new.generation) {
            if !is_behind(new, *known) {
                *known = new;
            }
            return false;
        }
        self.remember(new);
        self.others.len() == 1
    }

    /// Takes notice of what the sequencer answered who was told of `seen`; `true` when there is more
    /// to be asked.
    pub(super) fn learn(&mut self, seen: Option<Sighting>, new: Sighting) -> bool {
        let newest = match self.of(new.generation) {
            Some(known) if is_behind(new, *known) => *known,
            _ => new,
        };
        let is_open = |known: &Sighting| {
            known.generation != new.generation && seen.is_none_or(|seen| !is_behind(*known, seen))
        };
        let others = std::mem::take(&mut self.others);
        let all = self.first.take().into_iter().chain(others);
        for sighting in all.filter(is_open).chain([newest]) {
            self.remember(sighting);
        }
        !self.others.is_empty()
    }

    fn of(&mut self, generation: Generation) -> Option<&mut Sighting> {
        let all = self.first.iter_mut().chain(&mut self.others);
        all.into_iter().find(|it| it.generation == generation)
    }

    fn remember(&mut self, sighting: Sighting) {
        if self.first.is_none() {
            self.first = Some(sighting);
        } else if self.others.len() < OTHERS_MAX {
            self.others.push(sighting);
        }
    }
}

/// Whether `sighting` says nothing that `other` does not say as well.
fn is_behind(sighting: Sighting, other: Sighting) -> bool {
    sighting.generation == other.generation
        && sighting.position.epoch == other.position.epoch
        && sighting.position.offset <= other.position.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_protocol::{Epoch, Position};

    fn at(generation: u64, offset: u64) -> Sighting {
        let epoch = Epoch::new("e");
        Sighting {
            position: Position { epoch, offset },
            generation: Generation(generation),
        }
    }

    fn known(generation: u64, offset: u64) -> Known {
        let mut known = Known::default();
        assert!(!known.learn(None, at(generation, offset)));
        known
    }

    #[test]
    fn answers_that_come_late_take_nothing_back() {
        let mut known = known(1, 5);
        assert!(!known.learn(Some(at(1, 3)), at(1, 4)));
        assert!(!known.hear(at(1, 2)));
        assert_eq!(known.top(), Some(at(1, 5)));
    }

    #[test]
    fn what_was_not_in_view_when_another_generation_answered_is_asked_about() {
        let mut known = known(1, 3);
        assert!(!known.learn(None, at(1, 4)));
        assert!(
            known.learn(Some(at(1, 3)), at(2, 3)),
            "4 is not accounted for"
        );
        assert_eq!((known.seen(), known.top()), (Some(at(1, 4)), None));
        assert!(!known.learn(Some(at(1, 4)), at(2, 3)));
        assert_eq!(known.top(), Some(at(2, 3)));
    }

    #[test]
    fn what_others_say_is_asked_about_one_after_the_other() {
        let mut known = known(1, 1);
        assert!(known.hear(at(2, 5)));
        assert!(!known.hear(at(3, 2)), "they are looking already");
        assert!(!known.hear(at(2, 6)));
        assert!(known.learn(Some(at(1, 1)), at(4, 1)));
        assert_eq!(known.seen(), Some(at(2, 6)));
        assert!(known.learn(Some(at(2, 6)), at(4, 1)));
        assert_eq!(known.seen(), Some(at(3, 2)));
        assert!(!known.learn(Some(at(3, 2)), at(4, 1)));
        assert_eq!(known.top(), Some(at(4, 1)));
    }

    #[test]
    fn one_answer_of_the_generation_that_was_heard_settles_what_was_known_before() {
        let mut known = known(1, 5);
        assert!(known.hear(at(2, 7)));
        assert!(!known.learn(Some(at(1, 5)), at(2, 7)));
        assert_eq!(known.top(), Some(at(2, 7)));
    }

    #[test]
    fn no_more_than_some_generations_are_remembered() {
        let mut known = known(1, 1);
        for generation in 2..20 {
            known.hear(at(generation, 1));
        }
        assert_eq!(known.others.len(), OTHERS_MAX);
    }
}
