//! What is counted of questions: how many, how long they took, how many failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds in seconds; proxies answer within one, unless configured otherwise.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Connect,
    Refresh,
    Subscribe,
    Publish,
    Rpc,
    SubRefresh,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
            Self::SubRefresh => "sub_refresh",
        }
    }
}

/// Counts of one kind of questions to one proxy.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Of answers, of failures, and of what nobody waited for any more.
    pub(crate) duration: Histogram,
    errors: AtomicU64,
    inflight: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            duration: Histogram::new(BUCKETS),
            errors: AtomicU64::new(0),
            inflight: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// A question is under way, until it has [ended](Self::ended).
    pub(crate) fn began(&self) {
        self.inflight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, took: Duration) {
        self.inflight.fetch_sub(1, Ordering::Relaxed);
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn inflight(&self) -> u64 {
        self.inflight.load(Ordering::Relaxed)
    }
}

/// The counts of all proxies, for whoever shows them.
#[derive(Clone, Debug, Default)]
pub struct ProxyMetrics {
    /// By kind and the proxy's name.
    meters: BTreeMap<(Kind, String), Arc<Meter>>,
}

impl ProxyMetrics {
    /// The meter of these labels, which is one for all who use them.
    pub(crate) fn meter(&mut self, kind: Kind, name: &str) -> Arc<Meter> {
        Arc::clone(self.meters.entry((kind, name.to_owned())).or_default())
    }

    /// Every meter with its labels, of which the protocol is always the same.
    pub(crate) fn meters(&self) -> impl Iterator<Item = ([(&'static str, &str); 3], &Meter)> {
        self.meters.iter().map(|((kind, name), meter)| {
            let labels = [("protocol", "http"), ("type", kind.name()), ("name", name)];
            (labels, &**meter)
        })
    }
}
