//! One kind of question to one proxy: asks, counts, and tells the log what went wrong.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use campanile_engine::application::{Lapse, Renewal};
use campanile_engine::throttle::Throttle;
use campanile_protocol::Refusal;
use campanile_protocol::codes::Rejection;
use hyper::header::HeaderMap;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::client::{Client, Reply};
use super::failure::Failure;
use super::metrics::{Kind, Meter};
use super::request::Request;
use crate::config::Proxy;

/// See the [module](self).
pub(super) struct Service {
    client: Arc<Client>,
    kind: Kind,
    meter: Arc<Meter>,
    /// A proxy that is down fails as often as it is asked.
    faults: Throttle,
}

impl Service {
    pub(super) const fn new(client: Arc<Client>, kind: Kind, meter: Arc<Meter>) -> Self {
        Self {
            client,
            kind,
            meter,
            faults: Throttle::per_second(1),
        }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        self.client.proxy()
    }

    /// The result; `None` when there is none.
    ///
    /// # Errors
    /// The application's no, or [`Refusal::INTERNAL`] when it cannot be asked.
    pub(super) async fn decide<T: DeserializeOwned>(
        &self,
        question: &Request<'_>,
        headers: HeaderMap,
    ) -> Result<Option<T>, Rejection> {
        let read = |json: &[u8]| answer::read(json);
        match self.ask(question, headers, read, Answer::No).await {
            Ok(Answer::Result(result)) => Ok(result),
            Ok(Answer::No(rejection)) => Err(rejection),
            Err(Failed) => Err(Refusal::INTERNAL.into()),
        }
    }

    /// New life. An error or a disconnect is as good as no result, and that is the end.
    pub(super) async fn renew(
        &self,
        question: &Request<'_>,
        headers: HeaderMap,
    ) -> Result<Renewal, Lapse> {
        let read = |json: &[u8]| answer::read_renewal(json);
        let fields = self.ask(question, headers, read, |_| None).await;
        let fields = fields.map_err(|Failed| Lapse::Unavailable)?;
        let renewal = fields.and_then(|fields| fields.renewal(unix_seconds()));
        renewal.ok_or(Lapse::Ended)
    }

    async fn ask<T>(
        &self,
        question: &Request<'_>,
        headers: HeaderMap,
        read: impl FnOnce(&[u8]) -> Result<T, Failure>,
        instead: impl FnOnce(Rejection) -> T,
    ) -> Result<T, Failed> {
        let mut under_way = UnderWay::begin(self);
        let reply = self.client.ask(question, headers).await;
        under_way.is_over = true;
        drop(under_way);
        let answer = match reply {
            Ok(Reply::Body(body)) => read(&body.bytes),
            Ok(Reply::Instead(rejection)) => Ok(instead(rejection)),
            Err(failure) => Err(failure),
        };
        answer.map_err(|failure| self.failed(&failure))
    }

    fn failed(&self, failure: &Failure) -> Failed {
        self.meter.failed();
        self.complain(&failure.to_string());
        Failed
    }

    /// Tells the log what is wrong with the proxy, unless it has just been told.
    pub(super) fn complain(&self, cause: &str) {
        if let Some(unsaid) = self.faults.pass() {
            let (proxy, question) = (&self.proxy().section, self.kind.name());
            tracing::warn!(proxy, question, cause, unsaid, "a proxy failed");
        }
    }
}

/// A question under way. One that is dropped before it is over has been given up, with its client
/// or with the server: that is how a proxy that hangs looks when all the others have less patience,
/// and it must not look like nothing.
struct UnderWay<'a> {
    service: &'a Service,
    began: Instant,
    is_over: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(service: &'a Service) -> Self {
        service.meter.began();
        Self {
            service,
            began: Instant::now(),
            is_over: false,
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.service.meter.ended(took);
        if !self.is_over {
            self.service.failed(&Failure::GivenUp(took));
        }
    }
}

/// There is no answer; the log knows why.
struct Failed;

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
