//! `engine.redis`, as it stands in the file.

use std::time::Duration;

use serde::Deserialize;

use super::ProxyTls;
use crate::config::duration;
use crate::config::secret::Secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Redis {
    pub(in crate::config) address: String,
    pub(in crate::config) sentinel_address: Vec<String>,
    pub(in crate::config) sentinel_master_name: String,
    pub(in crate::config) sentinel_user: String,
    pub(in crate::config) sentinel_password: Secret,
    pub(in crate::config) sentinel_tls: ProxyTls,
    pub(in crate::config) cluster_address: Vec<String>,
    pub(in crate::config) user: String,
    pub(in crate::config) password: Secret,
    pub(in crate::config) tls: ProxyTls,
    pub(in crate::config) db: u32,
    pub(in crate::config) prefix: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) connect_timeout: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) io_timeout: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) probe_interval: Duration,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) presence_lease: Duration,
    pub(in crate::config) wait_replicas: u32,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(in crate::config) wait_timeout: Duration,
}
