//! Where keys are: one address, or one for each tenant.
//!
//! The address may have `{{name}}` in its path or query; a named group of the issuer's or the
//! audience's regular expression is put there. What a token says thus ends in a URL, and so it must
//! not be able to say more than a word: no slash, no dots that climb, no percent sign.

use std::fmt;

use crate::url::{self, UrlError};

/// `jwks_public_endpoint`: an `http` or `https` URL, perhaps with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksEndpoint {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(String),
}

/// Why a text is no such endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointError {
    /// It is no address at all.
    Url(UrlError),
    /// A `{{` without `}}`, or with something else than a name between them.
    Group,
    /// A place to fill in is in front of the path: a token would say who is to be believed.
    GroupInHost,
}

/// A text that may not stand in the address of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Unfit;

impl JwksEndpoint {
    /// Reads an endpoint.
    ///
    /// # Errors
    ///
    /// See [`EndpointError`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let parts = split(text)?;
        let is_host_fixed = match &parts[..] {
            [Part::Text(_)] => true,
            // Behind `scheme://`, the first slash begins the path.
            [Part::Text(first), ..] => first.splitn(4, '/').count() == 4,
            _ => false,
        };
        if !is_host_fixed {
            return Err(EndpointError::GroupInHost);
        }
        let endpoint = Self { parts };
        let whole = endpoint.fill(|_| Some("x"));
        let whole = whole.map_err(|Unfit| EndpointError::Url(UrlError::NotHttp))?;
        url::check(&whole).map_err(EndpointError::Url)?;
        Ok(endpoint)
    }

    /// The names of what has to be filled in.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Group(name) => Some(name.as_str()),
        })
    }

    /// Whether it is spoken over TLS.
    pub(super) fn is_https(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Text(text)) if url::is_https(text))
    }

    /// The URL with these values in it.
    pub(in super::super) fn fill<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<String, Unfit> {
        let mut url = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Group(name) => url.push_str(value(name).filter(is_word).ok_or(Unfit)?),
            }
        }
        Ok(url)
    }
}

/// A URL as it may be logged: its query may have a key to what it names.
pub(super) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Nothing but what a URL leaves as it is (RFC 3986, section 2.3), and not only dots.
fn is_word(value: &&str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
    value.bytes().all(is_plain) && value.bytes().any(|b| b != b'.')
}

fn split(text: &str) -> Result<Vec<Part>, EndpointError> {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty()
    };
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) = behind.split_once("}}").ok_or(EndpointError::Group)?;
        if !is_name(name.trim()) {
            return Err(EndpointError::Group);
        }
        parts.push(Part::Text(before.to_owned()));
        parts.push(Part::Group(name.trim().to_owned()));
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(error) => return error.fmt(f),
            Self::Group => "expected the name of a group between {{ and }}",
            Self::GroupInHost => "only path and query may have {{names}} to fill in",
        })
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_path_are_filled_in() {
        let parse = |text| JwksEndpoint::parse(text).unwrap();
        let plain = parse("https://a.example/jwks?x=1");
        assert_eq!(plain.groups().count(), 0);
        assert_eq!(plain.fill(|_| None).unwrap(), "https://a.example/jwks?x=1");
        let endpoint = parse("http://a:1/{{ realm }}/{{b}}{{b}}?{{realm}}");
        let names: Vec<_> = endpoint.groups().collect();
        assert_eq!(names, ["realm", "b", "b", "realm"]);
        let filled = endpoint.fill(|name| Some(if name == "b" { "-" } else { "T.1~_" }));
        assert_eq!(filled.unwrap(), "http://a:1/T.1~_/--?T.1~_");
    }

    #[test]
    fn what_could_lead_elsewhere_is_not_filled_in() {
        let endpoint = JwksEndpoint::parse("https://a.example/{{realm}}/jwks").unwrap();
        for value in [
            "",
            ".",
            "..",
            "...",
            "a/b",
            "/",
            "a\\b",
            "%2e%2e",
            "a?b",
            "a#b",
            "a b",
            "@evil",
            "é",
            "a\r\nX: y",
            "{{realm}}",
            ":80",
            "' OR 1=1 --",
        ] {
            assert_eq!(endpoint.fill(|_| Some(value)), Err(Unfit), "{value}");
        }
        assert_eq!(endpoint.fill(|_| None), Err(Unfit));
    }

    #[test]
    fn a_query_is_not_logged() {
        for (url, logged) in [
            ("https://a/b?key=s3cret", "https://a/b"),
            ("https://a?key=s3cret?", "https://a"),
            ("https://a/@b?c", "https://a/@b"),
        ] {
            assert!(JwksEndpoint::parse(url).is_ok(), "{url}");
            assert_eq!(without_query(url), logged);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        const NOT_HTTP: EndpointError = EndpointError::Url(UrlError::NotHttp);
        const CREDENTIALS: EndpointError = EndpointError::Url(UrlError::Credentials);
        for (text, error) in [
            ("ftp://a/b", NOT_HTTP),
            ("/jwks", NOT_HTTP),
            ("https://", NOT_HTTP),
            ("a.example/jwks", NOT_HTTP),
            ("http://user:pw@a/b?c", CREDENTIALS),
            ("http://user@a", CREDENTIALS),
            ("https://a:0/b", EndpointError::Url(UrlError::Port)),
            ("https://a/b#c", EndpointError::Url(UrlError::Fragment)),
            ("https://a/{{b", EndpointError::Group),
            ("https://a/{{}}", EndpointError::Group),
            ("https://a/{{b/c}}", EndpointError::Group),
            ("https://{{a}}/jwks", EndpointError::GroupInHost),
            ("https://{{a}}.example/jwks", EndpointError::GroupInHost),
            ("https://a:{{port}}/jwks", EndpointError::GroupInHost),
            ("https://a{{b}}", EndpointError::GroupInHost),
            ("https://a?{{b}}", EndpointError::GroupInHost),
        ] {
            assert_eq!(JwksEndpoint::parse(text), Err(error), "{text}");
        }
    }
}
