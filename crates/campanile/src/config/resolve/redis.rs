//! Redis: addresses that are some, one kind of servers, settings that have an effect.

use std::time::Duration;

use super::{Place, Resolver};
use crate::config::raw;
use crate::config::redis::{Redis, RedisAccess, RedisServers};
use crate::config::secret::Secret;

/// The longest prefix: it is in every name.
const PREFIX_BYTES_MAX: usize = 64;

const REDIS: &str = "engine.redis";

/// The port where the address has none.
const PORT: &str = "6379";

/// The one server's address, read.
struct Read {
    address: String,
    is_tls: bool,
    db: Option<u32>,
}

/// Below this a node that is merely busy would be taken for dead.
const PRESENCE_LEASE_MIN: Duration = Duration::from_secs(1);

impl Resolver<'_> {
    pub(super) fn redis(&mut self, raw: raw::Redis) -> Redis {
        let place = self.place(REDIS);
        self.bounds(&place, &raw);
        let read = read_address(&raw.address).unwrap_or_else(|reason| {
            self.invalid_in(&place, "address", reason);
            Read {
                address: raw.address.clone(),
                is_tls: false,
                db: None,
            }
        });
        if read.db.is_some_and(|db| raw.db != 0 && raw.db != db) {
            self.invalid_in(&place, "db", "address names another database");
        }
        let is_single = raw.sentinel_address.is_empty() && raw.cluster_address.is_empty();
        let mut access = self.access(&place, "tls", (raw.user, raw.password), &raw.tls);
        if read.is_tls && access.tls.is_none() {
            if !is_single {
                // Or passwords would go out unencrypted although somebody asked for TLS.
                let reason = "speaks TLS with one server only: here set engine.redis.tls.enabled";
                self.invalid_in(&place, "address", reason);
            }
            access.tls = Some(crate::config::proxies::ProxyTls::default());
        }
        let (sentinels, cluster) = (raw.sentinel_address, raw.cluster_address);
        self.addresses(&place, "sentinel_address", &sentinels);
        self.addresses(&place, "cluster_address", &cluster);
        if !cluster.is_empty() && raw.db != 0 {
            self.invalid_in(&place, "db", "a cluster has database 0 alone");
        }
        let db = if is_single {
            read.db.unwrap_or(raw.db)
        } else {
            raw.db
        };
        let sentinel_access = (raw.sentinel_user, raw.sentinel_password);
        let sentinel_access =
            self.access(&place, "sentinel_tls", sentinel_access, &raw.sentinel_tls);
        let servers = match (sentinels.is_empty(), cluster.is_empty()) {
            (true, true) => RedisServers::Single(read.address),
            (true, false) => RedisServers::Cluster(cluster),
            (false, is_alone) => {
                if !is_alone {
                    let reason = "expected sentinels or a cluster, not both";
                    self.invalid_in(&place, "cluster_address", reason);
                }
                if raw.sentinel_master_name.is_empty() {
                    self.invalid_in(&place, "sentinel_master_name", "must not be empty");
                }
                RedisServers::Sentinel {
                    addresses: sentinels,
                    master_name: raw.sentinel_master_name,
                    access: sentinel_access,
                }
            }
        };
        Redis {
            servers,
            access,
            db,
            prefix: raw.prefix,
            connect_timeout: raw.connect_timeout,
            io_timeout: raw.io_timeout,
            probe_interval: raw.probe_interval,
            presence_lease: raw.presence_lease,
            wait_replicas: raw.wait_replicas,
            wait_timeout: raw.wait_timeout,
        }
    }

    fn bounds(&mut self, place: &Place<'_>, raw: &raw::Redis) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"{}%".contains(&byte);
        let prefix = raw.prefix.as_bytes();
        if !(1..=PREFIX_BYTES_MAX).contains(&prefix.len()) || !prefix.iter().copied().all(is_plain)
        {
            let reason =
                format!("expected 1 to {PREFIX_BYTES_MAX} visible ASCII characters but {{, }}, %");
            self.invalid_in(place, "prefix", reason);
        }
        for (name, time) in [
            ("connect_timeout", raw.connect_timeout),
            ("io_timeout", raw.io_timeout),
            ("probe_interval", raw.probe_interval),
            ("wait_timeout", raw.wait_timeout),
        ] {
            if time.is_zero() {
                self.invalid_in(place, name, "must not be zero");
            }
        }
        if raw.presence_lease < PRESENCE_LEASE_MIN {
            self.invalid_in(place, "presence_lease", "expected 1s or more");
        }
    }

    fn addresses(&mut self, place: &Place<'_>, name: &str, all: &[String]) {
        for address in all {
            if address.contains('@') {
                // It would stand in logs, as here.
                let reason = "names and passwords have settings of their own";
                self.invalid_in(place, name, reason);
            } else if !is_address(address) {
                let reason = format!("{address:?} is no host:port");
                self.invalid_in(place, name, reason);
            }
        }
    }

    fn access(
        &mut self,
        place: &Place<'_>,
        tls_at: &str,
        (user, password): (String, Secret),
        tls: &raw::ProxyTls,
    ) -> RedisAccess {
        if !tls.enabled {
            self.unused_tls(place, tls_at, tls);
        }
        RedisAccess {
            user,
            password,
            tls: tls.enabled.then(|| self.client_tls(place, tls_at, tls)),
        }
    }
}

/// Reads `redis://host:port/db`, `rediss://…`, or what stands behind that alone.
fn read_address(text: &str) -> Result<Read, &'static str> {
    let (is_tls, rest) = match text.split_once("://") {
        None => (false, text),
        Some(("redis" | "tcp", rest)) => (false, rest),
        Some(("rediss" | "tls", rest)) => (true, rest),
        Some(("redis+sentinel" | "rediss+sentinel", _)) => {
            return Err("sentinels have a setting of their own, sentinel_address");
        }
        Some(("redis+cluster" | "rediss+cluster", _)) => {
            return Err("a cluster has a setting of its own, cluster_address");
        }
        Some(_) => return Err("expected redis:// or rediss://, a host and a port"),
    };
    if rest.contains('@') {
        // It would stand in logs.
        return Err("must not have a user or a password, which have settings of their own");
    }
    if rest.contains('?') {
        return Err("must not have options, which are settings of their own");
    }
    let (host, db) = match rest.split_once('/') {
        None | Some((_, "")) => (rest.trim_end_matches('/'), None),
        Some((host, db)) => {
            let db = db
                .parse()
                .map_err(|_| "expected a number for the database")?;
            (host, Some(db))
        }
    };
    let address = if is_address(host) {
        host.to_owned()
    } else {
        format!("{host}:{PORT}")
    };
    if !is_address(&address) {
        return Err("expected a host, a colon and a port");
    }
    Ok(Read {
        address,
        is_tls,
        db,
    })
}

/// Whether this is `host:port`.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@', ' ', ',']);
    // What has more colons is an IPv6 address, which has brackets before a port.
    let is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    is_host && is_whole && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_their_notations() {
        for (text, address, is_tls, db) in [
            ("redis://127.0.0.1:6379", "127.0.0.1:6379", false, None),
            ("localhost:7000", "localhost:7000", false, None),
            ("redis://cache", "cache:6379", false, None),
            ("rediss://cache:6380/3", "cache:6380", true, Some(3)),
            ("redis://[::1]:7000/", "[::1]:7000", false, None),
        ] {
            let read = read_address(text).unwrap();
            assert_eq!(
                (&*read.address, read.is_tls, read.db),
                (address, is_tls, db)
            );
        }
        for text in [
            "",
            "redis://",
            "http://cache:6379",
            "redis://:secret@cache:6379",
            "redis://cache:6379?db=1",
            "redis://cache/x",
            "redis+cluster://cache:7000",
            "::1:6379",
        ] {
            assert!(read_address(text).is_err(), "{text}");
        }
    }
}
