//! How subscriptions end by themselves, and how they are renewed: section 7.4 of the client
//! protocol.

use std::sync::Arc;

use campanile_protocol::{ClientInfo, Disconnect, Refusal, ReplyBody, Unsubscribed};

use super::subscribe::Subscription;
use super::{Context, Effect, Pending, Session, reply};
use crate::ask::Ask;
use crate::authority::{TokenGrant, TokenRefusal};
use crate::time::Moment;

impl Session {
    pub(super) fn end_expired_subscriptions(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let is_due = |subscription: &&Subscription| {
            subscription.expires.is_some_and(|expires| expires <= now)
        };
        let due: Vec<_> = self.subscriptions.iter().filter(is_due).collect();
        if due.iter().any(|subscription| subscription.is_server_side) {
            return self.close(Disconnect::SUBSCRIPTION_EXPIRED, effects);
        }
        let channels: Vec<_> = due.iter().map(|due| due.channel.clone()).collect();
        for channel in channels {
            self.revoke(&channel, Unsubscribed::EXPIRED, effects);
        }
    }

    pub(super) fn sub_refresh(
        &mut self,
        id: u32,
        channel: String,
        token: String,
        kind: i32,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        // Some SDKs leave the channel out; the token names it too.
        if !channel.is_empty() && self.find_live(&channel).is_none() {
            return Err(Refusal::PERMISSION_DENIED);
        }
        match kind {
            0 if token.is_empty() => return Err(Refusal::BAD_REQUEST),
            0 => {}
            // Tracking keys: there are no shared polls.
            1 | 2 => return Err(Refusal::NOT_AVAILABLE),
            _ => return Err(Refusal::BAD_REQUEST),
        }
        self.ask(
            Pending::SubRefresh { id, channel },
            Ask::Grant { token },
            effects,
        );
        Ok(())
    }

    pub(super) fn sub_refreshed(
        &mut self,
        context: &Context<'_>,
        id: u32,
        channel: &str,
        outcome: Result<TokenGrant, TokenRefusal>,
        effects: &mut Vec<Effect>,
    ) {
        // The client fetched this token a moment ago: one more try is worth more than the end of
        // the subscription, hence temporary.
        let expired = Refusal {
            temporary: true,
            ..Refusal::TOKEN_EXPIRED
        };
        let token = match outcome {
            Err(TokenRefusal::Expired) => return effects.push(reply(id, Err(expired))),
            Err(TokenRefusal::Invalid) => return self.close(Disconnect::INVALID_TOKEN, effects),
            Err(TokenRefusal::Unavailable) => {
                return effects.push(reply(id, Err(Refusal::INTERNAL)));
            }
            Ok(token) => token,
        };
        let channel = if channel.is_empty() {
            &token.channel
        } else {
            channel
        };
        if !self.is_for(&token, channel) {
            return self.close(Disconnect::INVALID_TOKEN, effects);
        }
        let Some(index) = self.find_live(channel) else {
            return effects.push(reply(id, Err(Refusal::PERMISSION_DENIED)));
        };
        if token
            .grant
            .expire_at
            .is_some_and(|at| at <= context.now.unix())
        {
            return effects.push(reply(id, Err(expired)));
        }
        let delay = context.settings.expired_sub_close_delay;
        let expire_at = token
            .grant
            .expire_at
            .filter(|_| !context.settings.is_insecure);
        let (expires, expiry) = Self::expiry(context, expire_at, delay);
        let chan_info = token.grant.info;
        let info = ClientInfo {
            chan_info,
            ..(*self.info).clone()
        };
        let subscription = &mut self.subscriptions[index];
        subscription.expires = expires;
        subscription.info = info.chan_info.is_some().then(|| Arc::new(info));
        effects.push(reply(id, Ok(ReplyBody::SubRefresh(expiry))));
    }
}
