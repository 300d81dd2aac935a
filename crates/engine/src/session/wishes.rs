//! Channels that a client wishes for when it connects, beside those that it has anyway: section 6.4
//! of the client protocol. One that it may not have is passed over.

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::{Disconnect, Payload};

use super::plan::Plan;
use super::{Context, Effect, Session};
use crate::application::{Decision, Verdict};
use crate::authority::Grant;
use crate::channel::permission::Requester;

impl Session {
    /// Plans what the client may have by plain permissions. Returns what the application wants to
    /// be asked about, no more than a little beyond the limit of channels.
    pub(super) fn add_wishes(
        &self,
        context: &Context<'_>,
        request: &ConnectRequest,
        plans: &mut Vec<Plan>,
    ) -> Result<Vec<SubscribeRequest>, Rejection> {
        let mut asked = Vec::new();
        for (channel, hint) in &request.subs {
            if plans.iter().any(|plan| plan.channel.as_str() == channel) {
                continue;
            }
            let resolved = context
                .namespaces
                .resolve(channel)
                .ok_or(Disconnect::BAD_REQUEST)?;
            let requester = Requester {
                is_subscribed: false,
                ..self.requester(context, channel)
            };
            let is_fine = resolved.is_short_enough() && resolved.is_well_formed();
            if !is_fine || resolved.is_private() {
                continue;
            }
            if context.asks_about_subscriber(channel) {
                asked.push(SubscribeRequest {
                    channel: channel.clone(),
                    ..hint.clone()
                });
            } else if requester.may_subscribe(&resolved) {
                plans.push(self.server_plan(context, channel, Grant::default(), Some(hint))?);
            }
            // Each wish is compared with all plans: thousands are not waited for.
            if plans.len() + asked.len() > context.settings.channel_limit {
                break;
            }
        }
        Ok(asked)
    }

    /// Takes the application's word on what the client wishes for.
    pub(super) fn wished(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (mut plans, data): (Vec<Plan>, Option<Payload>),
        decided: Vec<(SubscribeRequest, Decision<Grant>)>,
        effects: &mut Vec<Effect>,
    ) {
        for (wish, decision) in decided {
            match self.grant_wish(context, &wish, decision) {
                Ok(plan) => plans.extend(plan),
                Err(rejection) => return self.reject_connect(context, id, rejection, effects),
            }
        }
        self.join_planned(context, id, (plans, data), effects);
    }

    fn grant_wish(
        &self,
        context: &Context<'_>,
        wish: &SubscribeRequest,
        decision: Decision<Grant>,
    ) -> Result<Option<Plan>, Rejection> {
        let channel = wish.channel.as_str();
        let granted = match decision {
            Ok(Verdict::Allowed(grant)) => Some(grant),
            Ok(Verdict::AsConfigured) => self.grant_by_permission(context, channel).ok(),
            // A connection without it would be one that never gets it: the client should rather
            // come again, as when a join fails.
            Err(Rejection::Refuse(refusal)) if refusal.temporary => return Err(refusal.into()),
            Err(Rejection::Refuse(_)) => None,
            Err(end @ Rejection::Disconnect(_)) => return Err(end),
        };
        let now = context.now.unix();
        let granted = granted.filter(|grant| grant.expire_at.is_none_or(|at| at > now));
        let plan = granted.map(|grant| self.server_plan(context, channel, grant, Some(wish)));
        plan.transpose()
    }
}
