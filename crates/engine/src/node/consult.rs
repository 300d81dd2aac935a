//! Asking the application, and telling it.
//!
//! Its futures may panic, which costs the one question (`contained`); they may be of no interest
//! any more, and are then dropped; they may take their time, which is nobody else's; and they may
//! say what no client can be told (`tellable`).

use std::pin::pin;
use std::sync::Arc;

use campanile_protocol::Disconnect;
use campanile_protocol::command::SubscribeRequest;
use futures_util::future::{Either, join_all, select};

use super::Node;
use super::contained::{Contained, Matter, Silence};
use super::tellable::{Brings, Recipient, tellable_end, tellable_renewal, tellable_to};
use crate::application::{
    Application, Arrival, Caller, Decision, Interests, Lapse, Renewal, Verdict,
};
use crate::ask::{Abandoned, Answer, Question};
use crate::authority::Credentials;
use crate::broker::BoxFuture;
use crate::limits::NOTICES_MAX;
use crate::throttle::Throttle;

/// That clients have to wait, in the log: as often as one of them comes.
static CROWDS: Throttle = Throttle::per_second(1);

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
        let interests = self.settings().interests;
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
        let matter = Matter {
            method: "connecting",
            client: arrival.client,
            user: None,
        };
        let call = || self.application.connecting(arrival);
        let said = unless(&mut abandoned, Contained::new(matter, call)).await??;
        tellable_to(Recipient::from(&arrival), said)
    }

    pub(super) async fn consult(
        &self,
        caller: &Arc<Caller>,
        question: Question,
        abandoned: Abandoned,
    ) -> Answer {
        let app = &*self.application;
        let mut asker = Asker { caller, abandoned };
        match question {
            Question::Subscribe(request) => {
                let call = || app.subscribe(caller, &request);
                let said = asker.decision("subscribe", call).await;
                Answer::Subscribing(request, said)
            }
            Question::Wishes(wishes) => asker.wishes(app, wishes).await,
            Question::Publish { channel, data } => {
                let call = || app.publish(caller, channel.as_str(), &data);
                let said = asker.decision("publish", call).await;
                Answer::Publishing(channel, data, said)
            }
            Question::Rpc { method, data } => {
                let call = || app.rpc(caller, &method, &data);
                Answer::Rpc(asker.decision("rpc", call).await)
            }
            Question::Message(data) => {
                let said = asker.answer("message", || app.message(caller, &data)).await;
                let said = said.unwrap_or(Ok(Verdict::Allowed(())));
                Answer::Message(said.map_err(tellable_end))
            }
            Question::Presence(channel) => {
                let call = || app.presence(caller, channel.as_str());
                Answer::Reading(asker.decision("presence", call).await)
            }
            Question::History(channel) => {
                let call = || app.history(caller, channel.as_str());
                Answer::Reading(asker.decision("history", call).await)
            }
            Question::Connected => {
                // There are as many of these as sessions at most: each ends with its own.
                let _turn = self.notifying.take(caller.client).await;
                let _ = asker.answer("connected", || app.connected(caller)).await;
                Answer::Told
            }
            Question::Refresh => asker.renewal("refresh", || app.refresh(caller)).await,
            Question::SubRefresh(channel) => {
                let call = || app.sub_refresh(caller, channel.as_str());
                asker.renewal("sub_refresh", call).await
            }
        }
    }

    /// Returns when the application has been told of every end until now. To be called when all
    /// sessions have ended, before the process does.
    #[doc(hidden)]
    pub async fn finish_telling(&self) {
        drop(self.telling.write().await);
    }

    /// Tells the application that a session is over: behind what it was told of its beginning.
    pub(super) async fn mourn(&self, caller: &Arc<Caller>, end: &Disconnect) {
        let _telling = self.telling.read().await;
        let _turn = self.notifying.take(caller.client).await;
        let _notice = self.notices.acquire().await;
        let matter = Matter::about(caller, "disconnected");
        // That it panicked is in the log; nobody waits for more.
        let _ = Contained::new(matter, || self.application.disconnected(caller, end)).await;
    }
}

/// Who wants to know something about a live session.
struct Asker<'a> {
    caller: &'a Arc<Caller>,
    abandoned: Abandoned,
}

impl<'a> Asker<'a> {
    /// The application's answer, unless there is none or nobody wants it.
    async fn answer<T>(
        &mut self,
        method: &'static str,
        call: impl FnOnce() -> BoxFuture<'a, T>,
    ) -> Result<T, Silence> {
        let matter = Matter::about(self.caller, method);
        unless(&mut self.abandoned, Contained::new(matter, call)).await?
    }

    async fn decision<T: Brings>(
        &mut self,
        method: &'static str,
        call: impl FnOnce() -> BoxFuture<'a, Decision<T>>,
    ) -> Decision<T> {
        let said = self.answer(method, call).await?;
        tellable_to(Recipient::from(&**self.caller), said)
    }

    async fn renewal(
        &mut self,
        method: &'static str,
        call: impl FnOnce() -> BoxFuture<'a, Result<Renewal, Lapse>>,
    ) -> Answer {
        let said = self.answer(method, call).await;
        let said = said.unwrap_or(Err(Lapse::Unavailable));
        Answer::Renewal(tellable_renewal(Recipient::from(&**self.caller), said))
    }

    /// All wishes at the same time: there are no more than the session may have channels.
    async fn wishes(&mut self, app: &dyn Application, wishes: Vec<SubscribeRequest>) -> Answer {
        let caller = self.caller;
        let (matter, to) = (Matter::about(caller, "wish"), Recipient::from(&**caller));
        let ask = |wish| Contained::new(matter, move || app.wish(caller, wish));
        let all = join_all(wishes.iter().map(ask));
        let said = unless(&mut self.abandoned, all).await.unwrap_or_default();
        let said = said.into_iter().map(|said| tellable_to(to, said?));
        Answer::Wishes(wishes.into_iter().zip(said).collect())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Wanted;
    use campanile_protocol::ClientId;
    use futures_util::FutureExt;
    use std::future::pending;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as told");
        }
    }

    /// What panics when it is dropped, which is before it has an answer.
    fn bomb() -> Contained<'static, ()> {
        let matter = Matter {
            method: "rpc",
            client: ClientId::from_random([1; 16], 0),
            user: None,
        };
        Contained::new(matter, || {
            let bomb = Bomb;
            Box::pin(async move {
                let _bomb = bomb;
                pending::<()>().await;
            })
        })
    }

    #[test]
    fn what_panics_when_it_is_given_up_costs_nothing_else() {
        let (wanted, mut abandoned) = Wanted::new();
        drop(wanted);
        let said = unless(&mut abandoned, bomb()).now_or_never();
        assert_eq!(said, Some(Err(Silence::Abandoned)), "at its first poll");

        let (wanted, mut abandoned) = Wanted::new();
        let mut asking = Box::pin(unless(&mut abandoned, bomb()));
        assert_eq!(asking.as_mut().now_or_never(), None);
        drop(wanted);
        let said = asking.as_mut().now_or_never();
        assert_eq!(said, Some(Err(Silence::Abandoned)), "later");

        let (_wanted, mut abandoned) = Wanted::new();
        let mut asking = Box::pin(unless(&mut abandoned, bomb()));
        assert_eq!(asking.as_mut().now_or_never(), None);
        drop(asking);
        drop(bomb());
    }
}
