//! A future of the application's own, whose panics cost no more than its answer.
//!
//! Nothing of ours is in what panics, and it is never used again: that makes it safe to go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use campanile_protocol::codes::Rejection;
use campanile_protocol::{ClientId, Refusal, UserId};

use crate::application::Caller;
use crate::broker::BoxFuture;

/// Why the application has not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Silence {
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

/// What the application is asked, and about whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matter<'a> {
    /// The method of [`Application`](crate::application::Application).
    pub(super) method: &'static str,
    pub(super) client: ClientId,
    /// `None` while that is the question.
    pub(super) user: Option<&'a UserId>,
}

impl<'a> Matter<'a> {
    pub(super) const fn about(caller: &'a Caller, method: &'static str) -> Self {
        Self {
            method,
            client: caller.client,
            user: Some(&caller.user),
        }
    }

    fn unwound<T>(self, run: impl FnOnce() -> T) -> Result<T, Silence> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
            let Self {
                method,
                client,
                user,
            } = self;
            let user = user.map(UserId::as_str);
            tracing::error!(method, %client, ?user, "the application panicked");
            Silence::Panicked
        })
    }
}

/// See the [module](self). It may panic at once, when it is polled, and when it is dropped, be it
/// finished or given up.
pub(super) struct Contained<'a, T> {
    matter: Matter<'a>,
    /// `None` when there is nothing more to come.
    future: Option<BoxFuture<'a, T>>,
}

impl<'a, T> Contained<'a, T> {
    pub(super) fn new(matter: Matter<'a>, call: impl FnOnce() -> BoxFuture<'a, T>) -> Self {
        let future = matter.unwound(call).ok();
        Self { matter, future }
    }

    fn end(&mut self) -> Result<(), Silence> {
        let future = self.future.take();
        self.matter.unwound(|| drop(future))
    }
}

impl<T> Future for Contained<'_, T> {
    type Output = Result<T, Silence>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else {
            return Poll::Ready(Err(Silence::Panicked));
        };
        let said = match this.matter.unwound(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(said)) => Ok(said),
            Err(silence) => Err(silence),
        };
        Poll::Ready(this.end().and(said))
    }
}

impl<T> Drop for Contained<'_, T> {
    fn drop(&mut self) {
        // That it panicked is in the log, and nobody waits for it.
        let _ = self.end();
    }
}
