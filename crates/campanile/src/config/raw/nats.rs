//! `engine.nats`, as it stands in the file.

use std::time::Duration;

use serde::Deserialize;

use super::ProxyTls;
use crate::config::duration;
use crate::config::secret::Secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Nats {
    pub(in crate::config) url: String,
    pub(in crate::config) prefix: String,
    pub(in crate::config) replicas: usize,
    pub(in crate::config) storage: String,
    pub(in crate::config) user: String,
    pub(in crate::config) password: Secret,
    pub(in crate::config) token: Secret,
    pub(in crate::config) credentials_file: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) dial_timeout: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) io_timeout: Duration,
    pub(in crate::config) tls: ProxyTls,
}
