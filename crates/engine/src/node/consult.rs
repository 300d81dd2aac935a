//! Asking the application, and telling it: what it does to a future of its own.
//!
//! Such a future may panic, which costs the one question; it may be of no interest any more, and is
//! then dropped; and it may take its time, which is nobody else's.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Refusal};
use futures_util::future::{Either, join_all, select};

use super::Node;
use super::tellable::{Brings, Recipient, tellable_end, tellable_renewal, tellable_to};
use crate::application::{Arrival, Caller, Decision, Interests, Lapse, Verdict};
use crate::ask::{Abandoned, Answer, Question};
use crate::authority::Credentials;
use crate::broker::BoxFuture;
use crate::limits::NOTICES_MAX;
use crate::throttle::Throttle;

/// That clients have to wait, in the log: as often as one of them comes.
static CROWDS: Throttle = Throttle::per_second(1);

/// Why the application has not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Silence {
    /// It panicked.
    Panicked,
    /// Nobody wants to know any more.
    Abandoned,
}

/// Nobody is told more than that something failed on our side.
impl From<Silence> for Rejection {
    fn from(_: Silence) -> Self {
        Refusal::INTERNAL.into()
    }
}

impl Node {
    /// What the application says of somebody who wants to connect.
    pub(super) async fn welcome(
        &self,
        arrival: Arrival<'_>,
        abandoned: Option<Abandoned>,
    ) -> Decision<Credentials> {
        let Some(mut abandoned) = abandoned else {
            return Ok(Verdict::AsConfigured);
        };
        let interests = self.settings.interests;
        if interests.has(Interests::DISCONNECTED) {
            // Who is let in will leave, which the application has to be told: so nobody is let in
            // while too many ends wait to be told. The semaphore is fair, and never closed.
            if self.notices.available_permits() == 0
                && let Some(unsaid) = CROWDS.pass()
            {
                let (waiting, client) = (NOTICES_MAX, arrival.client);
                tracing::warn!(
                    waiting, %client, unsaid,
                    "nobody can connect before the application's `disconnected` returns"
                );
            }
            drop(unless(&mut abandoned, self.notices.acquire()).await?);
        }
        if !interests.has(Interests::CONNECTING) {
            return Ok(Verdict::AsConfigured);
        }
        let call = || self.application.connecting(arrival);
        flat(&arrival, answer(call, &mut abandoned).await)
    }

    pub(super) async fn consult(
        &self,
        caller: &Arc<Caller>,
        question: Question,
        mut abandoned: Abandoned,
    ) -> Answer {
        let (app, abandoned) = (&*self.application, &mut abandoned);
        match question {
            Question::Subscribe(request) => {
                let said = answer(|| app.subscribe(caller, &request), abandoned).await;
                Answer::Subscribing(request, flat(&**caller, said))
            }
            Question::Wishes(wishes) => {
                let ask = |wish| caught(move || app.wish(caller, wish));
                let all = join_all(wishes.iter().map(ask));
                let said = unless(abandoned, all).await.unwrap_or_default();
                let said = said.into_iter().map(|said| flat(&**caller, said));
                Answer::Wishes(wishes.into_iter().zip(said).collect())
            }
            Question::Publish { channel, data } => {
                let call = || app.publish(caller, channel.as_str(), &data);
                let said = answer(call, abandoned).await;
                Answer::Publishing(channel, data, flat(&**caller, said))
            }
            Question::Rpc { method, data } => {
                let said = answer(|| app.rpc(caller, &method, &data), abandoned).await;
                Answer::Rpc(flat(&**caller, said))
            }
            Question::Message(data) => {
                let said = answer(|| app.message(caller, &data), abandoned).await;
                let said = said.unwrap_or(Ok(Verdict::Allowed(())));
                Answer::Message(said.map_err(tellable_end))
            }
            Question::Presence(channel) => {
                let call = || app.presence(caller, channel.as_str());
                Answer::Reading(flat(&**caller, answer(call, abandoned).await))
            }
            Question::History(channel) => {
                let call = || app.history(caller, channel.as_str());
                Answer::Reading(flat(&**caller, answer(call, abandoned).await))
            }
            Question::Connected => {
                // There are as many of these as sessions at most: each ends with its own.
                let _turn = self.notifying.take(caller.client).await;
                let _ = answer(|| app.connected(caller), abandoned).await;
                Answer::Told
            }
            Question::Refresh => {
                let said = answer(|| app.refresh(caller), abandoned).await;
                let said = said.unwrap_or(Err(Lapse::Unavailable));
                Answer::Renewal(tellable_renewal((&**caller).into(), said))
            }
            Question::SubRefresh(channel) => {
                let call = || app.sub_refresh(caller, channel.as_str());
                let said = answer(call, abandoned).await;
                let said = said.unwrap_or(Err(Lapse::Unavailable));
                Answer::Renewal(tellable_renewal((&**caller).into(), said))
            }
        }
    }

    /// Returns when the application has been told of every end until now. To be called when all
    /// sessions have ended, before the process does.
    pub async fn finish_telling(&self) {
        drop(self.telling.write().await);
    }

    /// Tells the application that a session is over: behind what it was told of its beginning.
    pub(super) async fn mourn(&self, caller: &Arc<Caller>, end: &Disconnect) {
        let _telling = self.telling.read().await;
        let _turn = self.notifying.take(caller.client).await;
        let _notice = self.notices.acquire().await;
        // That it panicked is in the log; nobody waits for more.
        let _ = caught(|| self.application.disconnected(caller, end)).await;
    }
}

/// The application's decision, as far as its client may be told it.
fn flat<T: Brings>(to: impl Into<Recipient>, said: Result<Decision<T>, Silence>) -> Decision<T> {
    tellable_to(to.into(), said?)
}

/// The application's answer, unless there is none or nobody wants it.
async fn answer<'a, T>(
    call: impl FnOnce() -> BoxFuture<'a, T>,
    abandoned: &mut Abandoned,
) -> Result<T, Silence> {
    unless(abandoned, caught(call)).await?
}

/// What comes of a future, unless nobody wants to know any more.
async fn unless<T>(
    abandoned: &mut Abandoned,
    future: impl Future<Output = T>,
) -> Result<T, Silence> {
    match select(pin!(future), pin!(abandoned.wait())).await {
        Either::Left((outcome, _)) => Ok(outcome),
        Either::Right(_) => Err(Silence::Abandoned),
    }
}

/// Runs what may panic, whether it does so at once, later or in the end.
async fn caught<'a, T>(call: impl FnOnce() -> BoxFuture<'a, T>) -> Result<T, Silence> {
    let mut future = unwound(call)?;
    let said = poll_fn(|context| match unwound(|| future.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(silence) => Poll::Ready(Err(silence)),
    })
    .await;
    // What a future that panicked does when it is dropped is not known either.
    unwound(|| drop(future))?;
    said
}

/// Nothing of ours is in what panics: it is the application's own, and never used again.
fn unwound<T>(run: impl FnOnce() -> T) -> Result<T, Silence> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        tracing::error!("the application panicked");
        Silence::Panicked
    })
}
