//! One connection for each user: section 6.5 of the client protocol.

use std::sync::atomic::Ordering::Relaxed;

use campanile_protocol::{ClientId, UserId};

use super::Node;
use crate::session::{Claim, Order};
use crate::shard::Target;

impl Node {
    /// Ends all sessions of `user` but `client`, which has just become live, or has been the only
    /// one since `claimed`.
    ///
    /// Sessions that become live at the same time would end each other, and the close code is one
    /// after which clients do not come back. So they take turns; one that has lost its own session
    /// by the time that its turn comes ends nobody's, and nobody's turn ends a session that has yet
    /// to have its own, since that one is newer. The shards know who is live; no list beside theirs
    /// could be out of date.
    ///
    /// There are no turns between nodes. There the greater [`Claim`] decides, and whoever has it
    /// says so again when it hears of a smaller one. A claim is later than all that its node has
    /// heard of, so that clocks that differ matter for what comes at the same time only.
    pub(super) async fn supersede(&self, user: &UserId, client: ClientId, claimed: Option<u64>) {
        let turn = self.superseding.take(user.clone()).await;
        let sessions = |only, spared| Target::User {
            user: user.as_str().to_owned(),
            only,
            spared,
        };
        let at = claimed.unwrap_or_else(|| self.next_claim());
        let is_there = self.order(sessions(Some(client), vec![]), Order::Claim(at));
        if is_there.await == 0 {
            return;
        }
        let claim = Claim { at, client };
        self.order(sessions(None, vec![client]), Order::Yield(claim))
            .await;
        drop(turn);
        self.supersede_elsewhere(user, claim).await;
    }

    /// The time by the wall clock, but later than all claims that are known here.
    fn next_claim(&self) -> u64 {
        let now = u64::try_from(self.clock.now().unix_millis).unwrap_or(0);
        let next = |latest: u64| now.max(latest.saturating_add(1));
        let latest = self
            .latest_claim
            .fetch_update(Relaxed, Relaxed, |latest| Some(next(latest)));
        let (Ok(latest) | Err(latest)) = latest;
        next(latest)
    }
}
