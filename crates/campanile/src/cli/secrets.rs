//! Secrets that a server started by hand cannot do without.

use std::fmt;

use crate::config::Config;

/// Which, and how to make them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MissingSecrets(Vec<(&'static str, &'static str)>);

impl fmt::Display for MissingSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has secrets to fill in:")?;
        for (key, alternative) in &self.0 {
            let variable = key.replace('.', "_").to_uppercase();
            writeln!(
                f,
                "  {key}  (or CAMPANILE_{variable}, or CAMPANILE_{variable}_FILE)"
            )?;
            writeln!(f, "      {alternative}")?;
        }
        writeln!(f, "a good secret is made by:  openssl rand -hex 32")?;
        write!(
            f,
            "to try the server without any of this:  campanile serve --dev"
        )
    }
}

/// Refuses to start a server that could only refuse everyone.
pub(super) fn require(config: &Config) -> Result<(), MissingSecrets> {
    let mut missing = Vec::new();
    if !config.lets_clients_in() {
        missing.push((
            "client.token.hmac_secret_key",
            "signs the tokens of clients; not needed with a public key, with \
             client.token.jwks_public_endpoint, with client.proxy.connect or with \
             client.allow_anonymous_connect_without_token",
        ));
    }
    let api = &config.http_api;
    if api.key.is_empty() && !api.insecure && !api.disabled {
        missing.push((
            "http_api.key",
            "lets your backend in; not needed with http_api.disabled",
        ));
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(MissingSecrets(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn where_a_service_decides_who_connects_no_key_of_tokens_is_needed() {
        let config = |enabled: &str| {
            let variables = [
                ("CAMPANILE_HTTP_API_KEY", "k"),
                ("CAMPANILE_CLIENT_PROXY_CONNECT_ENABLED", enabled),
                ("CAMPANILE_CLIENT_PROXY_CONNECT_ENDPOINT", "http://a"),
            ];
            let sources = Sources {
                environment: variables.map(|(n, v)| (n.into(), v.into())).into(),
                ..Sources::default()
            };
            load(&sources).unwrap().config
        };
        assert!(require(&config("true")).is_ok());
        assert!(require(&config("false")).is_err());
    }
}
