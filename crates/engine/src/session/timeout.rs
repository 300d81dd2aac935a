//! What happens to a session when nothing does: pings, and the ends of patience.

use campanile_protocol::Disconnect;

use super::{Context, Effect, Session, State};
use crate::time::Moment;

impl Session {
    /// When [`Input::Timeout`](super::Input::Timeout) is wanted; `None` once the session is closed.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        if self.state == State::Closed {
            return None;
        }
        let subscriptions = self
            .subscriptions
            .iter()
            .filter_map(|subscription| subscription.expires);
        subscriptions
            .chain(self.expires)
            .chain([self.deadline])
            .min()
    }

    pub(super) fn handle_timeout(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        let now = context.now.moment;
        if self.expires.is_some_and(|expires| expires <= now) {
            self.end_expired(context, effects);
        }
        self.end_expired_subscriptions(context, effects);
        if self.deadline > now || self.state == State::Closed {
            return;
        }
        match self.state {
            State::Opened => self.close(Disconnect::STALE, effects),
            // The client did its part in time: it is we who are late, and it should come again.
            State::Connecting => self.close(Disconnect::INTERNAL, effects),
            State::Refused => self.close(Disconnect::CONNECTION_CLOSED, effects),
            // A client whose commands we keep waiting may have its pong stuck behind them.
            State::Live if self.has_unanswered_ping && !self.is_waiting(context.settings) => {
                self.close(Disconnect::NO_PONG, effects);
            }
            State::Live if self.has_unanswered_ping => {
                self.deadline = now + context.settings.pong_timeout;
            }
            State::Live if self.wire.answers_pings() => {
                self.has_unanswered_ping = true;
                self.deadline = now + context.settings.pong_timeout;
                effects.push(Effect::Ping);
            }
            State::Live => {
                self.deadline = now + context.settings.ping_interval;
                effects.push(Effect::Ping);
            }
            State::Closed => {}
        }
    }
}
