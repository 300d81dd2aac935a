//! Which web pages may connect: section 1.3 of the client protocol.

use std::sync::Arc;

use arc_swap::ArcSwap;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The allowed values of the `Origin` header. Clones change with it.
#[derive(Clone, Debug)]
pub struct Origins(Arc<ArcSwap<Allowed>>);

#[derive(Debug)]
struct Allowed {
    patterns: GlobSet,
    own: bool,
}

/// In place of a pattern: pages of the host and port that the request itself is for. Not a part of
/// the protocol's section, and no origin that a browser could send. It believes the `Host` header,
/// and so protects what only some may do (cookies go to their own host), not a server on which
/// everybody may do everything: a name of a stranger may lead to the loopback.
pub(super) const SAME_ORIGIN: &str = "same-origin";

impl Origins {
    /// Origins that match any of these patterns; none, when there are none.
    ///
    /// # Errors
    /// A pattern is not one.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        let mut own = false;
        for pattern in patterns {
            let pattern = pattern.as_ref().to_lowercase();
            if pattern == SAME_ORIGIN {
                own = true;
                continue;
            }
            set.add(GlobBuilder::new(&pattern).backslash_escape(true).build()?);
        }
        let patterns = set.build()?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(Allowed {
            patterns,
            own,
        }))))
    }

    /// Allows from now on what `others` allow.
    pub fn replace(&self, others: &Self) {
        self.0.store(others.0.load_full());
    }

    /// Why no browser sends an origin that fits this pattern, where that is certain. Classes and
    /// alternatives are not looked into.
    pub(crate) fn flaw(pattern: &str) -> Option<&'static str> {
        let pattern = pattern.to_lowercase();
        if [SAME_ORIGIN, "null"].contains(&pattern.as_str()) || pattern.contains(['[', '{', '\\']) {
            return None;
        }
        if !has_scheme(&pattern) {
            return Some("has no scheme");
        }
        // Those of `scheme://`, which some send with nothing behind it.
        let is_open = pattern.ends_with('/') && !pattern.ends_with("://");
        if is_open || pattern.matches('/').count() > 2 {
            return Some("has a path");
        }
        let is_default = |scheme, port| pattern.starts_with(scheme) && pattern.ends_with(port);
        if is_default("http://", ":80") || is_default("https://", ":443") {
            return Some("has the port that browsers leave out");
        }
        None
    }

    /// Whether a request with these headers, `Origin` and `Host`, may connect. Without an origin it
    /// does not come from a page.
    #[must_use]
    pub fn allow(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        let is_own = || {
            // By host and port alone: what speaks TLS may stand in front.
            let page = origin.split_once("://").map(|(_, page)| page.as_bytes());
            page.zip(host)
                .is_some_and(|(page, host)| !page.is_empty() && page.eq_ignore_ascii_case(host))
        };
        let allowed = self.0.load();
        allowed.patterns.is_match(origin.to_lowercase()) || (allowed.own && is_own())
    }
}

/// Whether a pattern in lower case begins with a scheme, or with what may stand for one.
fn has_scheme(pattern: &str) -> bool {
    let Some((scheme, rest)) = pattern.split_once(':') else {
        return pattern.contains('*');
    };
    let may_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '?');
    let is_one = !scheme.is_empty() && scheme.chars().all(may_be);
    // A host with any port looks like a scheme.
    let is_web = matches!(scheme, "http" | "https") && rest.starts_with('*');
    scheme.contains('*') || is_web || (is_one && rest.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &str) -> bool {
        Origins::new(patterns)
            .unwrap()
            .allow(Some(origin.as_bytes()), Some(b"App.example:8000"))
    }

    #[test]
    fn a_request_without_an_origin_is_not_from_a_page() {
        assert!(Origins::new::<&str>(&[]).unwrap().allow(None, None));
        assert!(!allows(&[], "https://a.com"));
    }

    #[test]
    fn an_origin_must_match_as_a_whole() {
        let pattern = &["https://a.com"];
        assert!(allows(pattern, "https://a.com") && allows(pattern, "HTTPS://A.com"));
        for other in [
            "https://a.com.evil.org",
            "https://evil.org/https://a.com",
            "http://a.com",
            "https://a.com:8443",
            "https://xa.com",
            "null",
            "",
            "https://acom",
        ] {
            assert!(!allows(pattern, other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(allows(&["*"], "https://a.com:8443") && allows(&["*"], "null"));
        assert!(allows(&["https://*.a.com"], "https://x.y.a.com"));
        assert!(!allows(&["https://*.a.com"], "https://a.com"));
        assert!(allows(&["http://localhost:*"], "http://localhost:3000"));
    }

    #[test]
    fn bytes_that_are_no_text_match_nothing() {
        assert!(!Origins::new(&["*"]).unwrap().allow(Some(b"\xff"), None));
    }

    #[test]
    fn pages_of_the_server_itself_may_be_allowed_without_their_name() {
        let own = &[SAME_ORIGIN];
        assert!(allows(own, "http://app.example:8000") && allows(own, "https://APP.example:8000"));
        for other in [
            "http://app.example",
            "http://app.example:80001",
            "http://evil.app.example:8000",
            "null",
            "http://",
            SAME_ORIGIN,
        ] {
            assert!(!allows(own, other), "{other}");
        }
        assert!(!allows(&["https://a.com"], "http://app.example:8000"));
        let both = &[SAME_ORIGIN, "https://a.com"];
        assert!(allows(both, "https://a.com") && allows(both, "http://app.example:8000"));
        assert!(!Origins::new(own).unwrap().allow(Some(b"http://a"), None));
    }
}
