//! Requests that were refused since somebody else has to be asked, or the same one later.
//!
//! Nothing of them was done, so they may be sent again: within their time, and so many times.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::dial::Address;
use super::failure::{Failure, Redirection};
use super::lane::Lane;
use super::map::Safety;
use super::reply::Reply;
use super::{Redis, command};

/// Tries of one request that is told to go elsewhere, or to come again.
const TRIES_MAX: u32 = 8;

impl Redis {
    /// Sends a command again that was told to go elsewhere, or to come again: nothing of it was
    /// done.
    pub(super) async fn follow(
        &self,
        to: (u16, Safety),
        lane: Arc<Lane>,
        text: Bytes,
        hint: Redirection,
    ) -> Result<Reply, Failure> {
        let redis = self.clone();
        let following = async move { redis.follow_there(to, lane, text, hint).await };
        let following = self.0.spawner.spawn(following);
        following.await.unwrap_or(Err(Failure::Unanswered))
    }

    async fn follow_there(
        &self,
        (slot, safety): (u16, Safety),
        mut lane: Arc<Lane>,
        text: Bytes,
        mut hint: Redirection,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + self.0.settings.io_timeout;
        let mut backoff = Backoff::default();
        let mut changes = self.0.changes.subscribe();
        for _ in 0..TRIES_MAX {
            let mut is_asking = false;
            match &hint {
                Redirection::Unknown => {}
                Redirection::Ask(address) => {
                    let there = Address::parse(address);
                    let there = there.and_then(|address| self.map().lane_to(&address, safety));
                    lane = there.ok_or(Failure::Unreachable)?;
                    is_asking = true;
                }
                Redirection::Moved | Redirection::Later => {
                    changes.mark_unchanged();
                    self.0.trouble.tell();
                    let _ = timeout(backoff.next(), changes.changed()).await;
                    lane = self.lane(slot, safety)?;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            let reply = if is_asking {
                // On the same line, one behind the other.
                let asking = lane.send(command(&[b"ASKING"]))?;
                let reply = lane.ask(text.clone()).await?;
                drop(asking);
                reply
            } else {
                lane.ask(text.clone()).await?
            };
            match Redirection::of(&reply) {
                None => return accept(reply),
                Some(next) => hint = next,
            }
        }
        Err(Failure::Unreachable)
    }
}

/// An answer that is not a refusal.
pub(super) fn accept(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Error(text) => Err(Failure::Refused(String::from_utf8_lossy(&text).into())),
        reply => Ok(reply),
    }
}
