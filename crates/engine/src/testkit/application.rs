//! An application that leaves everything to the configuration, but takes its time for that.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{ClientId, Disconnect};

use super::Random;
use super::broker::Hesitation;
use crate::application::{Application, Arrival, Caller, Decision, Interests, Revision, Verdict};
use crate::authority::{Credentials, Grant};
use crate::broker::BoxFuture;

/// Wants to know everything but what runs out, and hesitates every time for a random number of
/// polls. It remembers whether sessions come and leave once each, in this order.
pub struct StubApplication {
    random: Random,
    polls_max: usize,
    here: Mutex<HashSet<ClientId>>,
    is_confused: AtomicBool,
}

impl StubApplication {
    /// One that hesitates for at most so many polls.
    #[must_use]
    pub fn new(seed: u64, polls_max: usize) -> Self {
        Self {
            random: Random::new(seed),
            polls_max,
            here: Mutex::default(),
            is_confused: AtomicBool::new(false),
        }
    }

    /// How many sessions have come and not left, as far as it was told.
    ///
    /// # Panics
    /// One came twice, or left without having come.
    #[must_use]
    pub fn session_count(&self) -> usize {
        assert!(!self.is_confused.load(Relaxed), "once each, in this order");
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.len()
    }

    fn has_come(&self, client: ClientId) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_confused.fetch_or(!here.insert(client), Relaxed);
    }

    async fn hesitation(&self) {
        Hesitation(self.random.below(self.polls_max + 1)).await;
    }

    fn shrug<T: Send>(&self) -> BoxFuture<'_, Decision<T>> {
        Box::pin(async {
            self.hesitation().await;
            Ok(Verdict::AsConfigured)
        })
    }
}

impl Application for StubApplication {
    fn interests(&self) -> Interests {
        Interests::ALL.without(Interests::REFRESH | Interests::SUB_REFRESH)
    }

    fn connecting<'a>(&'a self, _: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        self.shrug()
    }

    fn connected<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, ()> {
        Box::pin(async {
            // At once: when the session ends, there is no other time.
            self.has_come(caller.client);
            self.hesitation().await;
        })
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        self.shrug()
    }

    fn publish<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        _: &'a str,
        _: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        self.shrug()
    }

    fn presence<'a>(&'a self, _: &'a Arc<Caller>, _: &'a str) -> BoxFuture<'a, Decision<()>> {
        self.shrug()
    }

    fn history<'a>(&'a self, _: &'a Arc<Caller>, _: &'a str) -> BoxFuture<'a, Decision<()>> {
        self.shrug()
    }

    fn disconnected<'a>(&'a self, caller: &'a Arc<Caller>, _: &'a Disconnect) -> BoxFuture<'a, ()> {
        Box::pin(async {
            self.hesitation().await;
            let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
            self.is_confused
                .fetch_or(!here.remove(&caller.client), Relaxed);
        })
    }
}
