//! When a shard looks at which of its sessions.

use campanile_protocol::Disconnect;

use super::{BARE_IDLE, Errand, SessionKey, Shard};
use crate::session::Input;
use crate::time::{Moment, Now};

impl Shard {
    /// Looks at every session whose deadline has come.
    pub fn tick(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.moment, &mut due);
        for key in due.drain(..) {
            let Some(slot) = self.slot_mut(key) else {
                continue;
            };
            // A session that was filed anew for an earlier moment is in the wheel twice.
            if slot.filed.is_none_or(|filed| filed > now.moment) {
                continue;
            }
            slot.filed = None;
            match slot.closes {
                Some(_) if slot.is_orphan => {}
                Some(cut_off) if cut_off <= now.moment => self.overdue.push(key),
                Some(cut_off) => self.file(key, Some(cut_off)),
                None => self.look_at(now, key),
            }
        }
        self.due = due;
        self.close_slow(now);
    }

    fn look_at(&mut self, now: Now, key: SessionKey) {
        let Some(slot) = self.slot_mut(key) else {
            return;
        };
        let Some(session) = &slot.session else {
            if std::mem::take(&mut slot.is_in_use) {
                self.file(key, Some(now.moment + BARE_IDLE));
            } else {
                self.close(now, key, Disconnect::STALE);
            }
            return;
        };
        let Some(timeout) = session.next_timeout() else {
            return;
        };
        self.doubt_channels(now, key);
        if timeout <= now.moment {
            self.step(now, key, Input::Timeout);
        } else {
            self.file(key, Some(timeout));
        }
    }

    /// Has quiet channels of a session compared with the broker's history (section 8.2).
    ///
    /// Whenever the session comes up anyway, which is for every ping: pings are spread evenly, and so
    /// is this; neither channels nor subscriptions need a timer of their own.
    fn doubt_channels(&mut self, now: Now, key: SessionKey) {
        let Some(delay) = self.settings.position_check_delay else {
            return;
        };
        let slot = self.slots.get(key.index as usize);
        let session = slot.and_then(|slot| slot.session.as_ref());
        let channels = session
            .into_iter()
            .flat_map(|session| session.positioned_channels());
        for channel in channels {
            if let Some(position) = self.hub.doubt(now.moment, channel, delay) {
                self.errands.push(Errand::Repair(channel.clone(), position));
            }
        }
    }

    /// How many deadlines are kept: about one for each session.
    #[must_use]
    pub const fn timer_count(&self) -> usize {
        self.wheel.len()
    }

    /// When [`Shard::tick`] is wanted next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Moment> {
        self.wheel.next()
    }

    /// A connection that has had its time to close.
    pub fn next_overdue(&mut self) -> Option<SessionKey> {
        self.overdue.pop()
    }

    /// Makes the wheel bring the session up at `at`, unless it comes up earlier anyway.
    pub(super) fn file(&mut self, key: SessionKey, at: Option<Moment>) {
        let Some(at) = at else { return };
        let Some(slot) = self.slots.get_mut(key.index as usize) else {
            return;
        };
        // Compared as the wheel would file it: a session that is filed for the same tick again and
        // again, once for each of its commands, would fill the wheel.
        let comes_up = self.wheel.comes_up(at);
        if slot.generation == key.generation && slot.filed.is_none_or(|filed| comes_up < filed) {
            slot.filed = Some(self.wheel.file(at, key));
        }
    }
}
