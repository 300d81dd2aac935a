//! An application behind HTTP: what is decided about clients is asked of services, one request for
//! each question (server API, sections 6.1 to 6.7).
//!
//! Owns who is asked, how, and what answers mean. It knows nothing of sessions, and of the
//! configuration only what [`Proxies`] says. Where no service is configured, the configuration
//! decides as if there were no application.
//!
//! A service that gives no proper answer in time is a failure: the client gets error 100, which is
//! temporary, and what was to be renewed goes on for a while.
//!
//! # Where it differs from Centrifugo
//! * Errors have codes from 400 to 1999, disconnects from 4000 to 4999; any other is a failure. One
//!   without a message or a reason gets one.
//! * A payload that is no JSON, in a question that has to be JSON, is refused with 107: the service
//!   is not asked. With `binary_encoding` payloads may be anything.
//! * An answer may have 1 MiB; a service is asked 4,096 questions at a time, or fewer where
//!   descriptors are few.
//! * Headers that say how a request travels are not passed on, `Content-Type` and `Accept-Encoding`
//!   among them.

mod answer;
mod client;
mod failure;
mod headers;
mod lookup;
mod metrics;
mod pace;
mod request;
mod service;
mod services;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use campanile_engine::application::{
    Application, Arrival, Caller, Decision, Interests, Lapse, Renewal, Revision, Verdict,
};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::broker::BoxFuture;
use campanile_engine::channel::Namespaces;
use campanile_protocol::command::SubscribeRequest;
use campanile_protocol::{Payload, Refusal};
use hyper::header::HeaderMap;

use crate::background::Background;
use crate::config::{Proxies, Proxy};
use answer::{ConnectFields, PublishFields, RpcFields, SubscribeFields};
use headers::forwarded;
use request::{NotJson, Request};
use service::Service;
use services::{Assembly, Callee, ChannelServices, Services};

pub use client::SOCKETS_MAX;
pub(crate) use headers::{is_framing, is_own};
#[cfg(test)]
pub(crate) use metrics::Kind;
pub use metrics::ProxyMetrics;
pub use tls::TlsFault;
#[cfg(any(feature = "nats", feature = "redis"))]
pub(crate) use tls::client_config;
#[cfg(feature = "redis")]
pub(crate) use tls::server_name;

/// How many different services are asked anything. What is the same proxy shares its connections.
pub fn count(proxies: &Proxies) -> usize {
    let different: HashSet<_> = proxies.all().map(Arc::as_ptr).collect();
    different.len()
}

/// See the [module](self).
pub struct ProxyApplication {
    services: Services,
    namespaces: Arc<ArcSwap<Namespaces>>,
    metrics: ProxyMetrics,
}

/// A proxy that cannot be asked anything, and why.
#[derive(Debug)]
pub struct ProxyError {
    /// Where it is configured.
    pub section: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a proxy before it is asked.
#[derive(Debug)]
pub enum Fault {
    /// The endpoint is no `http` or `https` URL.
    Endpoint,
    /// This header cannot be set, or not to this value.
    StaticHeader(String),
    /// TLS cannot be spoken.
    Tls(TlsFault),
}

impl ProxyError {
    fn new(proxy: &Proxy, fault: Fault) -> Self {
        Self {
            section: proxy.section.clone(),
            fault,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.section)?;
        match &self.fault {
            Fault::Endpoint => f.write_str("the endpoint is no http or https URL"),
            Fault::StaticHeader(name) => write!(f, "the header {name} cannot be set like that"),
            Fault::Tls(fault) => write!(f, "http.tls: {fault}"),
        }
    }
}

impl std::error::Error for ProxyError {}

impl ProxyApplication {
    /// Asks these proxies, from the thread of `background`, each over at most `sockets_max`
    /// connections, of which no more than [`SOCKETS_MAX`] are used. The questions themselves are
    /// polled on a tokio runtime with time.
    ///
    /// # Errors
    /// A proxy cannot be asked anything.
    pub fn new(
        proxies: &Proxies,
        namespaces: Arc<ArcSwap<Namespaces>>,
        background: &Background,
        sockets_max: usize,
    ) -> Result<Self, ProxyError> {
        let mut assembly = Assembly::new(background.spawner(), sockets_max);
        Ok(Self {
            services: assembly.services(proxies)?,
            namespaces,
            metrics: assembly.metrics,
        })
    }

    /// What is counted of its questions.
    #[must_use]
    pub fn metrics(&self) -> ProxyMetrics {
        self.metrics.clone()
    }

    fn in_namespace_of(&self, channel: &str) -> Option<&ChannelServices> {
        let namespaces = self.namespaces.load();
        let resolved = namespaces.resolve(channel)?;
        self.services.in_namespace(resolved.namespace)
    }

    async fn ask_connecting(
        &self,
        service: &Service,
        arrival: Arrival<'_>,
    ) -> Decision<Credentials> {
        let question = Request::about_arrival(service.proxy(), &arrival)?;
        let headers = forwarded(service.proxy(), arrival.headers);
        let fields: Option<ConnectFields> = service.decide(&question, headers).await?;
        let Some(fields) = fields else {
            return Ok(Verdict::AsConfigured);
        };
        let credentials = fields.credentials();
        let namespaces = self.namespaces.load();
        let is_known = |(channel, _): &(String, Grant)| namespaces.resolve(channel).is_some();
        if !credentials.subscriptions.iter().all(is_known) {
            service.complain("a channel of a namespace that is not configured");
            return Err(Refusal::UNKNOWN_CHANNEL.into());
        }
        let is_short = |(channel, _): &(String, Grant)| namespaces.allows_length_of(channel);
        if !credentials.subscriptions.iter().all(is_short) {
            service.complain("a channel whose name is longer than channel.max_length");
            return Err(Refusal::BAD_REQUEST.into());
        }
        Ok(Verdict::Allowed(credentials))
    }
}

impl Application for ProxyApplication {
    fn interests(&self) -> Interests {
        self.services.interests()
    }

    fn connecting<'a>(&'a self, arrival: Arrival<'a>) -> BoxFuture<'a, Decision<Credentials>> {
        Box::pin(async move {
            match &self.services.connect {
                Some(service) if arrival.request.token.is_empty() => {
                    self.ask_connecting(service, arrival).await
                }
                _ => Ok(Verdict::AsConfigured),
            }
        })
    }

    fn refresh<'a>(&'a self, caller: &'a Arc<Caller>) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(async move {
            let service = self.services.refresh.as_ref().ok_or(Lapse::Ended)?;
            let question = Request::about_caller(service.proxy(), caller);
            service.renew(&question, of_caller(service, caller)).await
        })
    }

    fn subscribe<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        request: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        Box::pin(async move {
            let asked = self.in_namespace_of(&request.channel);
            let Some(service) = asked.and_then(|asked| asked.subscribe.as_ref()) else {
                return Ok(Verdict::AsConfigured);
            };
            let proxy = service.proxy();
            let question = Request {
                channel: &request.channel,
                token: &request.token,
                ..Request::about_caller(proxy, caller)
            };
            let question = question.with_data(proxy, &request.data)?;
            let headers = of_caller(service, caller);
            let fields: Option<SubscribeFields> = service.decide(&question, headers).await?;
            Ok(Verdict::Allowed(fields.unwrap_or_default().grant()))
        })
    }

    /// Services are asked for what clients wish for when they are asked about the connection
    /// (client protocol, section 6.4); here it is passed over.
    fn wish<'a>(
        &'a self,
        _: &'a Arc<Caller>,
        request: &'a SubscribeRequest,
    ) -> BoxFuture<'a, Decision<Grant>> {
        let asked = self.in_namespace_of(&request.channel);
        let is_asked = asked.is_some_and(|asked| asked.subscribe.is_some());
        Box::pin(std::future::ready(match is_asked {
            true => Err(Refusal::PERMISSION_DENIED.into()),
            false => Ok(Verdict::AsConfigured),
        }))
    }

    fn sub_refresh<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Renewal, Lapse>> {
        Box::pin(async move {
            let asked = self.in_namespace_of(channel);
            let service = asked.and_then(|asked| asked.sub_refresh.as_ref());
            let service = service.ok_or(Lapse::Ended)?;
            let question = Request {
                channel,
                ..Request::about_caller(service.proxy(), caller)
            };
            service.renew(&question, of_caller(service, caller)).await
        })
    }

    fn publish<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        channel: &'a str,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Revision>> {
        Box::pin(async move {
            let asked = self.in_namespace_of(channel);
            let Some(service) = asked.and_then(|asked| asked.publish.as_ref()) else {
                return Ok(Verdict::AsConfigured);
            };
            let proxy = service.proxy();
            let question = Request {
                channel,
                ..Request::about_caller(proxy, caller)
            };
            let question = question.with_data(proxy, payload)?;
            let headers = of_caller(service, caller);
            let fields: Option<PublishFields> = service.decide(&question, headers).await?;
            Ok(Verdict::Allowed(fields.unwrap_or_default().revision()))
        })
    }

    fn rpc<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        method: &'a str,
        payload: &'a [u8],
    ) -> BoxFuture<'a, Decision<Payload>> {
        Box::pin(async move {
            let service = match self.services.callee(method)? {
                Callee::Service(service) => service,
                Callee::Ping => return Ok(Verdict::Allowed(Payload::default())),
                Callee::Nobody => return Ok(Verdict::AsConfigured),
            };
            let proxy = service.proxy();
            let question = Request {
                method,
                ..Request::about_caller(proxy, caller)
            };
            let question = question.with_data(proxy, payload)?;
            let headers = of_caller(service, caller);
            let fields: Option<RpcFields> = service.decide(&question, headers).await?;
            Ok(Verdict::Allowed(fields.unwrap_or_default().data()))
        })
    }
}

impl From<NotJson> for campanile_protocol::codes::Rejection {
    fn from(NotJson: NotJson) -> Self {
        Refusal::BAD_REQUEST.into()
    }
}

/// The headers that go with a question about this client.
fn of_caller(service: &Service, caller: &Caller) -> HeaderMap {
    let kept = caller.headers.as_deref();
    kept.map_or_else(HeaderMap::new, |kept| forwarded(service.proxy(), kept))
}
