//! How the credentials of a connection run out, and how they are renewed: section 6.6 of the
//! client protocol. By the client with another token, unless the application renews them.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{Disconnect, Payload, Refusal, ReplyBody};

use super::subscribe::Subscription;
use super::{Context, Effect, Pending, Session, State, reply};
use crate::application::{Interests, Lapse, Renewal};
use crate::ask::{Ask, Question, Tell};
use crate::authority::{Credentials, TokenRefusal};

/// How long something goes on about which the application could not be asked.
pub(super) const GRACE: Duration = Duration::from_secs(60);

impl Context<'_> {
    /// How long a client may take to renew its credentials; `None` when that is not up to it.
    pub(super) fn refresh_delay(&self) -> Option<Duration> {
        let delay = self.settings.expired_close_delay;
        (!self.asks(Interests::REFRESH)).then_some(delay)
    }
}

impl Session {
    pub(super) fn refresh(
        &mut self,
        context: &Context<'_>,
        id: u32,
        token: String,
        effects: &mut Vec<Effect>,
    ) {
        if token.is_empty() || context.asks(Interests::REFRESH) {
            return self.close(Disconnect::BAD_REQUEST, effects);
        }
        self.ask(Pending::Refresh { id }, Ask::Refresh { token }, effects);
    }

    pub(super) fn refreshed(
        &mut self,
        context: &Context<'_>,
        id: u32,
        outcome: Result<Credentials, TokenRefusal>,
        effects: &mut Vec<Effect>,
    ) {
        let credentials = match outcome {
            Err(TokenRefusal::Expired) => return self.close(Disconnect::EXPIRED, effects),
            Err(TokenRefusal::Invalid) => return self.close(Disconnect::INVALID_TOKEN, effects),
            // The connection is good until its old credentials run out.
            Err(TokenRefusal::Unavailable) => {
                return effects.push(reply(id, Err(Refusal::INTERNAL)));
            }
            Ok(new) if new.user != self.info.user => {
                return self.close(Disconnect::INVALID_TOKEN, effects);
            }
            Ok(new) => new,
        };
        if !self.has_same_channels(&credentials) {
            return self.close(Disconnect::INSUFFICIENT_STATE, effects);
        }
        let expire_at = credentials
            .expire_at
            .filter(|_| !context.settings.is_insecure);
        if expire_at.is_some_and(|at| at <= context.now.unix()) {
            return self.close(Disconnect::EXPIRED, effects);
        }
        // A token without an expiry ends the old one too.
        let (expires, expiry) = Self::expiry(context, expire_at, context.refresh_delay());
        self.expires = expires;
        self.replace_info(credentials.info.as_ref(), effects);
        self.replace_meta(credentials.meta);
        effects.push(reply(id, Ok(ReplyBody::Refresh(expiry))));
    }

    /// Whether new credentials subscribe to what the old ones did.
    fn has_same_channels(&self, new: &Credentials) -> bool {
        let old = self.bequest.as_ref();
        let old = old.map_or(&[][..], |bequest| &bequest.channels);
        let is_in_new = |channel: &str| new.subscriptions.iter().any(|(name, _)| name == channel);
        new.subscriptions.len() == old.len() && old.iter().all(|old| is_in_new(old.as_str()))
    }

    /// The credentials have run out.
    pub(super) fn end_expired(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        if self.state == State::Live && context.asks(Interests::REFRESH) {
            self.expires = None;
            self.consult(Pending::Renewal, Question::Refresh, effects);
        } else {
            self.close(Disconnect::EXPIRED, effects);
        }
    }

    /// Takes the application's word on whether the connection goes on.
    pub(super) fn renewed(
        &mut self,
        context: &Context<'_>,
        outcome: Result<Renewal, Lapse>,
        effects: &mut Vec<Effect>,
    ) {
        let is_past = |renewal: &Renewal| {
            let expire_at = renewal.expire_at;
            expire_at.is_some_and(|at| at <= context.now.unix())
        };
        match outcome {
            Err(Lapse::Unavailable) => self.expires = Some(context.now.moment + GRACE),
            Ok(renewal) if !is_past(&renewal) => {
                self.expires = Self::expiry(context, renewal.expire_at, None).0;
                self.replace_info(renewal.info.as_ref(), effects);
                if renewal.meta.is_some() {
                    self.replace_meta(renewal.meta);
                }
            }
            Ok(_) | Err(Lapse::Ended) => self.close(Disconnect::EXPIRED, effects),
        }
    }

    /// Replaces what the connection tells others about itself, where there is something new: also
    /// in subscriptions that tell something of their own beside it, and wherever it is present.
    pub(super) fn replace_info(&mut self, info: Option<&Payload>, effects: &mut Vec<Effect>) {
        let Some(info) = info.filter(|info| self.info.conn_info.as_ref() != Some(*info)) else {
            return;
        };
        let own = self.subscriptions.iter_mut();
        let own = own.filter_map(|subscription| subscription.info.as_mut());
        for told in own.chain([&mut self.info]) {
            Arc::make_mut(told).conn_info = Some(info.clone());
        }
        let held = self.subscriptions.iter();
        effects.extend(held.filter_map(|held| self.present_anew(held)));
    }

    /// Shows what a subscription tells now to those who ask who is there. One that is about to
    /// begin or to end may be among them: its errands keep their order, and the last of them
    /// counts.
    pub(super) fn present_anew(&self, subscription: &Subscription) -> Option<Effect> {
        let info = subscription.info.as_ref().unwrap_or(&self.info);
        subscription.keeps_presence.then(|| {
            Effect::Tell(Tell::RenewPresence {
                channel: subscription.channel.clone(),
                info: Arc::clone(info),
            })
        })
    }
}
