//! What the request that brings a client tells of it, whatever transport follows.
//!
//! The one place where headers become a [`Handshake`]. What follows from it is the authority's
//! business.

use std::net::{IpAddr, SocketAddr};

use actix_http::StatusCode;
use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use campanile_engine::authority::Handshake;
use campanile_engine::headers::{Headers, HeadersFull};
use campanile_protocol::UserId;

use super::forwarded::{self, Network};

/// What to read from such a request.
#[derive(Clone, Debug, Default)]
pub struct HandshakeRules {
    /// `client.user_id_http_header`, in which a proxy that is trusted says who the user is.
    pub user_header: Option<HeaderName>,
    /// The headers that somebody wants to know, each once.
    pub headers: Vec<HeaderName>,
    /// Whether somebody wants to know where connections come from.
    pub wants_peer: bool,
    /// `http_server.trusted_proxies`, which say where they have a request from.
    pub proxies: Vec<Network>,
}

/// Why the headers of a request make no handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unreadable {
    /// The user's header does not say one user.
    AmbiguousUser,
    /// Those that are wanted are too long: RFC 6585, section 5.
    TooLong,
}

impl Unreadable {
    /// How the request is refused.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::AmbiguousUser => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl HandshakeRules {
    /// What there is to know; `None` if that is nothing, as for most.
    ///
    /// # Errors
    /// The user's header is there more than once, or is no text. A proxy that adds its header to
    /// the client's own must not make the client anybody it likes, and so nobody comes in then. Or
    /// there is more to know than is kept.
    pub(super) fn read(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Option<Box<Handshake>>, Unreadable> {
        let handshake = Handshake {
            user: self.user(headers)?,
            headers: self
                .wanted(headers)
                .map_err(|HeadersFull| Unreadable::TooLong)?,
            peer: self.peer(headers, peer),
        };
        Ok((handshake != Handshake::default()).then(|| Box::new(handshake)))
    }

    /// Where the client is, and nothing else of what its headers say.
    pub(super) fn read_peer(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Option<Box<Handshake>> {
        let peer = Some(self.peer(headers, peer)?);
        Some(Box::new(Handshake {
            peer,
            ..Handshake::default()
        }))
    }

    fn peer(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let peer = peer.filter(|_| self.wants_peer)?;
        Some(forwarded::client(&self.proxies, headers, peer.ip()))
    }

    fn user(&self, headers: &HeaderMap) -> Result<Option<UserId>, Unreadable> {
        let Some(name) = &self.user_header else {
            return Ok(None);
        };
        let mut values = headers.get_all(name);
        let user = values.next().map_or(b"".as_slice(), HeaderValue::as_bytes);
        if values.next().is_some() {
            return Err(Unreadable::AmbiguousUser);
        }
        let user = str::from_utf8(user).map_err(|_| Unreadable::AmbiguousUser)?;
        // An empty header is how a proxy says that nobody is logged in.
        Ok((!user.is_empty()).then(|| UserId::new(user)))
    }

    fn wanted(&self, headers: &HeaderMap) -> Result<Headers, HeadersFull> {
        let mut known = Headers::default();
        for name in &self.headers {
            for value in headers.get_all(name) {
                known.push(name.as_str(), value.as_bytes())?;
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::limits::HEADERS_BYTES_MAX;

    use super::*;

    fn user(values: &[&[u8]]) -> Result<Option<String>, Unreadable> {
        let name = HeaderName::from_static("x-user");
        let rules = HandshakeRules {
            user_header: Some(name.clone()),
            ..HandshakeRules::default()
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        let known = rules.read(&headers, None)?;
        let user = known.and_then(|known| known.user);
        Ok(user.map(|user| user.as_str().to_owned()))
    }

    #[test]
    fn one_header_says_who_the_user_is() {
        assert_eq!(user(&[b"42"]), Ok(Some("42".into())));
        assert_eq!(user(&["Ä".as_bytes()]), Ok(Some("Ä".into())));
        assert_eq!(user(&[]), Ok(None));
        assert_eq!(user(&[b""]), Ok(None));
    }

    #[test]
    fn what_could_be_two_users_is_nobody() {
        assert_eq!(user(&[b"42", b"1"]), Err(Unreadable::AmbiguousUser));
        assert_eq!(user(&[b"42", b"42"]), Err(Unreadable::AmbiguousUser));
        assert_eq!(user(&[b"\xff"]), Err(Unreadable::AmbiguousUser));
    }

    fn request(said: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn peer() -> Option<SocketAddr> {
        Some(([192, 0, 2, 7], 4711).into())
    }

    #[test]
    fn nothing_is_read_and_nothing_kept_that_nobody_wants() {
        let headers = request(&[("x-user", "42"), ("cookie", "a=1")]);
        assert_eq!(HandshakeRules::default().read(&headers, peer()), Ok(None));
        let rules = HandshakeRules {
            headers: vec![HeaderName::from_static("x-other")],
            ..HandshakeRules::default()
        };
        assert_eq!(rules.read(&headers, peer()), Ok(None));
    }

    #[test]
    fn wanted_headers_are_kept_with_all_their_values() {
        let rules = HandshakeRules {
            headers: vec![
                HeaderName::from_static("cookie"),
                HeaderName::from_static("x-forwarded-for"),
                HeaderName::from_static("x-absent"),
            ],
            ..HandshakeRules::default()
        };
        let headers = request(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("cookie", "a=1"),
            ("authorization", "secret"),
            ("x-forwarded-for", "192.0.2.2"),
        ]);
        let known = rules.read(&headers, peer()).expect("it is short");
        let known = known.expect("there is something to know");
        let expected = [
            ("cookie", &b"a=1"[..]),
            ("x-forwarded-for", b"192.0.2.1"),
            ("x-forwarded-for", b"192.0.2.2"),
        ];
        assert!(known.headers.real().eq(expected), "{known:?}");
        assert_eq!((&known.user, known.peer), (&None, None));
    }

    #[test]
    fn more_than_can_be_kept_is_refused() {
        let rules = HandshakeRules {
            headers: vec![HeaderName::from_static("x-long")],
            ..HandshakeRules::default()
        };
        let half = "x".repeat(HEADERS_BYTES_MAX / 2);
        let headers = request(&[("x-long", &half), ("x-unwanted", &half)]);
        assert!(rules.read(&headers, None).is_ok());
        let headers = request(&[("x-long", &half), ("x-long", &half)]);
        assert_eq!(rules.read(&headers, None), Err(Unreadable::TooLong));
        assert_eq!(Unreadable::TooLong.status(), 431);
    }

    #[test]
    fn the_peers_address_is_known_where_it_is_wanted() {
        let rules = HandshakeRules {
            wants_peer: true,
            ..HandshakeRules::default()
        };
        let known = rules.read(&HeaderMap::new(), peer());
        let known = known.expect("it is short");
        let address = known.and_then(|known| known.peer);
        assert_eq!(address, Some([192, 0, 2, 7].into()));
        assert_eq!(rules.read(&HeaderMap::new(), None), Ok(None));
    }

    #[test]
    fn a_trusted_proxy_says_where_the_client_is() {
        let name = HeaderName::from_static("x-forwarded-for");
        let mut headers = HeaderMap::new();
        headers.append(name, HeaderValue::from_static("203.0.113.7"));
        let told = |proxies: &[&str]| {
            let rules = HandshakeRules {
                wants_peer: true,
                proxies: proxies.iter().map(|text| text.parse().unwrap()).collect(),
                ..HandshakeRules::default()
            };
            let whole = rules.read(&headers, peer()).unwrap().unwrap();
            assert_eq!(rules.read_peer(&headers, peer()), Some(whole.clone()));
            whole.peer
        };
        let proxy = peer().unwrap().ip();
        assert_eq!(told(&[]), Some(proxy));
        assert_eq!(told(&[&proxy.to_string()]), "203.0.113.7".parse().ok());
    }
}
