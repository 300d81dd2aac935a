//! NATS: addresses that are some, one way to be let in, settings that have an effect.

use std::path::PathBuf;

use super::{Resolver, non_empty};
use crate::config::nats::{Nats, NatsAccess};
use crate::config::raw;

/// The longest prefix: it is in every subject and in the names of streams, of which servers make
/// directories.
const PREFIX_BYTES_MAX: usize = 64;

impl Resolver<'_> {
    pub(super) fn nats(&mut self, raw: raw::Nats) -> Nats {
        let place = self.place("engine.nats");
        let urls: Vec<String> = raw
            .url
            .split(',')
            .map(|url| url.trim().to_owned())
            .collect();
        for url in &urls {
            let host = ["nats://", "tls://"]
                .iter()
                .find_map(|scheme| url.strip_prefix(scheme));
            let reason = match host {
                Some(host) if host.contains('@') => {
                    "names and passwords have settings of their own"
                }
                Some(host) if !host.is_empty() && !host.contains(['/', ' ']) => continue,
                _ => "expected nats:// or tls://, a host and a port",
            };
            self.invalid_in(&place, "url", reason);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=PREFIX_BYTES_MAX).contains(&raw.prefix.len()) || !raw.prefix.bytes().all(is_plain)
        {
            let reason = format!("expected 1 to {PREFIX_BYTES_MAX} letters, digits, - and _");
            self.invalid_in(&place, "prefix", reason);
        }
        if ![1, 3, 5].contains(&raw.replicas) {
            self.invalid_in(&place, "replicas", "expected 1, 3 or 5");
        }
        for (name, timeout) in [
            ("dial_timeout", raw.dial_timeout),
            ("io_timeout", raw.io_timeout),
        ] {
            if timeout.is_zero() {
                self.invalid_in(&place, name, "must not be zero");
            }
        }
        if !raw.tls.server_name.is_empty() {
            let reason = "is not supported here: the name is the host of the URL";
            self.invalid_in(&place, "tls.server_name", reason);
        }
        if !raw.tls.enabled {
            self.unused_tls(&place, "tls", &raw.tls);
        }
        let tls = raw
            .tls
            .enabled
            .then(|| self.client_tls(&place, "tls", &raw.tls));
        Nats {
            urls,
            prefix: raw.prefix.clone(),
            replicas: raw.replicas,
            is_in_memory: raw.storage == "memory",
            tls,
            dial_timeout: raw.dial_timeout,
            io_timeout: raw.io_timeout,
            access: self.nats_access(raw),
        }
    }

    fn nats_access(&mut self, raw: raw::Nats) -> NatsAccess {
        let place = self.place("engine.nats");
        let has_password = !raw.password.is_empty();
        if raw.user.is_empty() && has_password {
            self.invalid_in(&place, "password", "needs user");
        }
        let user = non_empty(raw.user).map(|user| NatsAccess::Password(user, raw.password));
        let token = raw.token.into_option().map(NatsAccess::Token);
        let file = non_empty(raw.credentials_file);
        let file = file.map(|path| NatsAccess::CredentialsFile(PathBuf::from(path)));
        let mut all = [user, token, file].into_iter().flatten();
        let first = all.next().unwrap_or(NatsAccess::Anybody);
        if all.next().is_some() {
            let reason = "expected one of user, token and credentials_file";
            self.invalid_at(place.whole(), place.key.clone(), reason);
        }
        first
    }
}
