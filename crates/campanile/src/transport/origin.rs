//! Which web pages may connect: section 1.3 of the client protocol.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The allowed values of the `Origin` header.
#[derive(Clone, Debug)]
pub struct Origins {
    patterns: GlobSet,
}

impl Origins {
    /// Origins that match any of these patterns; none, when there are none.
    ///
    /// # Errors
    /// A pattern is not one.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let pattern = pattern.as_ref().to_lowercase();
            set.add(GlobBuilder::new(&pattern).backslash_escape(true).build()?);
        }
        Ok(Self {
            patterns: set.build()?,
        })
    }

    /// Whether a request with this header may connect. Without one it does not come from a page.
    #[must_use]
    pub fn allow(&self, origin: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        std::str::from_utf8(origin).is_ok_and(|o| self.patterns.is_match(o.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &str) -> bool {
        Origins::new(patterns)
            .unwrap()
            .allow(Some(origin.as_bytes()))
    }

    #[test]
    fn a_request_without_an_origin_is_not_from_a_page() {
        assert!(Origins::new::<&str>(&[]).unwrap().allow(None));
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
        assert!(!Origins::new(&["*"]).unwrap().allow(Some(b"\xff")));
    }
}
