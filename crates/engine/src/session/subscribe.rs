//! Subscribing, unsubscribing and renewing: sections 7 and 8 of the client protocol.

use std::sync::Arc;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::reply::SubscribeResult;
use campanile_protocol::{
    ClientInfo, Disconnect, Payload, Position, Refusal, ReplyBody, Unsubscribed,
};

use super::{Context, Effect, Membership, Notice, Pending, Session, reply};
use crate::ask::{Ask, JoinRequest, Joined, Tell};
use crate::authority::{Grant, TokenGrant, TokenRefusal};
use crate::broker::Attendance;
use crate::channel::permission::Requester;
use crate::channel::{ChannelName, Resolved};
use crate::time::Moment;

/// A subscription of a session, from the moment it is asked for.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: ChannelName,
    /// Differs from the session's own when the subscription has something to tell about itself.
    info: Option<Arc<ClientInfo>>,
    /// When it ends if nobody renews it, delay included.
    pub(super) expires: Option<Moment>,
    /// Whether the client knows that it has it.
    is_live: bool,
    is_server_side: bool,
    keeps_presence: bool,
    announces: bool,
}

/// A subscription that is allowed, with everything that was decided about it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) channel: ChannelName,
    info: Arc<ClientInfo>,
    data: Option<Payload>,
    expire_at: Option<i64>,
    /// Whether the client asked to recover, and from where.
    recover: Option<Position>,
    is_server_side: bool,
    keeps_presence: bool,
    announces: bool,
    wants_attendance: bool,
    is_positioned: bool,
    is_recoverable: bool,
    rejects_unrecovered: bool,
}

impl Session {
    pub(super) fn subscribe(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: Box<SubscribeRequest>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = self
            .check(context, &request)
            .map_err(Rejection::from)
            .and_then(|()| {
                if !matches!(request.delta.as_str(), "" | "fossil") {
                    return Err(Disconnect::BAD_REQUEST.into());
                }
                Ok(())
            });
        if let Err(rejection) = outcome {
            return self.reject(id, rejection, effects);
        }
        if request.token.is_empty() {
            let granted = self.grant_by_permission(context, &request.channel);
            let planned = granted.and_then(|grant| self.plan_client(context, grant, &request));
            match planned {
                Ok(plan) => self.join(id, plan, effects),
                Err(refusal) => self.reject(id, refusal.into(), effects),
            }
        } else {
            let ask = Ask::Grant {
                token: request.token.clone(),
            };
            self.ask(Pending::Grant { id, request }, ask, effects);
        }
    }

    /// The checks of section 7.1 up to authorization.
    fn check(&self, context: &Context<'_>, request: &SubscribeRequest) -> Result<(), Refusal> {
        let name = request.channel.as_str();
        let resolved = context.namespaces.resolve(name);
        match request.kind {
            0 => {}
            4 => return Err(Refusal::NOT_AVAILABLE),
            1..=3 => return Err(Refusal::PERMISSION_DENIED),
            _ => return Err(Refusal::BAD_REQUEST),
        }
        if resolved.is_some_and(|resolved| !resolved.is_short_enough()) {
            return Err(Refusal::BAD_REQUEST);
        }
        if self.find(name).is_ok() {
            return Err(Refusal::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= context.settings.channel_limit {
            return Err(Refusal::LIMIT_EXCEEDED);
        }
        let resolved = resolved.ok_or(Refusal::UNKNOWN_CHANNEL)?;
        if !resolved.is_well_formed() || request.has_filter {
            return Err(Refusal::BAD_REQUEST);
        }
        if resolved.is_private() && request.token.is_empty() {
            return Err(Refusal::PERMISSION_DENIED);
        }
        Ok(())
    }

    fn grant_by_permission(&self, context: &Context<'_>, channel: &str) -> Result<Grant, Refusal> {
        let resolved = context
            .namespaces
            .resolve(channel)
            .ok_or(Refusal::UNKNOWN_CHANNEL)?;
        let is_allowed = self.requester(context, channel).may_subscribe(&resolved);
        if is_allowed {
            Ok(Grant::default())
        } else {
            Err(Refusal::PERMISSION_DENIED)
        }
    }

    pub(super) fn granted(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: &SubscribeRequest,
        outcome: Result<TokenGrant, TokenRefusal>,
        effects: &mut Vec<Effect>,
    ) {
        let planned = match outcome {
            Err(TokenRefusal::Expired) => Err(Refusal::TOKEN_EXPIRED.into()),
            Err(TokenRefusal::Invalid) => Err(Refusal::PERMISSION_DENIED.into()),
            Ok(token) if !self.is_for(&token, &request.channel) => {
                Err(Rejection::from(Disconnect::INVALID_TOKEN))
            }
            // Another command may have come between when several may wait at a time.
            Ok(_) if self.find(&request.channel).is_ok() => Err(Refusal::ALREADY_SUBSCRIBED.into()),
            Ok(token) => self
                .plan_client(context, token.grant, request)
                .map_err(Rejection::from),
        };
        match planned {
            Ok(plan) => self.join(id, plan, effects),
            Err(rejection) => self.reject(id, rejection, effects),
        }
    }

    fn is_for(&self, token: &TokenGrant, channel: &str) -> bool {
        token.channel == channel
            && token.user == self.info.user.as_str()
            && token.client.is_none_or(|client| client == self.client)
    }

    fn plan_client(
        &self,
        context: &Context<'_>,
        grant: Grant,
        request: &SubscribeRequest,
    ) -> Result<Plan, Refusal> {
        if grant.expire_at.is_some_and(|at| at <= context.now.unix()) {
            return Err(Refusal::EXPIRED);
        }
        let resolved = context
            .namespaces
            .resolve(&request.channel)
            .ok_or(Refusal::UNKNOWN_CHANNEL)?;
        Ok(self.plan(context, &resolved, grant, request, false))
    }

    /// Decides what an allowed subscription is like.
    pub(super) fn plan(
        &self,
        context: &Context<'_>,
        channel: &Resolved<'_>,
        grant: Grant,
        request: &SubscribeRequest,
        is_server_side: bool,
    ) -> Plan {
        let options = channel.options;
        let overrides = grant.overrides;
        // What a subscriber may read counts for the one who is about to be a subscriber.
        let reader = Requester {
            user: self.info.user.as_str(),
            is_insecure: context.settings.is_insecure,
            is_subscribed: true,
        };
        let reads_history = reader.may_read_history(channel);
        let announces = overrides.join_leave.unwrap_or(options.join_leave);
        let wants_attendance = overrides
            .force_push_join_leave
            .unwrap_or(options.force_push_join_leave)
            || (request.join_leave && announces && reader.may_read_presence(channel));
        let is_recoverable = overrides.force_recovery.unwrap_or(options.force_recovery)
            || (request.recoverable && (options.allow_recovery || reads_history));
        let is_positioned = is_recoverable
            || overrides
                .force_positioning
                .unwrap_or(options.force_positioning)
            || (request.positioned && (options.allow_positioning || reads_history));
        let info = match grant.info {
            None => Arc::clone(&self.info),
            chan_info => Arc::new(ClientInfo {
                chan_info,
                ..(*self.info).clone()
            }),
        };
        Plan {
            channel: channel.channel(),
            info,
            data: grant.data,
            expire_at: grant.expire_at.filter(|_| !context.settings.is_insecure),
            recover: request.recover,
            is_server_side,
            keeps_presence: overrides.presence.unwrap_or(options.presence),
            announces,
            wants_attendance,
            is_positioned,
            is_recoverable,
            rejects_unrecovered: request.rejects_unrecovered(),
        }
    }

    fn join(&mut self, id: u32, plan: Plan, effects: &mut Vec<Effect>) {
        let joins = vec![plan.join_request()];
        self.hold(&plan, effects);
        let plan = Box::new(plan);
        self.ask(Pending::Join { id, plan }, Ask::Join(joins), effects);
    }

    /// Takes the subscription's place, so that neither a second one nor a delivery slips in.
    pub(super) fn hold(&mut self, plan: &Plan, effects: &mut Vec<Effect>) {
        if let Err(index) = self.find(plan.channel.as_str()) {
            let own_info = !Arc::ptr_eq(&plan.info, &self.info);
            let subscription = Subscription {
                channel: plan.channel.clone(),
                info: own_info.then(|| Arc::clone(&plan.info)),
                expires: None,
                is_live: false,
                is_server_side: plan.is_server_side,
                keeps_presence: plan.keeps_presence,
                announces: plan.announces,
            };
            // Most sessions have few subscriptions, and every one of them is remembered for long.
            self.subscriptions.reserve_exact(1);
            self.subscriptions.insert(index, subscription);
            effects.push(Effect::Await(plan.channel.clone()));
        }
    }

    pub(super) fn joined(
        &mut self,
        context: &Context<'_>,
        id: u32,
        plan: Plan,
        outcome: Result<Vec<Joined>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = outcome.and_then(|joined| joined.into_iter().next().ok_or(Refusal::INTERNAL));
        let is_unrecovered = |joined: &Joined| {
            joined
                .recovery
                .as_ref()
                .is_some_and(|recovery| !recovery.is_recovered)
        };
        match outcome {
            Ok(joined) if plan.rejects_unrecovered && is_unrecovered(&joined) => {
                self.drop_subscription(plan.channel.as_str(), effects);
                effects.push(reply(id, Err(Refusal::UNRECOVERABLE_POSITION)));
            }
            Ok(joined) => {
                let (result, membership) = plan.result(context, joined);
                effects.push(reply(id, Ok(ReplyBody::Subscribe(Box::new(result)))));
                self.set_expiry(context, plan.channel.as_str(), plan.expire_at);
                self.enter(&plan, membership, effects);
            }
            Err(refusal) => {
                self.drop_subscription(plan.channel.as_str(), effects);
                effects.push(reply(id, Err(refusal)));
            }
        }
    }

    fn set_expiry(&mut self, context: &Context<'_>, channel: &str, expire_at: Option<i64>) {
        if let Ok(index) = self.find(channel) {
            let delay = context.settings.expired_sub_close_delay;
            self.subscriptions[index].expires = Self::expiry(context, expire_at, delay).0;
        }
    }

    /// The client has been told of its subscription; others are told now.
    pub(super) fn enter(&mut self, plan: &Plan, membership: Membership, effects: &mut Vec<Effect>) {
        let Ok(index) = self.find(plan.channel.as_str()) else {
            return;
        };
        self.subscriptions[index].is_live = true;
        effects.push(Effect::Enter(plan.channel.clone(), membership));
        if plan.announces {
            let attendance = Attendance::Join(Arc::clone(&plan.info));
            effects.push(announce(&plan.channel, attendance));
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &str, effects: &mut Vec<Effect>) -> bool {
        let found = self.find(channel);
        if let Ok(index) = found {
            let subscription = self.subscriptions.remove(index);
            self.end(subscription, effects);
        }
        found.is_ok()
    }

    /// Gives up a subscription that the client was never told of.
    pub(super) fn drop_subscription(&mut self, channel: &str, effects: &mut Vec<Effect>) {
        self.unsubscribe(channel, effects);
    }

    pub(super) fn end(&self, subscription: Subscription, effects: &mut Vec<Effect>) {
        let channel = subscription.channel;
        effects.push(Effect::Leave(channel.clone()));
        if subscription.keeps_presence {
            let client = self.client;
            let channel = channel.clone();
            effects.push(Effect::Tell(Tell::RemovePresence { channel, client }));
        }
        if subscription.announces && subscription.is_live {
            let info = subscription.info.unwrap_or_else(|| Arc::clone(&self.info));
            effects.push(announce(&channel, Attendance::Leave(info)));
        }
    }

    /// Undoes a join that was answered when nobody wanted it any more.
    pub(super) fn undo_join(&self, plan: &Plan, effects: &mut Vec<Effect>) {
        let channel = plan.channel.clone();
        effects.push(Effect::Leave(channel.clone()));
        if plan.keeps_presence {
            effects.push(Effect::Tell(Tell::RemovePresence {
                channel,
                client: self.client,
            }));
        }
    }

    /// Publications of `channel` were missed and cannot be brought back (section 8.2).
    pub(super) fn lose(&mut self, channel: &ChannelName, effects: &mut Vec<Effect>) {
        let Ok(index) = self.find(channel.as_str()) else {
            return;
        };
        if self.subscriptions[index].is_server_side {
            return self.close(Disconnect::INSUFFICIENT_STATE, effects);
        }
        self.revoke(channel, Unsubscribed::INSUFFICIENT_STATE, effects);
    }

    /// Ends a live subscription and tells the client why.
    pub(super) fn revoke(
        &mut self,
        channel: &ChannelName,
        unsubscribed: Unsubscribed,
        effects: &mut Vec<Effect>,
    ) {
        if self.unsubscribe(channel.as_str(), effects) {
            effects.push(Effect::Push(Notice::Unsubscribe(
                channel.clone(),
                unsubscribed,
            )));
        }
    }

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
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if token.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        // Some SDKs leave the channel out; the token names it too.
        if !channel.is_empty() && self.find(&channel).is_err() {
            return Err(Refusal::PERMISSION_DENIED);
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
        let Ok(index) = self.find(channel) else {
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
        let (expires, expiry) = Self::expiry(context, token.grant.expire_at, delay);
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

    fn reject(&mut self, id: u32, rejection: Rejection, effects: &mut Vec<Effect>) {
        match rejection {
            Rejection::Refuse(refusal) => effects.push(reply(id, Err(refusal))),
            Rejection::Disconnect(disconnect) => self.close(disconnect, effects),
        }
    }

    /// The index of a subscription, or where it would have to be.
    pub(super) fn find(&self, channel: &str) -> Result<usize, usize> {
        self.subscriptions
            .binary_search_by(|held| held.channel.as_str().cmp(channel))
    }

    pub(super) fn requester<'a>(&'a self, context: &Context<'_>, channel: &str) -> Requester<'a> {
        let is_live = |index: usize| self.subscriptions[index].is_live;
        Requester {
            user: self.info.user.as_str(),
            is_insecure: context.settings.is_insecure,
            is_subscribed: self.find(channel).is_ok_and(is_live),
        }
    }

    /// Who the session is in `channel`.
    pub(super) fn info_in(&self, channel: &str) -> Arc<ClientInfo> {
        let own = self
            .find(channel)
            .ok()
            .and_then(|index| self.subscriptions[index].info.as_ref());
        Arc::clone(own.unwrap_or(&self.info))
    }
}

impl Plan {
    pub(super) fn join_request(&self) -> JoinRequest {
        JoinRequest {
            channel: self.channel.clone(),
            recover: self.recover.filter(|_| self.is_recoverable),
            presence: self.keeps_presence.then(|| Arc::clone(&self.info)),
        }
    }

    /// What the client is told (section 8.3), and where it then stands.
    pub(super) fn result(
        &self,
        context: &Context<'_>,
        joined: Joined,
    ) -> (SubscribeResult, Membership) {
        let Joined { top, recovery } = joined;
        let membership = Membership {
            position: top,
            is_positioned: self.is_positioned,
            wants_attendance: self.wants_attendance,
        };
        let is_recovered = recovery
            .as_ref()
            .is_some_and(|recovery| recovery.is_recovered);
        // Whoever recovers goes on from where it stood, through the publications that follow.
        let position = match self.recover {
            Some(from) if is_recovered => Position {
                offset: from.offset,
                ..top
            },
            _ => top,
        };
        let delay = context.settings.expired_sub_close_delay;
        let result = SubscribeResult {
            expiry: Session::expiry(context, self.expire_at, delay).1,
            recoverable: self.is_recoverable,
            positioned: self.is_positioned,
            position: self.is_positioned.then_some(position),
            publications: recovery.map_or_else(Vec::new, |recovery| recovery.publications),
            recovered: is_recovered,
            was_recovering: self.recover.is_some(),
            data: self.data.clone(),
        };
        (result, membership)
    }

    pub(super) fn notice(&self, top: Position) -> Notice {
        Notice::Subscribe {
            channel: self.channel.clone(),
            recoverable: self.is_recoverable,
            position: self.is_positioned.then_some(top),
            data: self.data.clone(),
        }
    }
}

fn announce(channel: &ChannelName, attendance: Attendance) -> Effect {
    Effect::Tell(Tell::Announce {
        channel: channel.clone(),
        attendance,
    })
}
