//! What an allowed subscription is like, decided once: sections 7.1, 7.2 and 8.3 of the client
//! protocol.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::reply::SubscribeResult;
use campanile_protocol::{ClientInfo, Epoch, Payload, Position, Publication};

use super::{Context, Deltas, Membership, Notice, Session};
use crate::ask::{JoinRequest, Joined};
use crate::authority::Grant;
use crate::channel::options::{DeltaType, RecoveryMode};
use crate::channel::permission::Requester;
use crate::channel::{ChannelName, Resolved, TagsFilter};
use crate::recovery::Attempt;

/// A subscription that is allowed, with everything that was decided about it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) channel: ChannelName,
    pub(super) info: Arc<ClientInfo>,
    pub(super) data: Option<Payload>,
    pub(super) expire_at: Option<i64>,
    /// From where the client recovers, when it asked to, or the channel does so by itself.
    pub(super) recover: Option<Position>,
    pub(super) recovery_mode: RecoveryMode,
    pub(super) filter: Option<Arc<TagsFilter>>,
    pub(super) is_server_side: bool,
    pub(super) keeps_presence: bool,
    pub(super) announces: bool,
    pub(super) wants_attendance: bool,
    pub(super) is_positioned: bool,
    pub(super) is_recoverable: bool,
    pub(super) rejects_unrecovered: bool,
    pub(super) takes_deltas: bool,
    /// How long the client may take to renew it; `None` when that is not up to it.
    pub(super) delay: Option<Duration>,
}

impl Session {
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
        let recovery_mode = options.force_recovery_mode;
        let is_cache = recovery_mode == RecoveryMode::Cache;
        let nowhere = Position {
            epoch: Epoch::EMPTY,
            offset: 0,
        };
        let wants_latest = options.auto_cache_recover || grant.recovers_cache;
        let recovers_anyway = is_cache && wants_latest && is_recoverable;
        let is_positioned = is_recoverable
            || overrides
                .force_positioning
                .unwrap_or(options.force_positioning)
            || (request.positioned && (options.allow_positioning || reads_history));
        // Not together with a filter: whoever does not get all publications has not what the next
        // one is a difference from.
        let takes_deltas = DeltaType::named(&request.delta)
            .is_some_and(|delta| options.allowed_delta_types.contains(&delta))
            && request.filter.is_none();
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
            recover: request.recover.or(recovers_anyway.then_some(nowhere)),
            recovery_mode,
            filter: None,
            is_server_side,
            keeps_presence: overrides.presence.unwrap_or(options.presence),
            announces,
            wants_attendance,
            is_positioned,
            is_recoverable,
            rejects_unrecovered: request.rejects_unrecovered() && !is_cache,
            takes_deltas,
            delay: context.sub_refresh_delay(options),
        }
    }
}

impl Plan {
    pub(super) fn join_request(&self) -> JoinRequest {
        JoinRequest {
            channel: self.channel.clone(),
            recover: self.attempted().map(|from| Attempt {
                from,
                mode: self.recovery_mode,
                filter: self.filter.clone(),
            }),
            presence: self.keeps_presence.then(|| Arc::clone(&self.info)),
        }
    }

    /// From where recovery is tried, where there is any.
    fn attempted(&self) -> Option<Position> {
        self.recover.filter(|_| self.is_recoverable)
    }

    /// What the client is told (section 8.3), and where it then stands.
    pub(super) fn result(
        &self,
        context: &Context<'_>,
        joined: Joined,
    ) -> (SubscribeResult, Membership) {
        let Joined { top, recovery } = joined;
        let is_recovered = recovery
            .as_ref()
            .is_some_and(|recovery| recovery.is_recovered);
        let publications = recovery.map_or_else(Vec::new, |recovery| recovery.publications);
        let membership = Membership {
            position: top,
            is_positioned: self.is_positioned,
            wants_attendance: self.wants_attendance,
            wants_latest_only: self.attempted().is_some()
                && self.recovery_mode == RecoveryMode::Cache
                && !self.takes_deltas,
            filter: self.filter.clone(),
            deltas: self.deltas(&publications, top),
        };
        // Whoever recovers goes on from where it stood, through the publications that follow.
        let position = match self.recover {
            Some(from) if is_recovered => Position {
                offset: from.offset,
                ..top
            },
            _ => top,
        };
        let result = SubscribeResult {
            expiry: Session::expiry(context, self.expire_at, self.delay).1,
            recoverable: self.is_recoverable,
            positioned: self.is_positioned,
            position: self.is_positioned.then_some(position),
            publications,
            recovered: is_recovered,
            was_recovering: self.recover.is_some(),
            delta: self.takes_deltas,
            data: self.data.clone(),
        };
        (result, membership)
    }

    /// A client that names a position need not hold the payload there: it may have the position from
    /// its application, or have been told since of something that is in no history. So it is ready
    /// only when this reply tells it of the publication at the top.
    fn deltas(&self, told: &[Arc<Publication>], top: Position) -> Deltas {
        let has_top = told.last().is_some_and(|last| last.offset == top.offset);
        match (self.takes_deltas, has_top) {
            (false, _) => Deltas::Off,
            (true, false) => Deltas::AfterWhole,
            (true, true) => Deltas::Ready,
        }
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
