//! The public keys of whoever signs tokens, fetched from where they are published.
//!
//! Owns which keys are known, how old they may be and when they are fetched again. It does not
//! know what is in tokens, and fetches for those only whose issuer has been found right.
//!
//! Keys are kept by the URL they came from and their id, so that two issuers with the same id never
//! meet. One fetch for a URL is under way at a time, and whoever needs it waits for it together.
//! Fetches are threads: they are rare, end within seconds, and must not hold up a worker or its end.

mod endpoint;
mod fetch;
mod set;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use campanile_engine::throttle::Throttle;
use tokio::sync::watch;
use ureq::Agent;

use super::key::VerifyingKey;
pub use endpoint::{EndpointError, JwksEndpoint};
use set::KeySet;

/// How old keys may be, and how they are fetched.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// Between two fetches from one URL, whatever asks for them. So often at most can strangers
    /// make us ask for an id that does not exist.
    interval: Duration,
    /// Keys this old are used, and fetched anew meanwhile.
    refresh: Duration,
    /// Keys this old are used only if they cannot be fetched now: a key that was removed is refused
    /// from then on, as long as the endpoint answers.
    wait: Duration,
    /// Keys this old are not used at all, even if the endpoint never answers again.
    end: Duration,
    /// For one fetch, from the resolution of the name to the last byte.
    timeout: Duration,
    /// URLs a second that were never asked before: an issuer that is right in form may still be
    /// made up.
    new_urls: u64,
}

const POLICY: Policy = Policy {
    interval: Duration::from_secs(5),
    refresh: Duration::from_mins(5),
    wait: Duration::from_mins(10),
    end: Duration::from_hours(1),
    // Half of what a client has to connect in.
    timeout: Duration::from_secs(5),
    new_urls: 20,
};

/// URLs whose keys are kept. There are several only if the endpoint has places to fill in.
const URLS_MAX: usize = 256;

/// Fetches under way at a time, each a thread.
const FETCHES_MAX: usize = 8;
/// Of these, for URLs that have had keys: the others may be made up, and slow on purpose.
const FETCHES_KEPT: usize = 2;

/// Failures to be told, all of them together.
static FAILURES: Throttle = Throttle::per_second(1);

/// Why there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoKey {
    /// There is none with this id: somebody looked since it was asked for.
    Unknown,
    /// Nobody can tell at the moment.
    Unavailable,
}

/// See the [module](self).
pub(super) struct Jwks {
    endpoint: JwksEndpoint,
    shared: Arc<Shared>,
}

/// What fetches have a part in.
struct Shared {
    agent: Agent,
    policy: Policy,
    new_urls: Throttle,
    places: Mutex<HashMap<String, Place>>,
}

/// What is known of one URL.
#[derive(Default)]
struct Place {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the latest fetch began, whatever came of it.
    asked: Option<Instant>,
    /// Ends with the fetch that is under way.
    flight: Option<watch::Receiver<()>>,
    used: Option<Instant>,
}

/// What to do about a key.
enum Finding {
    Found(Arc<KeySet>),
    /// A fetch will tell; and whether it began only now.
    Wait(watch::Receiver<()>, bool),
    Nothing,
}

impl Place {
    /// How long ago the latest fetch began.
    fn rest(&self, now: Instant) -> Duration {
        self.asked
            .map_or(Duration::MAX, |asked| now.saturating_duration_since(asked))
    }
}

impl Jwks {
    pub(super) fn new(endpoint: JwksEndpoint) -> Self {
        Self::with(endpoint, POLICY)
    }

    fn with(endpoint: JwksEndpoint, policy: Policy) -> Self {
        let shared = Shared {
            agent: fetch::agent(&endpoint, policy.timeout),
            policy,
            new_urls: Throttle::per_second(policy.new_urls),
            places: Mutex::default(),
        };
        Self {
            endpoint,
            shared: Arc::new(shared),
        }
    }

    pub(super) const fn endpoint(&self) -> &JwksEndpoint {
        &self.endpoint
    }

    /// The keys with this id at this URL, at least one.
    ///
    /// # Cancel safety
    /// A fetch that was begun goes on, for the others.
    pub(super) async fn find(&self, url: &str, id: &str) -> Result<Vec<VerifyingKey>, NoKey> {
        let asked = Instant::now();
        let (mut flight, is_new) = match self.shared.look(url, id, asked) {
            Finding::Found(keys) => return Ok(keys.get(id).to_vec()),
            Finding::Wait(flight, is_new) => (flight, is_new),
            Finding::Nothing => return Err(NoKey::Unavailable),
        };
        // Nothing is ever sent: the sender goes away when the fetch is over.
        while flight.changed().await.is_ok() {}
        let Some((keys, fetched)) = self.shared.keys(url) else {
            return Err(NoKey::Unavailable);
        };
        let found = keys.get(id);
        if !found.is_empty() && asked.saturating_duration_since(fetched) < self.shared.policy.end {
            Ok(found.to_vec())
        } else if is_new && fetched >= asked {
            Err(NoKey::Unknown)
        } else {
            // The fetch failed, or began before the token was there to be asked about.
            Err(NoKey::Unavailable)
        }
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self, url: &str) -> Option<(Arc<KeySet>, Instant)> {
        self.places().get(url)?.keys.clone()
    }

    fn look(self: &Arc<Self>, url: &str, id: &str, now: Instant) -> Finding {
        let mut places = self.places();
        let known = places.get_mut(url).and_then(|place| {
            place.used = Some(now);
            let (keys, fetched) = place.keys.as_ref()?;
            let age = now.saturating_duration_since(*fetched);
            (!keys.get(id).is_empty()).then(|| (Arc::clone(keys), age))
        });
        match known {
            Some((keys, age)) if age < self.policy.refresh => Finding::Found(keys),
            known => self.look_outside(&mut places, url, known, now),
        }
    }

    /// Joins the fetch that is under way or begins one, unless what is known will do without.
    fn look_outside(
        self: &Arc<Self>,
        places: &mut HashMap<String, Place>,
        url: &str,
        known: Option<(Arc<KeySet>, Duration)>,
        now: Instant,
    ) -> Finding {
        if !places.contains_key(url) && !self.make_room(places, now) {
            return Finding::Nothing;
        }
        let under_way = places.values().filter(|place| place.flight.is_some());
        let under_way = under_way.count();
        let place = places.entry(url.to_owned()).or_default();
        place.used = Some(now);
        let kept = if place.keys.is_some() {
            0
        } else {
            FETCHES_KEPT
        };
        let is_busy = under_way + kept >= FETCHES_MAX;
        let joined = place.flight.clone().map(|flight| (flight, false));
        let flight = joined.or_else(|| {
            let is_due = self.policy.interval <= place.rest(now);
            (is_due && !is_busy).then_some(())?;
            place.asked = Some(now);
            place.flight = self.take_off(url, now);
            place.flight.clone().map(|flight| (flight, true))
        });
        match (known, flight) {
            (Some((keys, age)), _) if age < self.policy.wait => Finding::Found(keys),
            (_, Some((flight, is_new))) => Finding::Wait(flight, is_new),
            (Some((keys, age)), None) if age < self.policy.end => Finding::Found(keys),
            (_, None) => Finding::Nothing,
        }
    }

    /// Whether one more URL may be asked. Those without keys make room first, and then whichever
    /// was not used for longest: an issuer that was made up cannot drive out one that is real.
    fn make_room(&self, places: &mut HashMap<String, Place>, now: Instant) -> bool {
        if self.new_urls.pass().is_none() {
            return false;
        }
        if places.len() < URLS_MAX {
            return true;
        }
        let is_idle =
            |place: &Place| place.flight.is_none() && self.policy.interval <= place.rest(now);
        let least = places
            .iter()
            .filter(|(_, place)| is_idle(place))
            .min_by_key(|(_, place)| (place.keys.is_some(), place.used))
            .map(|(url, _)| url.clone());
        least.is_some_and(|url| places.remove(&url).is_some())
    }

    /// Begins a fetch.
    fn take_off(self: &Arc<Self>, url: &str, now: Instant) -> Option<watch::Receiver<()>> {
        let (landed, flight) = watch::channel(());
        let (shared, url) = (Arc::clone(self), url.to_owned());
        let fetching = move || {
            let landing = Landing {
                shared,
                url,
                _landed: landed,
            };
            let fetched = fetch::fetch(&landing.shared.agent, &landing.url);
            landing.bring(fetched, now);
        };
        thread::Builder::new()
            .name("jwks".into())
            .spawn(fetching)
            .inspect_err(|error| tracing::warn!(%error, "no thread to fetch keys in"))
            .ok()
            .map(|_| flight)
    }
}

/// The end of a fetch, which comes whatever happens: nobody may wait for ever.
struct Landing {
    shared: Arc<Shared>,
    url: String,
    /// Dropped last, when everything is in its place.
    _landed: watch::Sender<()>,
}

impl Landing {
    fn bring(&self, fetched: Result<KeySet, fetch::FetchError>, begun: Instant) {
        let url = endpoint::without_query(&self.url);
        match fetched {
            Ok(keys) => {
                tracing::debug!(url, keys = keys.len(), "keys were fetched");
                if let Some(place) = self.shared.places().get_mut(&self.url) {
                    place.keys = Some((Arc::new(keys), begun));
                }
            }
            Err(error) => {
                if let Some(unsaid) = FAILURES.pass() {
                    tracing::warn!(url, %error, unsaid, "keys cannot be fetched");
                }
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(place) = self.shared.places().get_mut(&self.url) {
            place.flight = None;
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
