//! An authority whose tokens say in plain words what they grant.

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::ConnectRequest;
use campanile_protocol::{Disconnect, UserId};

use crate::authority::{Authority, Credentials, Grant, Handshake, TokenGrant, TokenRefusal};
use crate::broker::BoxFuture;

/// Believes every token. A connection token is a user id and the channels that it subscribes to, a
/// subscription token is a user id and its channel, all separated by spaces. The token `bad` is
/// invalid.
#[derive(Clone, Copy, Debug, Default)]
pub struct StubAuthority;

fn credentials(token: &str) -> Result<Credentials, TokenRefusal> {
    if token == "bad" {
        return Err(TokenRefusal::Invalid);
    }
    let mut words = token.split(' ');
    let user = words.next().unwrap_or_default();
    let subscriptions = words.map(|channel| (channel.to_owned(), Grant::default()));
    Ok(Credentials {
        user: UserId::new(user),
        expire_at: None,
        info: None,
        meta: None,
        data: None,
        subscriptions: subscriptions.collect(),
        considers_wishes: false,
    })
}

impl Authority for StubAuthority {
    fn connect<'a>(
        &'a self,
        request: &'a ConnectRequest,
        _: Option<&'a Handshake>,
    ) -> BoxFuture<'a, Result<Credentials, Rejection>> {
        let outcome = credentials(&request.token);
        Box::pin(async { outcome.map_err(|_| Disconnect::INVALID_TOKEN.into()) })
    }

    fn refresh<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Credentials, TokenRefusal>> {
        Box::pin(async { credentials(token) })
    }

    fn subscribe<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenGrant, TokenRefusal>> {
        Box::pin(async {
            let (user, channel) = token.split_once(' ').ok_or(TokenRefusal::Invalid)?;
            Ok(TokenGrant {
                channel: channel.into(),
                user: user.into(),
                client: None,
                grant: Grant::default(),
            })
        })
    }
}
