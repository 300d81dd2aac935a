//! What the application is asked about a live session, and what its verdicts mean: server API,
//! section 6. What is asked when something runs out is beside that.

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload, Refusal, ReplyBody};

use super::pending::Pending;
use super::{Context, Effect, Session, reply};
use crate::application::{Decision, Interests, Revision, Verdict};
use crate::ask::{Answer, Ask, Question, Wanted};
use crate::authority::Grant;
use crate::channel::ChannelName;
use crate::channel::options::ChannelOptions;
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;

impl Context<'_> {
    /// Whether the application wants to be asked.
    pub(super) const fn asks(&self, interests: Interests) -> bool {
        self.settings.interests.has(interests)
    }

    /// Whether it wants to be asked about channels with these options.
    pub(super) const fn asks_about(&self, options: &ChannelOptions, interests: Interests) -> bool {
        let interests_here = self.settings.interests.without(options.unasked);
        interests_here.has(interests)
    }

    /// Whether it decides about subscribers without a token: not where the name itself lists them.
    pub(super) fn asks_about_subscriber(&self, channel: &str) -> bool {
        let resolved = self.namespaces.resolve(channel);
        resolved.is_some_and(|resolved| {
            self.asks_about(resolved.options, Interests::SUBSCRIBE) && !resolved.is_user_limited()
        })
    }
}

impl Session {
    /// Asks the application. The question is dropped together with `pending`.
    pub(super) fn consult(
        &mut self,
        pending: Pending,
        question: Question,
        effects: &mut Vec<Effect>,
    ) {
        let (wanted, abandoned) = Wanted::new();
        let ask = Ask::Consult {
            caller: self.caller(),
            question,
            abandoned,
        };
        self.ask_while(Some(wanted), pending, ask, effects);
    }

    /// Takes the application's answer to a question.
    pub(super) fn handle_verdict(
        &mut self,
        context: &Context<'_>,
        pending: Pending,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        match (pending, answer) {
            (Pending::Wishes { id, plans, data }, Answer::Wishes(decided)) => {
                self.wished(context, id, (plans, data), decided, effects);
            }
            (Pending::Subscribe { id }, Answer::Subscribing(request, decision)) => {
                self.subscribing(context, id, request, decision, effects);
            }
            (Pending::Publish { id }, Answer::Publishing(channel, data, decision)) => {
                self.publishing(context, id, (channel, data), decision, effects);
            }
            (Pending::Rpc { id }, Answer::Rpc(decision)) => self.called(id, decision, effects),
            (Pending::Connected, Answer::Told) => {}
            (Pending::Message, Answer::Message(outcome)) => match outcome {
                Ok(Verdict::Allowed(())) => {}
                Ok(Verdict::AsConfigured) => self.close(Disconnect::NOT_AVAILABLE, effects),
                Err(end) => self.close(end, effects),
            },
            (
                Pending::Presence {
                    id,
                    channel,
                    counts_only,
                },
                Answer::Reading(decision),
            ) => {
                let asked = (channel, counts_only);
                self.presence_decided(context, id, asked, decision, effects);
            }
            (Pending::History { id, request }, Answer::Reading(decision)) => {
                self.history_decided(context, id, &request, decision, effects);
            }
            (Pending::Renewal, Answer::Renewal(outcome)) => {
                self.renewed(context, outcome, effects);
            }
            (Pending::SubRenewal(channel), Answer::Renewal(outcome)) => {
                self.sub_renewed(context, &channel, outcome, effects);
            }
            (pending, answer) => {
                debug_assert!(false, "{answer:?} does not answer {pending:?}");
                self.close(Disconnect::INTERNAL, effects);
            }
        }
    }

    fn subscribing(
        &mut self,
        context: &Context<'_>,
        id: u32,
        mut request: Box<SubscribeRequest>,
        decision: Decision<Grant>,
        effects: &mut Vec<Effect>,
    ) {
        let granted = match decision {
            Ok(Verdict::Allowed(grant)) => {
                request.positioned = false;
                request.recoverable = false;
                request.join_leave = false;
                Ok(grant)
            }
            Ok(Verdict::AsConfigured) => self
                .grant_by_permission(context, &request.channel)
                .map_err(Rejection::from),
            Err(rejection) => Err(rejection),
        };
        match granted {
            Ok(grant) => self.join_granted(context, id, grant, &request, effects),
            Err(rejection) => self.reject(id, rejection, effects),
        }
    }

    fn publishing(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (channel, data): (ChannelName, Payload),
        decision: Decision<Revision>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = match decision {
            Ok(Verdict::AsConfigured) => self
                .publish_as_configured(context, id, channel, data, effects)
                .map_err(Rejection::from),
            Ok(Verdict::Allowed(revision)) => self
                .publish_revised(context, id, (channel, data), revision, effects)
                .map_err(Rejection::from),
            Err(rejection) => Err(rejection),
        };
        if let Err(rejection) = outcome {
            self.reject(id, rejection, effects);
        }
    }

    fn publish_revised(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (channel, mut data): (ChannelName, Payload),
        mut revision: Revision,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if let Some(other) = revision.data.take() {
            let resolved = context.namespaces.resolve(channel.as_str());
            let format = resolved.map(|resolved| resolved.options.publication_data_format);
            if !format.is_some_and(|format| format.accepts(&other)) {
                return Err(Refusal::BAD_REQUEST);
            }
            data = other;
        }
        let key = revision.idempotency_key.as_deref();
        if key.is_some_and(|key| key.len() > IDEMPOTENCY_KEY_BYTES_MAX) {
            return Err(Refusal::BAD_REQUEST);
        }
        let ask = Ask::Publish {
            info: self.info_in(channel.as_str()),
            channel,
            data,
            revision: Some(Box::new(revision)),
        };
        self.ask(Pending::Reply { id }, ask, effects);
        Ok(())
    }

    pub(super) fn rpc(
        &mut self,
        context: &Context<'_>,
        id: u32,
        method: String,
        data: Payload,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if !context.asks(Interests::RPC) {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let question = Question::Rpc { method, data };
        self.consult(Pending::Rpc { id }, question, effects);
        Ok(())
    }

    fn called(&mut self, id: u32, decision: Decision<Payload>, effects: &mut Vec<Effect>) {
        match decision {
            Ok(Verdict::Allowed(data)) => effects.push(reply(id, Ok(ReplyBody::Rpc { data }))),
            Ok(Verdict::AsConfigured) => effects.push(reply(id, Err(Refusal::NOT_AVAILABLE))),
            Err(rejection) => self.reject(id, rejection, effects),
        }
    }

    pub(super) fn message(
        &mut self,
        context: &Context<'_>,
        data: Payload,
        effects: &mut Vec<Effect>,
    ) {
        if context.asks(Interests::MESSAGE) {
            self.consult(Pending::Message, Question::Message(data), effects);
        } else {
            self.close(Disconnect::NOT_AVAILABLE, effects);
        }
    }
}
