//! Publishing, presence and history: section 9 of the client protocol.

use campanile_protocol::command::HistoryRequest;
use campanile_protocol::{Payload, Refusal};

use super::{Context, Effect, Pending, Session};
use crate::ask::Ask;
use crate::broker::HistoryQuery;
use crate::channel::Resolved;

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
        if !self.requester(context, channel).may_publish(&resolved) {
            return Err(Refusal::PERMISSION_DENIED);
        }
        let info = self.info_in(channel);
        let ask = Ask::Publish {
            channel: resolved.channel(),
            data,
            info,
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
        if !self
            .requester(context, channel)
            .may_read_presence(&resolved)
        {
            return Err(Refusal::PERMISSION_DENIED);
        }
        let channel = resolved.channel();
        let ask = if counts_only {
            Ask::PresenceStats { channel }
        } else {
            Ask::Presence { channel }
        };
        self.ask(Pending::Reply { id }, ask, effects);
        Ok(())
    }

    pub(super) fn history(
        &mut self,
        context: &Context<'_>,
        id: u32,
        request: &HistoryRequest,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let resolved = resolve(context, &request.channel)?;
        if resolved.options.retention().is_none() {
            return Err(Refusal::NOT_AVAILABLE);
        }
        if !self
            .requester(context, &request.channel)
            .may_read_history(&resolved)
        {
            return Err(Refusal::PERMISSION_DENIED);
        }
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
            channel: resolved.channel(),
            query,
            since: request.since,
        };
        self.ask(Pending::Reply { id }, ask, effects);
        Ok(())
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
