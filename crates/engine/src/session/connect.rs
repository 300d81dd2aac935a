//! Connecting: section 6 of the client protocol.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::reply::ConnectResult;
use campanile_protocol::wire::Manner;
use campanile_protocol::{ClientInfo, Disconnect, Payload, Refusal, ReplyBody};

use super::bequest::Bequest;
use super::manner::unanswerable;
use super::plan::Plan;
use super::subscribe::check_delta;
use super::{Context, Effect, Notice, Pending, REFUSED_LINGER, Session, State, reply};
use crate::application::Interests;
use crate::ask::{Ask, Joined, Question, Tell, Wanted};
use crate::authority::{Credentials, Grant};
use crate::headers::{Headers, HeadersFull};
use crate::node::UserSeat;

impl Session {
    pub(super) fn connect(
        &mut self,
        context: &Context<'_>,
        id: u32,
        mut request: Box<ConnectRequest>,
        effects: &mut Vec<Effect>,
    ) {
        self.state = State::Connecting;
        let mut handshake = self.handshake.take();
        let real = handshake.as_mut().map(|known| take(&mut known.headers));
        let emulated = take(&mut request.headers);
        let headers = match gather(context, real.unwrap_or_default(), &emulated) {
            Ok(headers) => (!headers.is_empty()).then(|| Arc::new(headers)),
            Err(refusal) => return self.reject_connect(context, id, refusal.into(), effects),
        };
        // Those of whose end the application will be told may have to wait for other ends.
        let has_interest = context.asks(Interests::CONNECTING | Interests::DISCONNECTED);
        let (wanted, abandoned) = has_interest.then(Wanted::new).unzip();
        let ask = Ask::Connect {
            client: self.client,
            wire: self.wire,
            request: request.clone(),
            handshake,
            headers: headers.clone(),
            abandoned,
        };
        let pending = Pending::Connect {
            id,
            request,
            headers: headers.filter(|_| context.settings.keeps_headers),
        };
        self.ask_while(wanted, pending, ask, effects);
    }

    pub(super) fn connected(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (request, headers): (&ConnectRequest, Option<Arc<Headers>>),
        outcome: Result<(Credentials, Option<UserSeat>), Rejection>,
        effects: &mut Vec<Effect>,
    ) {
        let mut data = None;
        let planned = outcome.and_then(|(mut credentials, seat)| {
            self.seat = seat;
            data = credentials.data.take();
            self.accept(context, credentials, request, headers)
        });
        match planned {
            Err(rejection) => self.reject_connect(context, id, rejection, effects),
            Ok((plans, wishes)) if wishes.is_empty() => {
                self.join_planned(context, id, (plans, data), effects);
                if self.is_plain() {
                    self.join_only(context, request, effects);
                }
            }
            Ok((plans, wishes)) => {
                let pending = Pending::Wishes { id, plans, data };
                self.consult(pending, Question::Wishes(wishes), effects);
            }
        }
    }

    pub(super) fn join_planned(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (plans, data): (Vec<Plan>, Option<Payload>),
        effects: &mut Vec<Effect>,
    ) {
        if plans.is_empty() {
            return self.go_live(context, id, (Vec::new(), data), effects);
        }
        let joins = plans.iter().map(Plan::join_request).collect();
        for plan in &plans {
            self.hold(plan, effects);
        }
        self.ask(
            Pending::ConnectJoins { id, plans, data },
            Ask::Join(joins),
            effects,
        );
    }

    pub(super) fn connect_joined(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (plans, data): (Vec<Plan>, Option<Payload>),
        outcome: Result<Vec<Joined>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            Ok(joined) => {
                let joined = plans.into_iter().zip(joined).collect();
                self.go_live(context, id, (joined, data), effects);
            }
            Err(refusal) => {
                for plan in &plans {
                    self.give_up(plan.channel.as_str(), effects);
                }
                self.reject_connect(context, id, refusal.into(), effects);
            }
        }
    }

    /// Takes over the credentials and plans the server-side subscriptions (section 6.3); about
    /// those that come second the application has yet to be asked.
    fn accept(
        &mut self,
        context: &Context<'_>,
        credentials: Credentials,
        request: &ConnectRequest,
        headers: Option<Arc<Headers>>,
    ) -> Result<(Vec<Plan>, Vec<SubscribeRequest>), Rejection> {
        self.info = Arc::new(ClientInfo {
            user: credentials.user,
            client: self.client,
            conn_info: credentials.info,
            chan_info: None,
        });
        let (mut plans, mut wishes): (Vec<Plan>, _) = Default::default();
        let mut bequest = Bequest {
            caller: self.introduce(context, request, credentials.meta, headers),
            has_mourner: context.asks(Interests::DISCONNECTED),
            ..Bequest::default()
        };
        // On a plain wire there is no telling one channel's payloads from another's.
        if !self.is_plain() {
            for (channel, grant) in credentials.subscriptions {
                let hint = request.subs.get(&channel);
                let plan = self.server_plan(context, &channel, grant, hint)?;
                bequest.channels.push(plan.channel.clone());
                plans.push(plan);
            }
            if let Some(channel) = self.personal_channel(context)
                && plans.iter().all(|plan| plan.channel.as_str() != channel)
            {
                let hint = request.subs.get(&channel);
                plans.push(self.server_plan(context, &channel, Grant::default(), hint)?);
            }
            if credentials.considers_wishes {
                wishes = self.add_wishes(context, request, &mut plans)?;
            }
        }
        self.bequest = bequest.into_option();
        if plans.len() + wishes.len() > context.settings.channel_limit {
            return Err(Disconnect::CHANNEL_LIMIT.into());
        }
        let expire_at = credentials
            .expire_at
            .filter(|_| !context.settings.is_insecure);
        if expire_at.is_some_and(|at| at <= context.now.unix()) {
            return Err(Refusal::EXPIRED.into());
        }
        self.expires = Self::expiry(context, expire_at, context.refresh_delay()).0;
        Ok((plans, wishes))
    }

    fn personal_channel(&self, context: &Context<'_>) -> Option<String> {
        let namespace = context.settings.personal_channel_namespace.as_deref()?;
        let user = self.info.user.as_str();
        (!user.is_empty()).then(|| context.namespaces.personal_channel(namespace, user))
    }

    pub(super) fn server_plan(
        &self,
        context: &Context<'_>,
        channel: &str,
        grant: Grant,
        hint: Option<&SubscribeRequest>,
    ) -> Result<Plan, Rejection> {
        let resolved = context
            .namespaces
            .resolve(channel)
            .ok_or(Refusal::UNKNOWN_CHANNEL)?;
        let mut request = SubscribeRequest::default();
        if let Some(hint) = hint {
            check_delta(hint)?;
            request.recover = hint.recover;
            request.delta.clone_from(&hint.delta);
        }
        Ok(self.plan(context, &resolved, grant, &request, true))
    }

    fn go_live(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (joined, data): (Vec<(Plan, Joined)>, Option<Payload>),
        effects: &mut Vec<Effect>,
    ) {
        let settings = context.settings;
        self.state = State::Live;
        let half = settings.ping_interval / 2;
        self.deadline = context.now.moment + half + half.mul_f64(f64::from(self.jitter) / 65_536.0);
        let expires = self.expires.zip(context.refresh_delay());
        let expiry = expires.map(|(expires, delay)| {
            let left = expires.since(context.now.moment).saturating_sub(delay);
            u32::try_from(left.as_secs()).unwrap_or(u32::MAX)
        });
        let mut subs = Vec::with_capacity(joined.len());
        let mut entries = Vec::with_capacity(joined.len());
        for (plan, joined) in joined {
            let (result, membership) = plan.result(context, joined);
            subs.push((plan.channel.as_str().to_owned(), result));
            entries.push((plan, membership));
        }
        let ttl_max = u32::try_from(super::TTL_SECONDS_MAX).unwrap_or(u32::MAX);
        effects.push(Effect::Enroll(self.info.user.clone()));
        let is_unidirectional = self.manner() == Manner::Unidirectional;
        let result = Box::new(ConnectResult {
            client: self.client,
            version: settings.version.clone(),
            expiry: campanile_protocol::reply::Expiry {
                ttl: expiry.map(|ttl| ttl.min(ttl_max)),
            },
            data,
            subs,
            ping: u32::try_from(settings.ping_interval.as_secs()).unwrap_or(u32::MAX),
            pong: !is_unidirectional,
            session: None,
            node: None,
            time: settings.tells_time.then_some(context.now.unix_millis),
        });
        effects.push(if is_unidirectional {
            Effect::Push(Notice::Connect(result))
        } else {
            reply(id, Ok(ReplyBody::Connect(result)))
        });
        for (plan, membership) in entries {
            self.enter(context, &plan, membership, effects);
        }
        if context.asks(Interests::CONNECTED) {
            self.consult(Pending::Connected, Question::Connected, effects);
        }
        if settings.has_one_connection && !self.info.user.is_anonymous() {
            effects.push(Effect::Tell(Tell::Supersede {
                user: self.info.user.clone(),
                client: self.client,
                claimed: None,
            }));
        }
    }

    pub(super) fn reject_connect(
        &mut self,
        context: &Context<'_>,
        id: u32,
        rejection: Rejection,
        effects: &mut Vec<Effect>,
    ) {
        match rejection {
            Rejection::Disconnect(disconnect) => self.close(disconnect, effects),
            Rejection::Refuse(refusal) if self.manner() == Manner::Unidirectional => {
                self.close(unanswerable(&refusal), effects);
            }
            Rejection::Refuse(refusal) => {
                self.state = State::Refused;
                self.expires = None;
                drop(self.seat.take());
                self.deadline = context.now.moment + REFUSED_LINGER;
                effects.push(reply(id, Err(refusal)));
            }
        }
    }
}

/// Adds what the client emulates to what its HTTP request said, as far as it is wanted.
fn gather(
    context: &Context<'_>,
    mut headers: Headers,
    emulated: &BTreeMap<String, String>,
) -> Result<Headers, Refusal> {
    for (name, value) in emulated {
        let wanted = context.settings.emulated_headers.iter();
        let mut wanted = wanted.filter(|wanted| wanted.eq_ignore_ascii_case(name));
        if let Some(wanted) = wanted.next() {
            // No HTTP request can say that, and whoever repeats it in one would say something else.
            if value.contains(|sign: char| sign.is_ascii_control() && sign != '\t') {
                return Err(Refusal::BAD_REQUEST);
            }
            let pushed = headers.push_emulated(wanted, value.as_bytes());
            pushed.map_err(|HeadersFull| Refusal::BAD_REQUEST)?;
        }
    }
    headers.shrink();
    Ok(headers)
}
