//! How subscriptions run out, and how they are renewed: section 7.4 of the client protocol. By the
//! client with another token, unless the application renews them.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{ClientInfo, Disconnect, Refusal, ReplyBody, Unsubscribed};

use super::refresh::GRACE;
use super::subscribe::Subscription;
use super::{Context, Effect, Pending, Session, reply};
use crate::application::{Interests, Lapse, Renewal};
use crate::ask::{Ask, Question};
use crate::authority::{TokenGrant, TokenRefusal};
use crate::channel::ChannelName;
use crate::channel::options::ChannelOptions;

impl Context<'_> {
    /// How long a client may take to renew its subscription to a channel with these options; `None`
    /// when that is not up to it.
    pub(super) fn sub_refresh_delay(&self, options: &ChannelOptions) -> Option<Duration> {
        let delay = self.settings.expired_sub_close_delay;
        (!self.asks_about(options, Interests::SUB_REFRESH)).then_some(delay)
    }

    fn renews(&self, channel: &str) -> bool {
        let resolved = self.namespaces.resolve(channel);
        resolved.is_some_and(|resolved| self.sub_refresh_delay(resolved.options).is_none())
    }
}

impl Session {
    pub(super) fn end_expired_subscriptions(
        &mut self,
        context: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let now = context.now.moment;
        let is_due = |subscription: &&mut Subscription| {
            subscription.expires.is_some_and(|expires| expires <= now)
        };
        let mut ended = Vec::new();
        let mut asked = Vec::new();
        for due in self.subscriptions.iter_mut().filter(is_due) {
            if context.renews(due.channel.as_str()) {
                due.expires = None;
                asked.push(due.channel.clone());
            } else if due.is_server_side {
                return self.close(Disconnect::SUBSCRIPTION_EXPIRED, effects);
            } else {
                ended.push(due.channel.clone());
            }
        }
        for channel in asked {
            let pending = Pending::SubRenewal(channel.clone());
            self.consult(pending, Question::SubRefresh(channel), effects);
        }
        for channel in ended {
            self.revoke(&channel, Unsubscribed::EXPIRED, effects);
        }
    }

    /// Takes the application's word on whether the subscription goes on.
    pub(super) fn sub_renewed(
        &mut self,
        context: &Context<'_>,
        channel: &ChannelName,
        outcome: Result<Renewal, Lapse>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.find_live(channel.as_str()) else {
            return;
        };
        let is_past = |renewal: &Renewal| {
            let expire_at = renewal.expire_at;
            expire_at.is_some_and(|at| at <= context.now.unix())
        };
        let subscription = &mut self.subscriptions[index];
        match outcome {
            Err(Lapse::Unavailable) => subscription.expires = Some(context.now.moment + GRACE),
            Ok(renewal) if !is_past(&renewal) => {
                subscription.expires = Self::expiry(context, renewal.expire_at, None).0;
                if renewal.info.is_some() {
                    subscription.info = Some(Arc::new(ClientInfo {
                        chan_info: renewal.info,
                        ..(*self.info).clone()
                    }));
                    effects.extend(self.present_anew(&self.subscriptions[index]));
                }
            }
            Ok(_) | Err(Lapse::Ended) if subscription.is_server_side => {
                self.close(Disconnect::SUBSCRIPTION_EXPIRED, effects);
            }
            Ok(_) | Err(Lapse::Ended) => self.revoke(channel, Unsubscribed::EXPIRED, effects),
        }
    }

    pub(super) fn sub_refresh(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (channel, token, kind): (String, String, i32),
        effects: &mut Vec<Effect>,
    ) {
        let is_held = self.find_live(&channel).is_some();
        let refusal = match kind {
            // Some SDKs leave the channel out; the token names it too.
            _ if !channel.is_empty() && !is_held => Refusal::PERMISSION_DENIED,
            0 if context.renews(&channel) => {
                return self.close(Disconnect::BAD_REQUEST, effects);
            }
            0 if token.is_empty() => Refusal::BAD_REQUEST,
            0 => {
                let pending = Pending::SubRefresh { id, channel };
                return self.ask(pending, Ask::Grant { token }, effects);
            }
            // Tracking keys: there are no shared polls.
            1 | 2 => Refusal::NOT_AVAILABLE,
            _ => Refusal::BAD_REQUEST,
        };
        effects.push(reply(id, Err(refusal)));
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
        let (expires, expiry) = Self::expiry(context, expire_at, Some(delay));
        let chan_info = token.grant.info;
        let info = ClientInfo {
            chan_info,
            ..(*self.info).clone()
        };
        let subscription = &mut self.subscriptions[index];
        subscription.expires = expires;
        let before = subscription.info.take();
        subscription.info = info.chan_info.is_some().then(|| Arc::new(info));
        if subscription.info != before {
            effects.extend(self.present_anew(&self.subscriptions[index]));
        }
        effects.push(reply(id, Ok(ReplyBody::SubRefresh(expiry))));
    }
}
