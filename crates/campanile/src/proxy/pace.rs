//! How many questions one proxy is asked at a time: fewer when it does not answer in time.
//!
//! A backend that is asked more than it can do answers all of it late. Whoever asked has given up by
//! then and asks again, so that it works for nobody and everybody waits: after a node has died, for as
//! long as clients come back. So a question that is not answered in time halves how many there may be;
//! answers let them grow again. Knows no questions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// At the beginning: twice as many with each round of answers, until one does not come in time.
const FIRST: usize = 512;

/// However late it answers.
const LEAST: usize = 8;

/// See the [module](self).
pub(super) struct Pace {
    places: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// Places that there are no more, and that were taken when this was decided.
    excess: usize,
    /// Answers since the limit last grew.
    answers: usize,
    /// When an answer last did not come in time, if ever.
    late: Option<Instant>,
}

/// Leave to ask, until dropped.
pub(super) struct Place {
    pace: Arc<Pace>,
    /// `None` only while being dropped.
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
}

impl Pace {
    /// For a proxy that is asked no more than so many questions at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let limit = FIRST.min(most);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(limit)),
            most,
            state: Mutex::new(State {
                limit,
                excess: 0,
                answers: 0,
                late: None,
            }),
        })
    }

    /// Waits until one more question may be asked, in the order in which this is called.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        Place {
            pace: Arc::clone(self),
            permit: Some(permit.expect("never closed")),
            began: Instant::now(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The proxy has answered, whatever.
    pub(super) fn answered(&self) {
        let mut state = self.pace.state();
        state.answers += 1;
        // An eighth more with a round of answers, once it is known that there can be too many.
        let (round, more) = match state.late {
            None => (1, 1),
            Some(_) => (state.limit, 1 + state.limit / 8),
        };
        if state.answers < round {
            return;
        }
        state.answers = 0;
        let more = more.min(self.pace.most - state.limit);
        state.limit += more;
        let kept = more.min(state.excess);
        state.excess -= kept;
        self.pace.places.add_permits(more - kept);
    }

    /// It has not answered in time.
    pub(super) fn was_late(&self) {
        let mut state = self.pace.state();
        if state.late.is_some_and(|late| self.began <= late) {
            // One of those that were too many together, which is known already.
            return;
        }
        state.late = Some(Instant::now());
        state.answers = 0;
        let limit = (state.limit / 2).max(LEAST).min(state.limit);
        let fewer = state.limit - limit;
        state.limit = limit;
        state.excess += fewer - self.pace.places.forget_permits(fewer);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        if state.excess > 0 {
            state.excess -= 1;
            self.permit
                .take()
                .into_iter()
                .for_each(OwnedSemaphorePermit::forget);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn take(pace: &Arc<Pace>) -> Option<Place> {
        pace.take().now_or_never()
    }

    /// Takes all places that there are.
    fn all(pace: &Arc<Pace>) -> Vec<Place> {
        std::iter::from_fn(|| take(pace)).collect()
    }

    #[test]
    fn answers_in_time_let_questions_grow_to_the_most() {
        let pace = Pace::new(1000);
        let first = all(&pace);
        assert_eq!(first.len(), FIRST);
        first.iter().for_each(Place::answered);
        drop(first);
        let second = all(&pace);
        assert_eq!(second.len(), 1000);
        second.iter().for_each(Place::answered);
        drop(second);
        assert_eq!(all(&pace).len(), 1000);
    }

    #[test]
    fn a_herd_of_late_answers_halves_them_once() {
        let pace = Pace::new(100);
        let late = all(&pace);
        late.iter().for_each(Place::was_late);
        assert!(take(&pace).is_none());
        drop(late);
        let next = all(&pace);
        assert_eq!(next.len(), 50);
        next[0].was_late();
        drop(next);
        assert_eq!(all(&pace).len(), 25);
    }

    #[test]
    fn a_few_are_asked_however_late_the_answers_and_more_once_they_come() {
        let pace = Pace::new(100);
        for _ in 0..10 {
            let place = take(&pace).unwrap();
            place.was_late();
        }
        let mut places = all(&pace);
        assert_eq!(places.len(), LEAST);
        places.iter().for_each(Place::answered);
        places.extend(all(&pace));
        assert_eq!(places.len(), LEAST + 1 + LEAST / 8);
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let pace = Pace::new(4);
        let places = all(&pace);
        assert_eq!(places.len(), 4);
        for place in &places {
            place.answered();
            place.was_late();
        }
        drop(places);
        assert_eq!(all(&pace).len(), 4);
        assert_eq!(all(&Pace::new(0)).len(), 0);
    }
}
