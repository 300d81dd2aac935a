//! Subscribing, unsubscribing and renewing: sections 7 and 8 of the client protocol.

use std::sync::Arc;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{FilterNode, SubscribeRequest};
use campanile_protocol::{ClientInfo, Disconnect, Refusal, ReplyBody, Unsubscribed};

use super::plan::Plan;
use super::{Context, Effect, Membership, Notice, Pending, Session, reply};
use crate::ask::{Ask, Joined, Question, Tell};
use crate::authority::{Grant, TokenGrant, TokenRefusal};
use crate::broker::Attendance;
use crate::channel::options::DeltaType;
use crate::channel::permission::Requester;
use crate::channel::{ChannelName, FilterError, TagsFilter};
use crate::time::Moment;

/// A subscription of a session, from the moment it is asked for.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: ChannelName,
    /// Differs from the session's own when the subscription has something to tell about itself.
    pub(super) info: Option<Arc<ClientInfo>>,
    /// When it ends if nobody renews it, delay included.
    pub(super) expires: Option<Moment>,
    stage: Stage,
    pub(super) is_server_side: bool,
    pub(super) keeps_presence: bool,
    announces: bool,
    is_positioned: bool,
}

/// How far a subscription has come.
///
/// One whose join is under way keeps its place until the answer comes, even when nobody wants it
/// any more: what the join brings about is undone once, and behind it.
#[derive(Debug)]
enum Stage {
    /// Its join is under way.
    Joining,
    /// So it is, but the subscription ends with the answer.
    Revoked(Revocation),
    /// The client knows that it has it.
    Live,
}

/// Who no longer wants a subscription whose join is under way.
#[derive(Debug)]
enum Revocation {
    /// The client, which waits for the answer to this command.
    ByClient(u32),
    /// The server, with what the client is told when it has been told of the subscription.
    ByServer(Unsubscribed),
}

impl Subscription {
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    pub(super) const fn is_revoked(&self) -> bool {
        matches!(self.stage, Stage::Revoked(_))
    }
}

impl Session {
    pub(super) fn subscribe(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: Box<SubscribeRequest>,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(rejection) = self.check(context, &request) {
            return self.reject(id, rejection, effects);
        }
        if !request.token.is_empty() {
            let ask = Ask::Grant {
                token: request.token.clone(),
            };
            self.ask(Pending::Grant { id, request }, ask, effects);
        } else if context.asks_about_subscriber(&request.channel) {
            let question = Question::Subscribe(request);
            self.consult(Pending::Subscribe { id }, question, effects);
        } else {
            match self.grant_by_permission(context, &request.channel) {
                Ok(grant) => self.join_granted(context, id, grant, &request, effects),
                Err(refusal) => self.reject(id, refusal.into(), effects),
            }
        }
    }

    /// The checks of section 7.1 up to authorization.
    fn check(&self, context: &Context<'_>, request: &SubscribeRequest) -> Result<(), Rejection> {
        let name = request.channel.as_str();
        match request.kind {
            0..=3 => {}
            4 => return Err(Refusal::NOT_AVAILABLE.into()),
            _ => return Err(Refusal::BAD_REQUEST.into()),
        }
        check_delta(request)?;
        // Whatever else is wrong with a filter is told behind all other checks, but one beyond the
        // bounds is not kept while a token is judged.
        let is_too_large =
            |filter: &FilterNode| TagsFilter::new(filter) == Err(FilterError::TooLarge);
        if request.filter.as_deref().is_some_and(is_too_large) {
            return Err(Refusal::BAD_REQUEST.into());
        }
        if !context.namespaces.allows_length_of(name) {
            return Err(Refusal::BAD_REQUEST.into());
        }
        self.check_room(context, name)?;
        let resolved = context
            .namespaces
            .resolve(name)
            .ok_or(Refusal::UNKNOWN_CHANNEL)?;
        if !resolved.is_well_formed() {
            return Err(Refusal::BAD_REQUEST.into());
        }
        // There are no namespaces of maps.
        if request.kind != 0 || (resolved.is_private() && request.token.is_empty()) {
            return Err(Refusal::PERMISSION_DENIED.into());
        }
        Ok(())
    }

    fn check_room(&self, context: &Context<'_>, channel: &str) -> Result<(), Refusal> {
        if self.find(channel).is_ok() {
            return Err(Refusal::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= context.settings.channel_limit {
            return Err(Refusal::LIMIT_EXCEEDED);
        }
        Ok(())
    }

    pub(super) fn grant_by_permission(
        &self,
        context: &Context<'_>,
        channel: &str,
    ) -> Result<Grant, Refusal> {
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
        let granted = match outcome {
            Err(TokenRefusal::Expired) => Err(Rejection::from(Refusal::TOKEN_EXPIRED)),
            Err(TokenRefusal::Invalid) => Err(Refusal::PERMISSION_DENIED.into()),
            Err(TokenRefusal::Unavailable) => Err(Refusal::INTERNAL.into()),
            Ok(token) if !self.is_for(&token, &request.channel) => {
                Err(Disconnect::INVALID_TOKEN.into())
            }
            Ok(token) => Ok(token.grant),
        };
        match granted {
            Ok(grant) => self.join_granted(context, id, grant, request, effects),
            Err(rejection) => self.reject(id, rejection, effects),
        }
    }

    pub(super) fn join_granted(
        &mut self,
        context: &Context<'_>,
        id: u32,
        grant: Grant,
        request: &SubscribeRequest,
        effects: &mut Vec<Effect>,
    ) {
        // Another command or an order may have come between.
        let room = self.check_room(context, &request.channel);
        match room.and_then(|()| self.plan_client(context, grant, request)) {
            Ok(plan) => self.join(id, plan, effects),
            Err(refusal) => effects.push(reply(id, Err(refusal))),
        }
    }

    pub(super) fn is_for(&self, token: &TokenGrant, channel: &str) -> bool {
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
        let filter = match &request.filter {
            Some(_) if !resolved.options.allow_tags_filter => return Err(Refusal::BAD_REQUEST),
            Some(node) => Some(TagsFilter::new(node).map_err(|_| Refusal::BAD_REQUEST)?),
            None => None,
        };
        let plan = Plan {
            filter: filter.map(Arc::new),
            ..self.plan(context, &resolved, grant, request, false)
        };
        self.check_plain(&plan)?;
        Ok(plan)
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
                stage: Stage::Joining,
                is_server_side: plan.is_server_side,
                keeps_presence: plan.keeps_presence,
                announces: plan.announces,
                is_positioned: plan.is_positioned,
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
        plan: &Plan,
        outcome: Result<Vec<Joined>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = outcome.and_then(|joined| joined.into_iter().next().ok_or(Refusal::INTERNAL));
        let is_unrecovered = |joined: &Joined| {
            let recovery = joined.recovery.as_ref();
            recovery.is_some_and(|recovery| !recovery.is_recovered)
        };
        let outcome = match outcome {
            Ok(joined) if plan.rejects_unrecovered && is_unrecovered(&joined) => {
                Err(Refusal::UNRECOVERABLE_POSITION)
            }
            outcome => outcome,
        };
        match outcome {
            Ok(joined) => {
                let (result, membership) = plan.result(context, joined);
                effects.push(reply(id, Ok(ReplyBody::Subscribe(Box::new(result)))));
                self.enter(context, plan, membership, effects);
            }
            Err(refusal) => {
                effects.push(reply(id, Err(refusal)));
                self.give_up(plan.channel.as_str(), effects);
            }
        }
    }

    /// The client has been told of its subscription; others are told now. When it was revoked
    /// meanwhile, the client is told of its end right away.
    pub(super) fn enter(
        &mut self,
        context: &Context<'_>,
        plan: &Plan,
        membership: Membership,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(index) = self.find(plan.channel.as_str()) else {
            return;
        };
        let subscription = &mut self.subscriptions[index];
        if let Stage::Revoked(Revocation::ByServer(unsubscribed)) = &subscription.stage {
            let notice = Notice::Unsubscribe(plan.channel.clone(), unsubscribed.clone());
            effects.push(Effect::Push(notice));
        }
        if subscription.is_revoked() {
            return self.give_up(plan.channel.as_str(), effects);
        }
        subscription.stage = Stage::Live;
        subscription.expires = Self::expiry(context, plan.expire_at, plan.delay).0;
        effects.push(Effect::Enter(plan.channel.clone(), membership));
        if plan.announces {
            let attendance = Attendance::Join(Arc::clone(&plan.info));
            effects.push(announce(&plan.channel, attendance));
        }
    }

    /// Ends a subscription for the client; always succeeds (section 7.3).
    pub(super) fn unsubscribe(&mut self, id: u32, channel: &str, effects: &mut Vec<Effect>) {
        match self.find(channel) {
            Ok(index) if !self.subscriptions[index].is_live() => {
                let revocation = Revocation::ByClient(id);
                self.subscriptions[index].stage = Stage::Revoked(revocation);
            }
            Ok(index) => {
                self.end_live(index, effects);
                effects.push(reply(id, Ok(ReplyBody::Unsubscribe)));
            }
            Err(_) => effects.push(reply(id, Ok(ReplyBody::Unsubscribe))),
        }
    }

    /// Gives up a subscription whose join was answered, but which nobody has any more.
    pub(super) fn give_up(&mut self, channel: &str, effects: &mut Vec<Effect>) {
        let Ok(index) = self.find(channel) else {
            return;
        };
        let subscription = self.subscriptions.remove(index);
        let waiting = match &subscription.stage {
            Stage::Revoked(Revocation::ByClient(id)) => Some(*id),
            _ => None,
        };
        self.end(subscription, effects);
        effects.extend(waiting.map(|id| reply(id, Ok(ReplyBody::Unsubscribe))));
    }

    fn end_live(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let subscription = self.subscriptions.remove(index);
        // What the application says of it is not meant for another one of the same channel.
        let is_of_it = |pending: &Pending| match pending {
            Pending::SubRenewal(channel) => *channel == subscription.channel,
            _ => false,
        };
        self.pending.retain(|open| !is_of_it(&open.pending));
        self.end(subscription, effects);
    }

    /// Undoes what a subscription brought about: nobody is told that somebody left who was never
    /// announced.
    pub(super) fn end(&self, subscription: Subscription, effects: &mut Vec<Effect>) {
        let is_announced = subscription.announces && subscription.is_live();
        let channel = subscription.channel;
        effects.push(Effect::Leave(channel.clone()));
        if subscription.keeps_presence {
            let client = self.client;
            let channel = channel.clone();
            effects.push(Effect::Tell(Tell::RemovePresence { channel, client }));
        }
        if is_announced {
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

    /// Ends a subscription and tells the client why: now, or when it has been told of it.
    pub(super) fn revoke(
        &mut self,
        channel: &ChannelName,
        unsubscribed: Unsubscribed,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(index) = self.find(channel.as_str()) else {
            return;
        };
        match self.subscriptions[index].stage {
            Stage::Live => {
                self.end_live(index, effects);
                let notice = Notice::Unsubscribe(channel.clone(), unsubscribed);
                effects.push(Effect::Push(notice));
            }
            Stage::Joining => {
                let revocation = Revocation::ByServer(unsubscribed);
                self.subscriptions[index].stage = Stage::Revoked(revocation);
            }
            Stage::Revoked(_) => {}
        }
    }

    pub(super) fn reject(&mut self, id: u32, rejection: Rejection, effects: &mut Vec<Effect>) {
        match rejection {
            Rejection::Refuse(refusal) => effects.push(reply(id, Err(refusal))),
            Rejection::Disconnect(disconnect) => self.close(disconnect, effects),
        }
    }

    /// Channels in which a gap must not pass unnoticed.
    pub(crate) fn positioned_channels(&self) -> impl Iterator<Item = &ChannelName> {
        let watched = |held: &&Subscription| held.is_positioned && held.is_live();
        self.subscriptions
            .iter()
            .filter(watched)
            .map(|held| &held.channel)
    }

    /// The index of a subscription, or where it would have to be.
    pub(super) fn find(&self, channel: &str) -> Result<usize, usize> {
        self.subscriptions
            .binary_search_by(|held| held.channel.as_str().cmp(channel))
    }

    /// The index of a subscription that the client has been told of.
    pub(super) fn find_live(&self, channel: &str) -> Option<usize> {
        let found = self.find(channel).ok();
        found.filter(|index| self.subscriptions[*index].is_live())
    }

    pub(super) fn is_revoked(&self, channel: &str) -> bool {
        let found = self.find(channel);
        found.is_ok_and(|index| self.subscriptions[index].is_revoked())
    }

    pub(super) fn requester<'a>(&'a self, context: &Context<'_>, channel: &str) -> Requester<'a> {
        Requester {
            user: self.info.user.as_str(),
            is_insecure: context.settings.is_insecure,
            is_subscribed: self.find_live(channel).is_some(),
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

/// A kind of deltas that nobody knows is a mistake, not a wish (section 10.1).
pub(super) fn check_delta(request: &SubscribeRequest) -> Result<(), Disconnect> {
    if request.delta.is_empty() || DeltaType::named(&request.delta).is_some() {
        Ok(())
    } else {
        Err(Disconnect::BAD_REQUEST)
    }
}

fn announce(channel: &ChannelName, attendance: Attendance) -> Effect {
    Effect::Tell(Tell::Announce {
        channel: channel.clone(),
        attendance,
    })
}
