//! One connection for each user: section 6.5 of the client protocol.

use campanile_protocol::{ClientId, UserId};

use super::Node;
use crate::session::Order;
use crate::shard::Target;

impl Node {
    /// Ends all sessions of `user` but `client`, which has just become live.
    ///
    /// Sessions that become live at the same time would end each other, and the close code is one
    /// after which clients do not come back. So they take turns; one that has lost its own session
    /// by the time that its turn comes ends nobody's, and nobody's turn ends a session that has yet
    /// to have its own, since that one is newer. The shards know who is live; no list beside theirs
    /// could be out of date.
    pub(super) async fn supersede(&self, user: &UserId, client: ClientId) {
        let _turn = self.superseding.take(user.clone()).await;
        let sessions = |only, spared| Target::User {
            user: user.as_str().to_owned(),
            only,
            spared,
        };
        let is_there = self.order(sessions(Some(client), vec![]), Order::Claim);
        if is_there.await > 0 {
            self.order(sessions(None, vec![client]), Order::Yield).await;
        }
    }
}
