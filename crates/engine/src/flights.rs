//! One errand for all who want the same at the same time.
//!
//! After a node has died thousands of clients ask for the same history within a second. [`Flights`]
//! lets one question go out for those who wait behind it, and gives all of them its answer.
//!
//! Nobody gets an answer to a question that was asked before his own: who comes while a flight is in
//! the air takes the next one. A subscriber reads history after it has begun to listen, and an answer
//! from before that could lack what was published in between. So there are two questions for a herd of
//! any size, not one, and nothing is remembered once it is answered: neither answers nor failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// The flights of each key: at most one in the air, and one that boards. There is an entry for as
/// long as somebody waits for it, so that callers bound them.
#[derive(Debug)]
pub struct Flights<K, V>(Mutex<HashMap<K, Airport<V>>>);

#[derive(Debug)]
struct Airport<V> {
    /// Held by the flight in the air. Everybody who waits has a clone.
    runway: Runway,
    /// Which those who come now take; `None` when it has just departed.
    boarding: Option<Flight<V>>,
}

type Runway = Arc<tokio::sync::Mutex<()>>;

type Flight<V> = Arc<OnceCell<V>>;

/// Somebody who waits; takes the airport away if nobody else does.
#[derive(Debug)]
struct Passenger<'a, K: Eq + Hash, V> {
    flights: &'a Flights<K, V>,
    key: K,
    /// `None` only while being dropped.
    runway: Option<Runway>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// What the future from `make` gives, which is first polled after this is, and shared by all who
    /// ask for the same key before that. Only one of the futures of a key is under way at a time.
    ///
    /// # Cancel safety
    /// May be dropped; if the future under way was this caller's, another of those who wait for it
    /// begins with its own.
    pub async fn fly<F>(&self, key: K, make: impl FnOnce() -> F) -> V
    where
        F: Future<Output = V>,
    {
        let (runway, flight) = self.board(&key);
        let passenger = Passenger {
            flights: self,
            key,
            runway: Some(Arc::clone(&runway)),
        };
        let value = flight.get_or_init(|| async {
            let _cleared = runway.lock_owned().await;
            self.depart(&passenger.key, &flight);
            make().await
        });
        value.await.clone()
    }

    fn board(&self, key: &K) -> (Runway, Flight<V>) {
        let mut airports = self.lock();
        let airport = airports.entry(key.clone()).or_insert_with(|| Airport {
            runway: Runway::default(),
            boarding: None,
        });
        let flight = airport.boarding.get_or_insert_with(Flight::default);
        (Arc::clone(&airport.runway), Arc::clone(flight))
    }

    /// Nobody comes aboard any more. When another pilot takes over after departure, those who came
    /// since have a flight of their own, which is left alone.
    fn depart(&self, key: &K, flight: &Flight<V>) {
        if let Some(airport) = self.lock().get_mut(key) {
            airport
                .boarding
                .take_if(|boarding| Arc::ptr_eq(boarding, flight));
        }
    }
}

impl<K, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Airport<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Drop for Passenger<'_, K, V> {
    fn drop(&mut self) {
        let mut airports = self.flights.lock();
        drop(self.runway.take());
        let is_empty = |airport: &Airport<V>| Arc::strong_count(&airport.runway) == 1;
        if airports.get(&self.key).is_some_and(is_empty) {
            airports.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::{Pin, pin};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    /// Counts how often it was asked, and answers what it is told to.
    #[derive(Default)]
    struct Source {
        asked: Cell<u32>,
        answers: std::cell::RefCell<Vec<oneshot::Sender<u32>>>,
    }

    impl Source {
        fn ask(&self) -> impl Future<Output = u32> + use<> {
            self.asked.set(self.asked.get() + 1);
            let (answer, answered) = oneshot::channel();
            self.answers.borrow_mut().push(answer);
            async { answered.await.unwrap() }
        }

        fn answer(&self, value: u32) {
            self.answers.borrow_mut().remove(0).send(value).unwrap();
        }
    }

    type Waiting<'a> = Pin<Box<dyn Future<Output = u32> + 'a>>;

    fn waiting<'a>(flights: &'a Flights<&'static str, u32>, source: &'a Source) -> Waiting<'a> {
        let mut waiting: Waiting<'a> = Box::pin(flights.fly("c", || source.ask()));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        waiting
    }

    #[test]
    fn who_asks_alone_is_answered_and_nothing_is_remembered() {
        let flights = Flights::default();
        for answer in 1..4 {
            let flight = flights.fly("c", || std::future::ready(answer));
            assert_eq!(flight.now_or_never(), Some(answer));
            assert!(flights.lock().is_empty());
        }
    }

    #[test]
    fn a_herd_asks_twice_and_nobody_gets_an_answer_from_before_his_question() {
        let (flights, source) = (Flights::default(), Source::default());
        let mut first = waiting(&flights, &source);
        let mut herd: Vec<_> = (0..1000).map(|_| waiting(&flights, &source)).collect();
        assert_eq!(source.asked.get(), 1);
        source.answer(7);
        assert_eq!(first.as_mut().now_or_never(), Some(7));
        for waiting in &mut herd {
            assert_eq!(waiting.as_mut().now_or_never(), None);
        }
        assert_eq!(source.asked.get(), 2, "the whole herd asks once");
        source.answer(8);
        for waiting in herd {
            assert_eq!(waiting.now_or_never(), Some(8));
        }
        assert_eq!(source.asked.get(), 2);
        drop(first);
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn others_take_over_from_who_no_longer_waits() {
        let (flights, source) = (Flights::default(), Source::default());
        let first = waiting(&flights, &source);
        let second = waiting(&flights, &source);
        let mut third = waiting(&flights, &source);
        // In the air, and at the head of those who board.
        drop(first);
        drop(second);
        source.answers.borrow_mut().clear();
        assert_eq!(third.as_mut().now_or_never(), None);
        assert_eq!(source.asked.get(), 2);
        source.answer(9);
        assert_eq!(third.now_or_never(), Some(9));
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn a_pilot_who_is_replaced_in_the_air_leaves_the_next_flight_alone() {
        let (flights, source) = (Flights::default(), Source::default());
        let earlier = waiting(&flights, &source);
        let mut pilot = waiting(&flights, &source);
        let mut passenger = waiting(&flights, &source);
        source.answer(1);
        assert_eq!(earlier.now_or_never(), Some(1));
        assert_eq!(pilot.as_mut().now_or_never(), None);
        let mut next = waiting(&flights, &source);
        drop(pilot);
        source.answers.borrow_mut().clear();
        let latest = waiting(&flights, &source);
        // First come, first served: the passenger begins anew behind the flight that waits.
        assert_eq!(passenger.as_mut().now_or_never(), None);
        assert_eq!(next.as_mut().now_or_never(), None);
        assert_eq!(source.asked.get(), 3);
        source.answer(2);
        assert_eq!(next.now_or_never(), Some(2));
        assert_eq!(latest.now_or_never(), Some(2));
        assert_eq!(passenger.as_mut().now_or_never(), None);
        assert_eq!(source.asked.get(), 4);
        source.answer(3);
        assert_eq!(passenger.now_or_never(), Some(3));
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn keys_do_not_wait_for_each_other() {
        let (flights, source) = (Flights::default(), Source::default());
        let _blocked = waiting(&flights, &source);
        let other = pin!(flights.fly("d", || std::future::ready(1)));
        assert_eq!(other.now_or_never(), Some(1));
        assert_eq!(flights.lock().len(), 1);
    }
}
