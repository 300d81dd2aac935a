//! The table about Redis.

use super::{Kind, Setting};

pub(super) const REDIS: &[Setting] = &[
    Setting::text(
        "address",
        "redis://127.0.0.1:6379",
        "The one server: redis:// or rediss:// (with TLS), host, port, and /database if not 0.",
    ),
    Setting::list(
        "sentinel_address",
        "Sentinels that know which server it is instead, as host:port.",
    ),
    Setting::text(
        "sentinel_master_name",
        "",
        "What the sentinels call the primary.",
    ),
    Setting::text("sentinel_user", "", "Name to be let in by at sentinels."),
    Setting::secret("sentinel_password", "Password for them."),
    Setting::list(
        "cluster_address",
        "Some servers of a Redis Cluster instead, as host:port.",
    ),
    Setting::text(
        "user",
        "",
        "Name to be let in by; empty for the default user.",
    ),
    Setting::secret("password", "Its password."),
    Setting::new("db", Kind::Count, "0", "Number of the database."),
    Setting::text(
        "prefix",
        "campanile",
        "What the names of all keys and channels begin with; then the database, if not 0. One for each system.",
    ),
    Setting::duration(
        "connect_timeout",
        "1s",
        "How long connecting to one server may take.",
    ),
    Setting::duration(
        "io_timeout",
        "4s",
        "How long an answer may take; after it, nobody knows whether a publication was stored.",
    ),
    Setting::duration(
        "probe_interval",
        "3s",
        "Between two messages to itself that prove that subscriptions work.",
    )
    .ours(),
    Setting::duration(
        "presence_lease",
        "10s",
        "How long sessions of a node that died may still be seen to be present; from 1s.",
    )
    .ours(),
    Setting::count(
        "wait_replicas",
        "0",
        "Replicas that must have what enters a history before it is acknowledged.",
    )
    .ours(),
    Setting::duration(
        "wait_timeout",
        "1s",
        "How long that may take; after it, nobody knows whether a failover would keep it.",
    )
    .ours(),
];
