//! Addresses of services that the operator names: what is one, and nothing about what is there.

use std::fmt;

use ureq::http::Uri;

/// Why a text is no address that can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlError {
    /// It is no `http` or `https` URL with a host.
    NotHttp,
    /// It has a user name or password, which would end in logs: of ours and of whoever is between.
    Credentials,
}

/// Whether this is an `http` or `https` URL that names a host and no user.
///
/// # Errors
///
/// See [`UrlError`].
pub fn check(text: &str) -> Result<(), UrlError> {
    let is_http = text.parse().is_ok_and(|uri: Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_http {
        return Err(UrlError::NotHttp);
    }
    if has_user_info(text) {
        return Err(UrlError::Credentials);
    }
    Ok(())
}

/// Whether a URL that [`check`] found good is spoken over TLS.
#[must_use]
pub fn is_https(url: &str) -> bool {
    url.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

/// Whether there is an at sign between `scheme://` and the path.
fn has_user_info(url: &str) -> bool {
    let (_, behind) = url.split_once("://").unwrap_or_default();
    let authority = behind.split(['/', '?', '#']).next();
    authority.is_some_and(|authority| authority.contains('@'))
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "expected an http or https URL",
            Self::Credentials => "must not have a user name or password",
        })
    }
}

impl std::error::Error for UrlError {}
