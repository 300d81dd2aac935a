//! How tokens are verified: keys that are keys, and rules that go together.

use regex::Regex;

use super::{Resolver, non_empty, pem};
use crate::config::raw;
use crate::config::resolved::{ClaimRule, HmacKeys, PreviousKey, TokenRules};
use crate::config::secret::Secret;
use crate::token::{JwksEndpoint, KeyError, VerifyingKey};

impl Resolver<'_> {
    pub(super) fn token(&mut self, path: &str, raw: raw::Token) -> TokenRules {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if !is_name(&raw.user_id_claim) {
            let reason = "expected letters and underscores only";
            self.invalid(&format!("{path}.user_id_claim"), reason);
        }
        let previous = raw.hmac_previous_secret_key.into_option();
        if raw.hmac_secret_key.is_empty() && previous.is_some() {
            let reason = format!("needs {path}.hmac_secret_key");
            self.invalid(&format!("{path}.hmac_previous_secret_key"), reason);
        }
        let until = raw.hmac_previous_secret_key_valid_until;
        let (rsa, ecdsa) = (&raw.rsa_public_key, &raw.ecdsa_public_key);
        let rsa = self.public_key(path, "rsa_public_key", rsa, VerifyingKey::rsa_from_pem);
        let ecdsa = self.public_key(
            path,
            "ecdsa_public_key",
            ecdsa,
            VerifyingKey::ecdsa_from_pem,
        );
        let audience = self.claim_rule(path, "audience", raw.audience, &raw.audience_regex);
        let issuer = self.claim_rule(path, "issuer", raw.issuer, &raw.issuer_regex);
        let claims = [audience.as_ref(), issuer.as_ref()];
        let jwks = self.endpoint(path, &raw.jwks_public_endpoint, claims);
        let rules = TokenRules {
            hmac: raw.hmac_secret_key.into_option().map(|current| HmacKeys {
                current,
                previous: previous.map(|key| PreviousKey {
                    key,
                    valid_until: (until > 0).then_some(until),
                }),
            }),
            rsa,
            ecdsa,
            jwks,
            audience,
            issuer,
            user_id_claim: non_empty(raw.user_id_claim),
        };
        self.only_published_keys(path, &rules);
        rules
    }

    fn claim_rule(
        &mut self,
        path: &str,
        claim: &str,
        exact: String,
        regex: &str,
    ) -> Option<ClaimRule> {
        if regex.is_empty() {
            return non_empty(exact).map(ClaimRule::Exact);
        }
        if !exact.is_empty() {
            let reason = format!("cannot be combined with {path}.{claim}");
            self.invalid(&format!("{path}.{claim}_regex"), reason);
        }
        // It compiles: the check tried.
        Regex::new(regex).ok().map(ClaimRule::Matches)
    }

    /// `None` for none, and for one that was reported.
    fn public_key(
        &mut self,
        path: &str,
        name: &str,
        given: &str,
        parse: fn(&[u8]) -> Result<VerifyingKey, KeyError>,
    ) -> Option<VerifyingKey> {
        if given.is_empty() {
            return None;
        }
        let path = format!("{path}.{name}");
        let source = pem::source(Secret::new(given));
        let pem = source.and_then(|source| source.read().map_err(|error| error.to_string()));
        let key = pem.and_then(|pem| parse(&pem).map_err(|error| error.to_string()));
        key.map_err(|reason| self.invalid(&path, reason)).ok()
    }

    /// Every place to fill in needs one regular expression that says what may stand there.
    fn endpoint(
        &mut self,
        path: &str,
        given: &str,
        claims: [Option<&ClaimRule>; 2],
    ) -> Option<JwksEndpoint> {
        if given.is_empty() {
            return None;
        }
        let path = format!("{path}.jwks_public_endpoint");
        let endpoint = JwksEndpoint::parse(given);
        let endpoint = endpoint.map_err(|error| self.invalid(&path, error.to_string()));
        let endpoint = endpoint.ok()?;
        for name in endpoint.groups() {
            let rules = claims.iter().flatten().flat_map(|rule| rule.groups());
            let reason = match rules.filter(|group| *group == name).count() {
                1 => continue,
                0 => "is no group of issuer_regex or audience_regex",
                _ => "is a group of both issuer_regex and audience_regex",
            };
            self.invalid(&path, format!("{name:?} {reason}"));
        }
        Some(endpoint)
    }

    /// Keys that stand beside an endpoint look as if they counted.
    fn only_published_keys(&mut self, path: &str, rules: &TokenRules) {
        let beside = [
            ("hmac_secret_key", rules.hmac.is_some()),
            ("rsa_public_key", rules.rsa.is_some()),
            ("ecdsa_public_key", rules.ecdsa.is_some()),
        ];
        for (name, _) in beside
            .iter()
            .filter(|(_, is_set)| *is_set && rules.jwks.is_some())
        {
            let reason = format!("has no effect beside {path}.jwks_public_endpoint");
            self.warn(&format!("{path}.{name}"), reason);
        }
    }
}
