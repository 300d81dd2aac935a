//! Who somebody is, by token: section 6.1 of the client protocol.
//!
//! Between the engine, which knows credentials, and [`crate::token`], which knows tokens.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile_engine::authority::{
    Authority, Credentials, Grant, Handshake, TokenGrant, TokenRefusal,
};
use campanile_engine::broker::BoxFuture;
use campanile_engine::channel::Namespaces;
use campanile_engine::throttle::CLIENT_FAULTS;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::ConnectRequest;
use campanile_protocol::{ClientId, Disconnect, Payload, Refusal, UserId};

use crate::config::Authentication;
use crate::token::{ChannelGrant, ConnectionToken, TokenError, Verifier};

/// Verifies tokens, and lets in who needs none.
#[derive(Debug)]
pub struct TokenAuthority {
    connections: Verifier,
    /// `None` when subscription tokens follow the rules of connection tokens.
    subscriptions: Option<Verifier>,
    allows_anonymous: bool,
    refuses_anonymous_tokens: bool,
    namespaces: Arc<Namespaces>,
}

impl TokenAuthority {
    /// An authority that follows these settings.
    pub fn new(settings: &Authentication, namespaces: Arc<Namespaces>) -> Self {
        Self::after(None, settings, namespaces)
    }

    /// The same in the place of another one, whose published keys it goes on with.
    pub fn after(
        before: Option<&Self>,
        settings: &Authentication,
        namespaces: Arc<Namespaces>,
    ) -> Self {
        let skips = settings.insecure_skip_token_signature_verify;
        let connections = before.map(|before| &before.connections);
        let subscriptions = before.and_then(|before| before.subscriptions.as_ref());
        let of_subscriptions = settings.subscription_token.as_ref();
        Self {
            connections: Verifier::after(connections, &settings.token, skips),
            subscriptions: of_subscriptions
                .map(|rules| Verifier::after(subscriptions, rules, skips)),
            allows_anonymous: settings.allow_anonymous_connect_without_token || settings.insecure,
            refuses_anonymous_tokens: settings.disallow_anonymous_connection_tokens,
            namespaces,
        }
    }

    /// Without a token. A user whom the proxy vouches for is better than nobody, so that the
    /// header is asked before everybody is let in.
    fn without_token(&self, handshake: Option<&Handshake>) -> Result<Credentials, Rejection> {
        let vouched_for = handshake.and_then(|known| known.user.clone());
        let anonymous = || self.allows_anonymous.then(|| UserId::new(""));
        let user = vouched_for
            .or_else(anonymous)
            .ok_or(Disconnect::BAD_REQUEST)?;
        Ok(Credentials::of(user.as_str()))
    }

    async fn with_token(&self, token: &str) -> Result<Credentials, Rejection> {
        let token = self.connections.connection(token, unix_seconds()).await;
        let credentials = token
            .map(credentials)
            .map_err(|error| match refusal(error) {
                TokenRefusal::Expired => Rejection::from(Refusal::TOKEN_EXPIRED),
                TokenRefusal::Invalid => Disconnect::INVALID_TOKEN.into(),
                TokenRefusal::Unavailable => Refusal::INTERNAL.into(),
            })?;
        let is_known = |(channel, _): &(String, Grant)| self.namespaces.resolve(channel).is_some();
        if !credentials.subscriptions.iter().all(is_known) {
            return Err(Refusal::UNKNOWN_CHANNEL.into());
        }
        if credentials.user.is_anonymous() && self.refuses_anonymous_tokens {
            return Err(Disconnect::PERMISSION_DENIED.into());
        }
        Ok(credentials)
    }

    async fn grant(&self, token: &str) -> Result<TokenGrant, TokenRefusal> {
        let verifier = self.subscriptions.as_ref().unwrap_or(&self.connections);
        let token = verifier.subscription(token, unix_seconds()).await;
        let token = token.map_err(refusal)?;
        let client = match token.client.as_deref() {
            None | Some("") => None,
            Some(client) => Some(ClientId::parse(client).ok_or(TokenRefusal::Invalid)?),
        };
        let mut grant = grant(token.grant);
        grant.expire_at = seconds(token.expire_at);
        Ok(TokenGrant {
            channel: token.channel,
            user: token.user,
            client,
            grant,
        })
    }
}

impl Authority for TokenAuthority {
    fn connect<'a>(
        &'a self,
        request: &'a ConnectRequest,
        handshake: Option<&'a Handshake>,
    ) -> BoxFuture<'a, Result<Credentials, Rejection>> {
        Box::pin(async move {
            if request.token.is_empty() {
                self.without_token(handshake)
            } else {
                self.with_token(&request.token).await
            }
        })
    }

    fn refresh<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Credentials, TokenRefusal>> {
        Box::pin(async move {
            let token = self.connections.connection(token, unix_seconds()).await;
            token.map(credentials).map_err(refusal)
        })
    }

    fn subscribe<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenGrant, TokenRefusal>> {
        Box::pin(self.grant(token))
    }
}

/// What the session is told of it, and, unless there are too many, the log.
fn refusal(error: TokenError) -> TokenRefusal {
    let refusal = match error {
        TokenError::Expired => return TokenRefusal::Expired,
        TokenError::Invalid(_) => TokenRefusal::Invalid,
        TokenError::Unavailable => TokenRefusal::Unavailable,
    };
    if let Some(unsaid) = CLIENT_FAULTS.pass() {
        tracing::info!(reason = %error, unsaid, "a token was refused");
    }
    refusal
}

fn credentials(token: ConnectionToken) -> Credentials {
    let subscriptions = token
        .subs
        .into_iter()
        .map(|(channel, sub)| (channel, grant(sub)));
    let mut credentials = Credentials::of(&token.user);
    credentials.expire_at = seconds(token.expire_at);
    credentials.info = token.info.map(|info| Payload::from(&*info));
    credentials.meta = token.meta.map(|meta| Payload::from(&*meta));
    credentials.subscriptions = subscriptions.collect();
    credentials
}

fn grant(token: ChannelGrant) -> Grant {
    let (overrides, mut grant) = (token.overrides, Grant::as_configured());
    grant.info = token.info.map(|info| Payload::from(&*info));
    grant.data = token.data.map(|data| Payload::from(&*data));
    grant.overrides.presence = overrides.presence;
    grant.overrides.join_leave = overrides.join_leave;
    grant.overrides.force_push_join_leave = overrides.force_push_join_leave;
    grant.overrides.force_positioning = overrides.force_positioning;
    grant.overrides.force_recovery = overrides.force_recovery;
    grant
}

fn seconds(unix: Option<u64>) -> Option<i64> {
    unix.map(|unix| i64::try_from(unix).unwrap_or(i64::MAX))
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
