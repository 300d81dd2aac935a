//! What the application orders a session to do, through the server API.

use std::cmp::Ordering;

use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload, Position, Refusal, Unsubscribed};

use super::claim::{Claim, ClaimedAt};
use super::plan::Plan;
use super::{Context, Effect, Notice, Pending, Session, State};
use crate::ask::{Ask, Joined, Tell};
use crate::authority::Grant;
use crate::channel::ChannelName;

/// An order of the application.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Begin a server-side subscription. Nothing happens if there is a subscription already.
    Subscribe {
        /// Which.
        channel: ChannelName,
        /// What comes with it.
        grant: Grant,
        /// From where the client wants what it missed.
        recover: Option<Position>,
    },
    /// End a subscription, or all of them.
    Unsubscribe {
        /// Which; all without a value.
        channel: Option<ChannelName>,
        /// What the client is told.
        unsubscribed: Unsubscribed,
    },
    /// End the session.
    Disconnect(Disconnect),
    /// Be the only one of its user from this time on, in Unix milliseconds, until another one is; a
    /// session that is so since before stays that. Whoever gives it wants to know whether anybody
    /// is there.
    Claim(u64),
    /// End for another one that has the greater claim. Nothing happens to a session that has yet to
    /// claim anything, since it is newer; one that has the greater claim itself says so again.
    Yield(Claim),
    /// Say again that it is the only one, if it is that since this time or a later one: somebody
    /// may have missed it.
    Reclaim(u64),
    /// Send a message outside of any channel.
    Message(Payload),
    /// The credentials now run out at this Unix second, or never.
    Refresh {
        /// When.
        expire_at: Option<i64>,
        /// What the connection tells others from now on, when that changes.
        info: Option<Payload>,
    },
}

impl Session {
    pub(super) fn handle_order(
        &mut self,
        context: &Context<'_>,
        order: Order,
        effects: &mut Vec<Effect>,
    ) {
        match order {
            Order::Disconnect(disconnect) => self.close(disconnect, effects),
            _ if self.state != State::Live => {}
            Order::Claim(at) if self.claimed.get().is_none() => self.claimed = ClaimedAt::new(at),
            Order::Claim(_) => {}
            Order::Yield(claim) => self.yield_to(claim, effects),
            Order::Reclaim(since) => {
                if let Some(at) = self.claimed.get().filter(|at| *at >= since) {
                    self.reclaim(at, effects);
                }
            }
            // Its client could not tell one channel's payloads from another's.
            Order::Subscribe { .. } if self.is_plain() => {}
            Order::Subscribe {
                channel,
                grant,
                recover,
            } => {
                self.subscribe_by_order(context, &channel, grant, recover, effects);
            }
            Order::Unsubscribe {
                channel: Some(channel),
                unsubscribed,
            } => {
                self.revoke(&channel, unsubscribed, effects);
            }
            Order::Unsubscribe {
                channel: None,
                unsubscribed,
            } => {
                let all: Vec<_> = self
                    .subscriptions
                    .iter()
                    .map(|held| held.channel.clone())
                    .collect();
                for channel in all {
                    self.revoke(&channel, unsubscribed.clone(), effects);
                }
            }
            Order::Message(data) => effects.push(Effect::Push(Notice::Message(data))),
            Order::Refresh { expire_at, info } => {
                self.refresh_by_order(context, expire_at, info.as_ref(), effects);
            }
        }
    }

    fn yield_to(&mut self, other: Claim, effects: &mut Vec<Effect>) {
        let Some(at) = self.claimed.get() else {
            return;
        };
        let client = self.client;
        match (Claim { at, client }).cmp(&other) {
            Ordering::Less => self.close(Disconnect::CONNECTION_LIMIT, effects),
            Ordering::Equal => {}
            Ordering::Greater => self.reclaim(at, effects),
        }
    }

    fn reclaim(&self, at: u64, effects: &mut Vec<Effect>) {
        effects.push(Effect::Tell(Tell::Supersede {
            user: self.info.user.clone(),
            client: self.client,
            claimed: Some(at),
        }));
    }

    fn subscribe_by_order(
        &mut self,
        context: &Context<'_>,
        channel: &ChannelName,
        grant: Grant,
        recover: Option<Position>,
        effects: &mut Vec<Effect>,
    ) {
        if self.find(channel.as_str()).is_ok() {
            return;
        }
        if self.subscriptions.len() >= context.settings.channel_limit {
            return self.close(Disconnect::CHANNEL_LIMIT, effects);
        }
        let Some(resolved) = context.namespaces.resolve(channel.as_str()) else {
            return;
        };
        let request = SubscribeRequest {
            recover,
            ..SubscribeRequest::default()
        };
        let plan = self.plan(context, &resolved, grant, &request, true);
        let joins = vec![plan.join_request()];
        self.hold(&plan, effects);
        self.ask(
            Pending::OrderedJoin {
                plan: Box::new(plan),
            },
            Ask::Join(joins),
            effects,
        );
    }

    pub(super) fn ordered_join(
        &mut self,
        context: &Context<'_>,
        plan: &Plan,
        outcome: Result<Vec<Joined>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        match outcome.map(|joined| joined.into_iter().next()) {
            Ok(Some(joined)) if !self.is_revoked(plan.channel.as_str()) => {
                let (result, mut membership) = plan.result(context, joined);
                let position = result.position.unwrap_or(membership.position);
                effects.push(Effect::Push(plan.notice(position)));
                // The push has no place for publications: what was missed follows as pushes.
                effects.extend(result.publications.into_iter().map(|publication| {
                    membership.position.offset = membership.position.offset.max(publication.offset);
                    Effect::Push(Notice::Publication(plan.channel.clone(), publication))
                }));
                self.enter(context, plan, membership, effects);
            }
            // Nobody was told of it, so nobody has to be told of its end.
            _ => self.give_up(plan.channel.as_str(), effects),
        }
    }

    fn refresh_by_order(
        &mut self,
        context: &Context<'_>,
        expire_at: Option<i64>,
        info: Option<&Payload>,
        effects: &mut Vec<Effect>,
    ) {
        if expire_at.is_some_and(|at| at <= context.now.unix()) {
            return self.close(Disconnect::EXPIRED, effects);
        }
        let (expires, expiry) = Self::expiry(context, expire_at, context.refresh_delay());
        self.expires = expires;
        // It has just said what it would be asked.
        self.pending
            .retain(|open| !matches!(open.pending, Pending::Renewal));
        self.replace_info(info, effects);
        effects.push(Effect::Push(Notice::Refresh(expiry)));
    }
}
