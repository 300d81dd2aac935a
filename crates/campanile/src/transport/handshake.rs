//! What the request that brings a client tells of it, whatever transport follows.
//!
//! The one place where headers become a [`Handshake`]. What follows from it is the authority's
//! business.

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use campanile_engine::authority::Handshake;
use campanile_protocol::UserId;

/// What to read from such a request.
#[derive(Clone, Debug, Default)]
pub struct HandshakeRules {
    /// `client.user_id_http_header`, in which a proxy that is trusted says who the user is.
    pub user_header: Option<HeaderName>,
}

/// The user's header does not say one user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AmbiguousUser;

impl HandshakeRules {
    /// What there is to know; `None` if that is nothing, as for most.
    ///
    /// # Errors
    /// The user's header is there more than once, or is no text. A proxy that adds its header to
    /// the client's own must not make the client anybody it likes, and so nobody comes in then.
    pub(super) fn read(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Box<Handshake>>, AmbiguousUser> {
        let Some(name) = &self.user_header else {
            return Ok(None);
        };
        let mut values = headers.get_all(name);
        let user = values.next().map_or(b"".as_slice(), HeaderValue::as_bytes);
        if values.next().is_some() {
            return Err(AmbiguousUser);
        }
        let user = str::from_utf8(user).map_err(|_| AmbiguousUser)?;
        // An empty header is how a proxy says that nobody is logged in.
        Ok((!user.is_empty()).then(|| {
            Box::new(Handshake {
                user: Some(UserId::new(user)),
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(values: &[&[u8]]) -> Result<Option<String>, AmbiguousUser> {
        let name = HeaderName::from_static("x-user");
        let rules = HandshakeRules {
            user_header: Some(name.clone()),
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        let known = rules.read(&headers)?;
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
        assert_eq!(user(&[b"42", b"1"]), Err(AmbiguousUser));
        assert_eq!(user(&[b"42", b"42"]), Err(AmbiguousUser));
        assert_eq!(user(&[b"\xff"]), Err(AmbiguousUser));
    }

    #[test]
    fn without_a_header_to_trust_none_is_read() {
        let mut headers = HeaderMap::new();
        headers.append(
            HeaderName::from_static("x-user"),
            HeaderValue::from_static("42"),
        );
        assert_eq!(HandshakeRules::default().read(&headers), Ok(None));
    }
}
