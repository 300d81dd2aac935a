//! How a server ends.

use std::time::Duration;

use serde::Deserialize;

use super::duration;

/// `shutdown`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long others are waited for after SIGTERM, all in all; then the data is closed.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// How long clients are still let in after that, while `/ready` is red already; with `drain` at
    /// most `timeout`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub delay: Duration,
    /// Window over which connections are closed evenly; at most `timeout`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub drain: Duration,
    /// Whether `drain` was set to something else than its default.
    #[serde(skip)]
    pub is_drain_chosen: bool,
}

impl Shutdown {
    /// `drain`, unless it is set.
    pub(super) const DRAIN_BY_DEFAULT: Duration = Duration::from_secs(5);
}
