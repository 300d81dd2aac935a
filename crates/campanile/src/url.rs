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
    /// What stands behind the host is no port.
    Port,
    /// It has a fragment, which is never sent: what it says would be missed.
    Fragment,
}

/// Whether this is an `http` or `https` URL that names a host, no user, and all that is sent.
///
/// # Errors
///
/// See [`UrlError`].
pub fn check(text: &str) -> Result<(), UrlError> {
    let uri: Uri = text.parse().map_err(|_| UrlError::NotHttp)?;
    let host = uri.host().unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
        return Err(UrlError::NotHttp);
    }
    if has_user_info(text) {
        return Err(UrlError::Credentials);
    }
    let has_only_host = uri.authority().is_some_and(|whole| whole.as_str() == host);
    if !has_only_host && matches!(uri.port_u16(), None | Some(0)) {
        return Err(UrlError::Port);
    }
    if text.contains('#') {
        return Err(UrlError::Fragment);
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
            Self::Port => "expected a port from 1 to 65535",
            Self::Fragment => "must not have a fragment",
        })
    }
}

impl std::error::Error for UrlError {}
