//! What a shard does about publications that are missing in its channels, or may be.
//!
//! A gap, and a quiet that lasts too long, start one read of history for the whole shard; here is
//! decided when, and what comes of it. Reading is somebody else's.

use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::{Epoch, Position, Publication};

use super::{Channel, Hub, Reception, SessionIndex};
use crate::broker::HistoryPage;
use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::recovery;
use crate::time::Moment;

/// A history read that is under way. What arrives meanwhile is skipped and read again.
#[derive(Debug)]
pub(super) struct Repair {
    /// Where it begins.
    from: Position,
    /// The newest position that was skipped meanwhile.
    skipped: Position,
    /// Whether something may have come since that the read is too early for.
    is_early: bool,
}

/// What came of a repair.
#[derive(Debug)]
pub struct Repaired {
    /// What was missing, by ascending offsets: for all members that have not had it and are not
    /// lost.
    pub publications: Vec<Arc<Publication>>,
    /// The epoch of these.
    pub epoch: Epoch,
    /// Sessions that cannot be made whole.
    pub lost: Vec<SessionIndex>,
    /// More is missing still: the history after this position is wanted.
    pub again: Option<Position>,
}

impl Hub {
    /// Doubts a channel in which nothing has come for `delay`: the history after the position
    /// returned is wanted, as for a gap. At most once for each `delay`.
    ///
    /// Whoever loses the last publication of a stream would not notice by what follows.
    pub fn doubt(&mut self, now: Moment, name: &ChannelName, delay: Duration) -> Option<Position> {
        let channel = self.channels.get_mut(name)?;
        let at = channel.position?;
        let is_sure = channel.sure_at.is_some_and(|at| now.since(at) < delay);
        if is_sure || channel.repair.is_some() {
            return None;
        }
        channel.sure_at = Some(now);
        channel.repair = Some(Repair::beginning(at, at));
        Some(at)
    }

    /// Takes notice of the history that [`Reception::Gap`] or [`Hub::doubt`] wanted; `None` when it
    /// cannot be read.
    pub fn repaired(&mut self, name: &ChannelName, page: Option<HistoryPage>) -> Repaired {
        let mut repaired = Repaired {
            publications: Vec::new(),
            epoch: Epoch::EMPTY,
            lost: Vec::new(),
            again: None,
        };
        let Some(channel) = self.channels.get_mut(name) else {
            return repaired;
        };
        let Some(mut repair) = channel.repair.take() else {
            return repaired;
        };
        let at = channel.position;
        // Somebody entered below where it began: that page has a hole which nobody suffered.
        let is_below =
            |at: &Position| at.epoch == repair.from.epoch && at.offset < repair.from.offset;
        if let Some(at) = at.filter(is_below) {
            repair.from = at;
            channel.repair = Some(repair);
            repaired.again = Some(at);
            return repaired;
        }
        let is_mere_doubt = at.is_some_and(|at| !is_beyond(repair.skipped, at));
        if page.is_none() && is_mere_doubt {
            // Nothing is known to be missing; it is looked at again after a while.
            return repaired;
        }
        let top = page.as_ref().map(|page| page.top);
        let found = page
            .as_ref()
            .map_or_else(Vec::new, |page| page.publications.clone());
        let recovery = at.zip(page).map(|(at, page)| recovery::judge(at, page));
        let is_recovered = recovery.is_some_and(|recovery| recovery.is_recovered);
        let is_behind = top.is_some_and(|top| is_beyond(repair.skipped, top));
        channel.position = top;
        if let Some(top) = top {
            let follows = |publication: &Arc<Publication>| {
                at.is_some_and(|at| at.epoch == top.epoch && publication.offset > at.offset)
            };
            repaired.publications = found.into_iter().filter(follows).collect();
            repaired.epoch = top.epoch;
        }
        // A history that stays behind what was delivered is not asked for ever.
        if is_recovered && (!is_behind || top != at) {
            channel.tell_joining(&repaired);
            let is_early = std::mem::take(&mut repair.is_early);
            if let Some(top) = top.filter(|_| is_behind || is_early) {
                repair.from = top;
                repaired.again = Some(top);
                channel.repair = Some(repair);
            }
        } else {
            // Where the stream is, and even in which epoch, is open now; whoever does not care
            // for gaps goes on with what comes.
            for (session, member) in channel.members.iter_mut() {
                member.lose_place();
                if member.is_positioned {
                    repaired.lost.push(session);
                } else {
                    self.losses += 1;
                }
            }
        }
        repaired
    }
}

impl Repair {
    fn beginning(from: Position, skipped: Position) -> Box<Self> {
        Box::new(Self {
            from,
            skipped,
            is_early: false,
        })
    }
}

/// Whether `position` is not known to be at or below `top`.
fn is_beyond(position: Position, top: Position) -> bool {
    position.epoch != top.epoch || position.offset > top.offset
}

impl Channel {
    /// Whether a repair is under way that brings everything behind `position`.
    pub(super) fn repairs_from(&self, position: Position) -> bool {
        let begins_before =
            |at: Position| at.epoch == position.epoch && at.offset <= position.offset;
        self.repair.is_some() && self.position.is_some_and(begins_before)
    }

    /// Takes notice that something may be missing behind where the shard stands.
    pub(super) fn lapse(&mut self) -> Reception {
        // If the history cannot be read now, it is at the next look.
        self.sure_at = None;
        match (self.position, &mut self.repair) {
            (_, Some(repair)) => {
                repair.is_early = true;
                Reception::Skip
            }
            (Some(at), None) => {
                self.repair = Some(Repair::beginning(at, at));
                Reception::Gap(at)
            }
            // Nobody here has been told where the stream is.
            (None, None) => Reception::Skip,
        }
    }

    /// What a repair brings is news to those who are joining, too.
    fn tell_joining(&mut self, repaired: &Repaired) {
        for joining in &mut self.joining {
            for publication in &repaired.publications {
                joining.keep(&Event::Publication {
                    publication: Arc::clone(publication),
                    epoch: repaired.epoch,
                    previous: None,
                });
            }
        }
    }

    /// The table of section 8.2, for the whole shard at once.
    pub(super) fn advance(&mut self, to: Position) -> Reception {
        if let Some(repair) = &mut self.repair {
            if is_beyond(to, repair.skipped) {
                repair.skipped = to;
            }
            return Reception::Skip;
        }
        match self.position {
            Some(at) if at.epoch == to.epoch && to.offset <= at.offset => Reception::Skip,
            Some(at) if at.epoch != to.epoch || to.offset != at.offset + 1 => {
                self.repair = Some(Repair::beginning(at, to));
                Reception::Gap(at)
            }
            // Without members there is nobody to miss anything; with members but no position, one
            // was lost, and those who cared have been told.
            None if self.members.is_empty() => Reception::Pass,
            _ => {
                self.position = Some(to);
                Reception::Pass
            }
        }
    }
}
