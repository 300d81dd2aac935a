//! Which sessions of this shard are in which channel, and where the shard stands in each stream.
//!
//! Memory only, and of one thread: no locks. The hub knows sessions by their index in the shard and
//! deliveries by their offsets; it has never heard of brokers, of encodings or of who the sessions
//! are, but it knows which publications they want, and who has one that the next may be told as a
//! difference from. A stream's position is kept once per channel, not per subscriber; a member has
//! one of its own only to pass over what it was told of when it joined.

mod filters;
mod member;
mod repair;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use campanile_protocol::{Position, UserId};

use crate::channel::ChannelName;
use crate::delivery::{Delivery, Event};
use crate::limits::JOIN_BUFFER_BYTES_MAX;
use crate::session::Membership;
use crate::time::Moment;
use filters::Filters;
use member::Member;
use repair::Repair;
use table::SessionTable;

pub use member::Telling;
pub use repair::Repaired;

/// A session by its index in the shard.
pub type SessionIndex = u32;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Hub {
    /// Boxed, so that the table's free places are small.
    channels: HashMap<ChannelName, Box<Channel>>,
    users: HashMap<UserId, SessionTable<()>>,
    memberships: usize,
    filters: Filters,
    losses: u64,
}

#[derive(Debug, Default)]
struct Channel {
    members: SessionTable<Member>,
    joining: Vec<Joining>,
    /// What this shard has delivered; `None` until the first member is in.
    position: Option<Position>,
    /// When that was last known to be all there is.
    sure_at: Option<Moment>,
    /// Boxed, since few channels have one at a time.
    repair: Option<Box<Repair>>,
}

/// A session that is about to be in a channel.
#[derive(Debug)]
struct Joining {
    session: SessionIndex,
    /// What came since it was decided where the session will stand, or shortly before. Events, not
    /// deliveries: those hold a share of the inboxes, for which every publisher waits.
    backlog: Vec<Event>,
    bytes: usize,
    has_overflowed: bool,
    /// Whether something may have come that was not kept, since nobody here was told of it.
    has_lapsed: bool,
}

/// What is to be done with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reception {
    /// Nobody here wants the channel.
    Unknown,
    /// It has been here before, or a repair will bring it.
    Skip,
    /// Something before it is missing; the history after this position is wanted.
    Gap(Position),
    /// Offer it to the members.
    Pass,
}

/// How a session came into a channel.
#[derive(Debug)]
pub enum Entry {
    /// It is in; these came while it was joining, and are for it alone, in these forms.
    Entered(Vec<(Event, Telling)>),
    /// It is in, but something that came while it was joining is missing.
    Lost,
}

impl Hub {
    /// Channels with members or with sessions about to be members.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Members of all channels.
    #[must_use]
    pub const fn membership_count(&self) -> usize {
        self.memberships
    }

    /// Users with live sessions.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Channels with members, and how many.
    pub fn channels(&self) -> impl Iterator<Item = (&ChannelName, usize)> {
        self.channels
            .iter()
            .map(|(name, channel)| (name, channel.members.len()))
            .filter(|(_, members)| *members > 0)
    }

    /// How often a member that does not watch for gaps has missed something.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.losses
    }

    /// Adds a session of `user`.
    pub fn enroll(&mut self, user: UserId, session: SessionIndex) {
        self.users.entry(user).or_default().insert(session, ());
    }

    /// Removes a session of `user`.
    pub fn dismiss(&mut self, user: &UserId, session: SessionIndex) {
        if let Some(sessions) = self.users.get_mut(user) {
            sessions.remove(session);
            if sessions.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// The sessions of `user`.
    #[must_use]
    pub fn sessions_of(&self, user: &str) -> Vec<SessionIndex> {
        let sessions = self
            .users
            .get(user)
            .into_iter()
            .flat_map(SessionTable::iter);
        sessions.map(|(session, ())| session).collect()
    }

    /// Keeps what comes in `channel` for a session that does not know yet where it will stand.
    pub fn await_entry(&mut self, channel: &ChannelName, session: SessionIndex) {
        let joining = Joining {
            session,
            backlog: Vec::new(),
            bytes: 0,
            has_overflowed: false,
            has_lapsed: false,
        };
        let channel = self.channels.entry(channel.clone()).or_default();
        channel.joining.push(joining);
    }

    /// Makes a session that was awaited a member.
    pub fn enter(
        &mut self,
        now: Moment,
        name: &ChannelName,
        session: SessionIndex,
        membership: Membership,
    ) -> Entry {
        let Some(channel) = self.channels.get_mut(name) else {
            return Entry::Lost;
        };
        let Some(joining) = channel.take_joining(session) else {
            return Entry::Lost;
        };
        let mut position = membership.position;
        let has_lapsed = joining.has_lapsed;
        let (backlog, highest) = joining.merge(&mut position);
        let filter = membership.filter;
        let mut member = Member {
            told_up_to: membership.position.offset,
            is_positioned: membership.is_positioned,
            wants_attendance: membership.wants_attendance,
            deltas: membership.deltas,
            filter: filter.map(|filter| self.filters.share(filter)),
        };
        let told = |event: Event| {
            let telling = member.hear(&event, self.filters.next_round())?;
            Some((event, telling))
        };
        let mut backlog = backlog.into_iter().filter_map(told).collect();
        if membership.wants_latest_only {
            keep_latest(&mut backlog);
        }
        member.told_up_to = position.offset;
        if channel.members.insert(session, member) {
            self.memberships += 1;
        }
        let is_whole = match highest {
            Some(highest) => highest <= position.offset || channel.repairs_from(position),
            None => false,
        };
        if is_whole || channel.position.is_none() {
            channel.step_back_to(position);
        }
        if has_lapsed {
            // What the broker told may have been overtaken without anybody noticing.
            channel.sure_at = None;
        } else {
            // The broker has told where the stream is; who joins later vouches for nobody who came
            // before.
            channel.sure_at.get_or_insert(now);
        }
        if !is_whole && membership.is_positioned {
            return Entry::Lost;
        }
        self.losses += u64::from(!is_whole);
        Entry::Entered(backlog)
    }

    /// Removes a session from a channel; `true` when nobody of this shard is left in it.
    pub fn leave(&mut self, name: &ChannelName, session: SessionIndex) -> bool {
        let Some(channel) = self.channels.get_mut(name) else {
            return true;
        };
        drop(channel.take_joining(session));
        if let Some(member) = channel.members.remove(session) {
            self.memberships -= 1;
            if let Some(filter) = member.filter {
                self.filters.release(filter);
            }
        }
        let is_empty = channel.members.is_empty() && channel.joining.is_empty();
        if is_empty {
            self.channels.remove(name);
        }
        is_empty
    }

    /// Takes notice of a delivery, and says what is to be done with it.
    pub fn receive(&mut self, now: Moment, delivery: &Arc<Delivery>) -> Reception {
        let Some(channel) = self.channels.get_mut(&delivery.channel) else {
            return Reception::Unknown;
        };
        for joining in &mut channel.joining {
            joining.keep(&delivery.event);
        }
        match &delivery.event {
            Event::Publication {
                publication, epoch, ..
            } if publication.offset != 0 => {
                channel.sure_at = Some(now);
                channel.advance(Position {
                    epoch: *epoch,
                    offset: publication.offset,
                })
            }
            Event::Lapse => channel.lapse(),
            _ => Reception::Pass,
        }
    }

    /// The members of a channel that are to be told of `event`, in which form. Each is taken to have
    /// been told when it is named.
    pub fn audience<'a>(
        &'a mut self,
        channel: &ChannelName,
        event: &'a Event,
    ) -> impl Iterator<Item = (SessionIndex, Telling)> + 'a {
        let channel = self.channels.get_mut(channel);
        let round = self.filters.next_round();
        channel
            .into_iter()
            .flat_map(|channel| channel.members.iter_mut())
            .filter_map(move |(session, member)| {
                let telling = member.hear(event, round)?;
                Some((session, telling))
            })
    }
}

impl Channel {
    fn take_joining(&mut self, session: SessionIndex) -> Option<Joining> {
        let index = self
            .joining
            .iter()
            .position(|joining| joining.session == session)?;
        let joining = self.joining.swap_remove(index);
        if self.joining.is_empty() {
            // Nobody may join for a long time.
            self.joining = Vec::new();
        }
        Some(joining)
    }

    /// Makes sure that everything behind `position`, where a new member stands, is passed on.
    ///
    /// The shard may be ahead of it without having delivered what is between: whoever joined later
    /// may have been answered first. Nobody receives anything twice, since what was passed on
    /// while the new member joined was kept for it, and moved it.
    fn step_back_to(&mut self, position: Position) {
        let is_ahead = |at: Position| at.epoch == position.epoch && at.offset > position.offset;
        if self.position.is_none_or(is_ahead) {
            self.position = Some(position);
        }
    }
}

impl Joining {
    fn keep(&mut self, event: &Event) {
        if matches!(event, Event::Lapse) {
            self.has_lapsed = true;
            return;
        }
        self.bytes += event.bytes();
        if self.bytes > JOIN_BUFFER_BYTES_MAX {
            self.has_overflowed = true;
            self.backlog = Vec::new();
        }
        if !self.has_overflowed {
            self.backlog.push(event.clone());
        }
    }

    /// What of the backlog follows `position`, which is moved along, and the highest offset in it.
    /// Without one, something that cannot be placed has come, or was not kept.
    fn merge(self, position: &mut Position) -> (Vec<Event>, Option<u64>) {
        let mut highest = (!self.has_overflowed).then_some(0);
        let mut backlog = self.backlog;
        backlog.retain(|event| {
            let Event::Publication {
                publication, epoch, ..
            } = event
            else {
                return true;
            };
            if publication.offset == 0 {
                return true;
            }
            highest = highest
                .filter(|_| *epoch == position.epoch)
                .map(|highest| highest.max(publication.offset));
            let is_next = *epoch == position.epoch && publication.offset == position.offset + 1;
            if is_next {
                position.offset = publication.offset;
            }
            is_next
        });
        (backlog, highest)
    }
}

/// Forgets publications of a stream that others follow.
fn keep_latest(told: &mut Vec<(Event, Telling)>) {
    let latest = told.iter().rev().find_map(|(event, _)| event.offset());
    told.retain(|(event, _)| event.offset().is_none_or(|offset| Some(offset) == latest));
}
