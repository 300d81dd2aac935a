//! Publishing, presence and history: section 9 of the client protocol.

use campanile_protocol::codes::Rejection;
use campanile_protocol::command::HistoryRequest;
use campanile_protocol::{Payload, Refusal};

use super::{Context, Effect, Pending, Session};
use crate::application::{Decision, Interests, Verdict};
use crate::ask::{Ask, Question};
use crate::broker::HistoryQuery;
use crate::channel::permission::Requester;
use crate::channel::{ChannelName, Resolved};

impl Session {
    pub(super) fn publish(
        &mut self,
        context: &Context<'_>,
        id: u32,
        channel: &str,
        data: Payload,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let resolved = resolve(context, channel)?;
        if !resolved.options.publication_data_format.accepts(&data) {
            return Err(Refusal::BAD_REQUEST);
        }
        let channel = resolved.channel();
        if context.asks_about(resolved.options, Interests::PUBLISH) {
            let question = Question::Publish { channel, data };
            self.consult(Pending::Publish { id }, question, effects);
            return Ok(());
        }
        self.publish_as_configured(context, id, channel, data, effects)
    }

    pub(super) fn publish_as_configured(
        &mut self,
        context: &Context<'_>,
        id: u32,
        channel: ChannelName,
        data: Payload,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.check_right(context, channel.as_str(), Requester::may_publish)?;
        let ask = Ask::Publish {
            info: self.info_in(channel.as_str()),
            channel,
            data,
            revision: None,
        };
        self.ask(Pending::Reply { id }, ask, effects);
        Ok(())
    }

    pub(super) fn presence(
        &mut self,
        context: &Context<'_>,
        id: u32,
        channel: &str,
        counts_only: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let resolved = resolve(context, channel)?;
        if !resolved.options.presence {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let name = resolved.channel();
        if context.asks_about(resolved.options, Interests::PRESENCE) {
            let pending = Pending::Presence {
                id,
                channel: name.clone(),
                counts_only,
            };
            self.consult(pending, Question::Presence(name), effects);
            return Ok(());
        }
        self.check_right(context, channel, Requester::may_read_presence)?;
        self.read_presence(id, name, counts_only, effects);
        Ok(())
    }

    pub(super) fn presence_decided(
        &mut self,
        context: &Context<'_>,
        id: u32,
        (channel, counts_only): (ChannelName, bool),
        decision: Decision<()>,
        effects: &mut Vec<Effect>,
    ) {
        let configured =
            || self.check_right(context, channel.as_str(), Requester::may_read_presence);
        match settled(decision, configured) {
            Ok(()) => self.read_presence(id, channel, counts_only, effects),
            Err(rejection) => self.reject(id, rejection, effects),
        }
    }

    fn read_presence(
        &mut self,
        id: u32,
        channel: ChannelName,
        counts_only: bool,
        effects: &mut Vec<Effect>,
    ) {
        let ask = if counts_only {
            Ask::PresenceStats { channel }
        } else {
            Ask::Presence { channel }
        };
        self.ask(Pending::Reply { id }, ask, effects);
    }

    pub(super) fn history(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: Box<HistoryRequest>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let resolved = resolve(context, &request.channel)?;
        if resolved.options.retention().is_none() {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let channel = resolved.channel();
        if context.asks_about(resolved.options, Interests::HISTORY) {
            let pending = Pending::History { id, request };
            self.consult(pending, Question::History(channel), effects);
            return Ok(());
        }
        self.check_right(context, &request.channel, Requester::may_read_history)?;
        self.read_history(context, id, channel, &request, effects)
    }

    pub(super) fn history_decided(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: &HistoryRequest,
        decision: Decision<()>,
        effects: &mut Vec<Effect>,
    ) {
        let configured =
            || self.check_right(context, &request.channel, Requester::may_read_history);
        let outcome = settled(decision, configured).and_then(|()| {
            let channel = resolve(context, &request.channel)?.channel();
            Ok(self.read_history(context, id, channel, request, effects)?)
        });
        if let Err(rejection) = outcome {
            self.reject(id, rejection, effects);
        }
    }

    fn read_history(
        &mut self,
        context: &Context<'_>,
        id: u32,
        channel: ChannelName,
        request: &HistoryRequest,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if request.reverse && request.since.is_some_and(|since| since.offset == 0) {
            return Err(Refusal::BAD_REQUEST);
        }
        let most = context.settings.history_publications_max;
        let query = HistoryQuery {
            since: request.since.map(|since| since.offset),
            reverse: request.reverse,
            limit: usize::try_from(request.limit).map_or(most, |limit| limit.min(most)),
            bytes: context.settings.reply_bytes_max(),
        };
        let ask = Ask::History {
            channel,
            query,
            since: request.since,
        };
        self.ask(Pending::Reply { id }, ask, effects);
        Ok(())
    }

    /// Whether the configuration lets the session do something in `channel`.
    fn check_right<'a>(
        &'a self,
        context: &Context<'_>,
        channel: &str,
        may: fn(&Requester<'a>, &Resolved<'_>) -> bool,
    ) -> Result<(), Refusal> {
        let resolved = resolve(context, channel)?;
        if may(&self.requester(context, channel), &resolved) {
            Ok(())
        } else {
            Err(Refusal::PERMISSION_DENIED)
        }
    }
}

/// What a verdict comes to, with what the configuration would say.
fn settled(
    decision: Decision<()>,
    configured: impl FnOnce() -> Result<(), Refusal>,
) -> Result<(), Rejection> {
    match decision? {
        Verdict::Allowed(()) => Ok(()),
        Verdict::AsConfigured => Ok(configured()?),
    }
}

/// Refuses what is to be published into something else than a stream (section 18.2): as there are no
/// maps, nobody may publish into one.
pub(super) fn refuse_publish(
    context: &Context<'_>,
    channel: &str,
    kind: i32,
) -> Result<(), Refusal> {
    resolve(context, channel)?;
    Err(match kind {
        1 => Refusal::PERMISSION_DENIED,
        _ => Refusal::BAD_REQUEST,
    })
}

fn resolve<'a>(context: &Context<'a>, channel: &'a str) -> Result<Resolved<'a>, Refusal> {
    let resolved = context
        .namespaces
        .resolve(channel)
        .ok_or(Refusal::UNKNOWN_CHANNEL)?;
    if resolved.is_well_formed() {
        Ok(resolved)
    } else {
        Err(Refusal::BAD_REQUEST)
    }
}
