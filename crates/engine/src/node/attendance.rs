//! Telling who is in a channel that somebody came or left.

use super::Node;
use crate::broker::Attendance;
use crate::channel::ChannelName;
use crate::throttle::BROKER_FAULTS;

impl Node {
    /// Tells who is in `channel` that somebody came or left whose own node did not say so, if the
    /// channel's rules want that.
    #[doc(hidden)] // For whoever keeps presence.
    pub async fn announce_for(&self, channel: &str, attendance: Attendance) {
        if let Ok((channel, options)) = self.resolve(channel)
            && options.join_leave
        {
            self.announce(&channel, attendance).await;
        }
    }

    pub(super) async fn announce(&self, channel: &ChannelName, attendance: Attendance) {
        let admission = self.inboxes.admit(0).await;
        let told = self.broker.announce(channel, attendance, admission).await;
        if let Err(error) = told
            && let Some(unsaid) = BROKER_FAULTS.pass()
        {
            tracing::warn!(?channel, %error, unsaid, "a join or leave was not announced");
        }
    }
}
