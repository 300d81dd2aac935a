//! Several applications in a row: handlers of this program before services elsewhere.

use std::sync::Arc;

use campanile_engine::application::{
    Application, Arrival, Caller, Decision, Interests, Lapse, Renewal, Revision, Verdict,
};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::broker::BoxFuture;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Disconnect, Payload};

/// Asks each in turn what it wants to be asked, until one decides. Of what is told, all hear.
pub(crate) struct Applications(Vec<(Interests, Box<dyn Application>)>);

impl Applications {
    /// In this order.
    pub(crate) fn new(all: Vec<Box<dyn Application>>) -> Self {
        let all = all.into_iter();
        Self(all.map(|one| (one.interests(), one)).collect())
    }

    /// Those that want this question or notice.
    fn wanting(&self, interest: Interests) -> impl Iterator<Item = &dyn Application> + Send {
        let wanting = self.0.iter().filter(move |(all, _)| all.has(interest));
        wanting.map(|(_, one)| &**one)
    }

    /// What the first says that does not leave it to the configuration.
    fn decide<'a, T: Send>(
        &'a self,
        interest: Interests,
        ask: impl Fn(&'a dyn Application) -> BoxFuture<'a, Decision<T>> + Send + 'a,
    ) -> BoxFuture<'a, Decision<T>> {
        Box::pin(async move {
            for one in self.wanting(interest) {
                match ask(one).await? {
                    Verdict::AsConfigured => {}
                    decided @ Verdict::Allowed(_) => return Ok(decided),
                }
            }
            Ok(Verdict::AsConfigured)
        })
    }
}

impl Application for Applications {
    fn interests(&self) -> Interests {
        let all = self.0.iter();
        all.fold(Interests::NONE, |sum, (one, _)| sum | *one)
    }

    fn connecting<'a>(&'a self, arrival: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        self.decide(Interests::CONNECTING, move |one| one.connecting(arrival))
    }

    fn connected<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for one in self.wanting(Interests::CONNECTED) {
                one.connected(caller).await;
            }
        })
    }

    fn refresh<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        match self.wanting(Interests::REFRESH).next() {
            Some(one) => one.refresh(caller),
            None => Box::pin(std::future::ready(Err(Lapse::Ended))),
        }
    }

    fn subscribe<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        wanted: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        self.decide(Interests::SUBSCRIBE, |one| one.subscribe(caller, wanted))
    }

    fn wish<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        wanted: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        self.decide(Interests::SUBSCRIBE, |one| one.wish(caller, wanted))
    }

    fn sub_refresh<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        match self.wanting(Interests::SUB_REFRESH).next() {
            Some(one) => one.sub_refresh(caller, channel),
            None => Box::pin(std::future::ready(Err(Lapse::Ended))),
        }
    }

    fn publish<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
        data: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        self.decide(Interests::PUBLISH, |one| one.publish(caller, channel, data))
    }

    fn rpc<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        method: &'a str,
        data: &'a [u8],
    ) -> BoxFuture<'a, Decision<Payload>> {
        self.decide(Interests::RPC, |one| one.rpc(caller, method, data))
    }

    fn message<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        data: &'a [u8],
    ) -> BoxFuture<'a, Result<Verdict<()>, Disconnect>> {
        Box::pin(async move {
            for one in self.wanting(Interests::MESSAGE) {
                if let taken @ Verdict::Allowed(()) = one.message(caller, data).await? {
                    return Ok(taken);
                }
            }
            Ok(Verdict::AsConfigured)
        })
    }

    fn presence<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Decision<()>> {
        self.decide(Interests::PRESENCE, |one| one.presence(caller, channel))
    }

    fn history<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Decision<()>> {
        self.decide(Interests::HISTORY, |one| one.history(caller, channel))
    }

    fn disconnected<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        reason: &'a Disconnect,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for one in self.wanting(Interests::DISCONNECTED) {
                one.disconnected(caller, reason).await;
            }
        })
    }
}
