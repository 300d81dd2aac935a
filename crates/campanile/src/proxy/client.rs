//! Asks one proxy over HTTP: how connections are made, kept and shared, and how long all may take.
//!
//! Knows bytes and statuses, and how many bytes of answers there may be at a time. The exchange
//! runs on the background thread; whoever asked awaits it from its own, and when it does so no
//! longer, the connection is closed with the answer unread.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use campanile_protocol::codes::Rejection;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::failure::{ANSWER_BYTES_MAX, Failure};
use super::headers::FRAMING;
use super::lookup::Lookup;
use super::pace::Pace;
use super::{Fault, tls};
use crate::background::Spawner;
use crate::config::Proxy;

/// Questions to one proxy that are on their way, at most: see [`Pace`]. Those beyond wait for up to
/// half of their time, so that what is asked can still be answered.
const INFLIGHT_MAX: usize = 4096;

/// Connections to one proxy that are kept while nobody uses them.
const IDLE_MAX: usize = 256;

/// Connections to one proxy.
pub const SOCKETS_MAX: usize = INFLIGHT_MAX + IDLE_MAX;

/// How long. Common servers close theirs after five seconds, and a question that meets that is
/// lost: it must not be sent twice.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("campanile/", env!("CARGO_PKG_VERSION")));

/// Bytes of answers of one proxy that have come and are not read yet: most of those that are under
/// way together would be more than what a proxy has to say. They are in no other budget.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that are read from a connection at a time, and so of the head of an answer. What
/// [`ANSWERS_BYTES_MAX`] does not know of.
const READ_BYTES_MAX: usize = 32 * 1024;

/// What came back.
pub(super) enum Reply {
    /// The body of an answer with status 200.
    Body(Body),
    /// The status says it all, as configured.
    Instead(Rejection),
}

/// A body, and the room it takes.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// See the [module](self).
pub(super) struct Client {
    proxy: Arc<Proxy>,
    endpoint: Uri,
    static_headers: HeaderMap,
    pool: Pool<HttpsConnector<HttpConnector<Lookup>>, Full<Bytes>>,
    pace: Arc<Pace>,
    /// Bytes that answers may still take.
    room: Arc<Semaphore>,
    background: Spawner,
}

impl Client {
    pub(super) fn new(
        proxy: &Arc<Proxy>,
        background: Spawner,
        sockets_max: usize,
    ) -> Result<Self, Fault> {
        let endpoint: Uri = proxy.endpoint.parse().map_err(|_| Fault::Endpoint)?;
        let is_http = matches!(endpoint.scheme_str(), Some("http" | "https"));
        if !is_http || endpoint.host().is_none() {
            return Err(Fault::Endpoint);
        }
        let idle_max = IDLE_MAX.min(sockets_max / 2);
        let inflight_max = INFLIGHT_MAX.min(sockets_max - idle_max);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(idle_max)
            .http1_max_buf_size(READ_BYTES_MAX)
            .build(connector(proxy)?);
        Ok(Self {
            proxy: Arc::clone(proxy),
            endpoint,
            static_headers: static_headers(proxy)?,
            pool,
            pace: Pace::new(inflight_max),
            room: Arc::new(Semaphore::new(ANSWERS_BYTES_MAX)),
            background,
        })
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Sends `question` and returns what comes back. It is not written out before there is a place
    /// for it.
    pub(super) async fn ask(
        &self,
        question: &impl Serialize,
        headers: HeaderMap,
    ) -> Result<Reply, Failure> {
        let now = Instant::now();
        let deadline = now + self.proxy.timeout;
        let place = timeout_at(now + self.proxy.timeout / 2, self.pace.take()).await;
        let place = place.map_err(|_| Failure::Timeout)?;
        let body = serde_json::to_vec(question).map_err(|_| Failure::Unwritten)?;
        let request = self.request(body, headers);
        let (pool, proxy) = (self.pool.clone(), Arc::clone(&self.proxy));
        let room = Arc::clone(&self.room);
        let running = self.background.spawn(async move {
            let exchange = exchange(&pool, &proxy, &room, request);
            let outcome = timeout_at(deadline, exchange).await;
            match &outcome {
                Ok(_) => place.answered(),
                Err(_) => place.was_late(),
            }
            outcome.map_err(|_| Failure::Timeout)?
        });
        running.await.map_err(|_| Failure::Unfinished)?
    }

    fn request(&self, body: Vec<u8>, headers: HeaderMap) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let all = request.headers_mut();
        *all = headers;
        all.entry(USER_AGENT).or_insert(AGENT);
        all.insert(CONTENT_TYPE, JSON);
        all.insert(ACCEPT_ENCODING, IDENTITY);
        for (name, value) in &self.static_headers {
            all.insert(name.clone(), value.clone());
        }
        request
    }
}

async fn exchange(
    pool: &Pool<HttpsConnector<HttpConnector<Lookup>>, Full<Bytes>>,
    proxy: &Proxy,
    room: &Arc<Semaphore>,
    request: Request<Full<Bytes>>,
) -> Result<Reply, Failure> {
    let response = pool.request(request).await;
    let response = response.map_err(|error| Failure::Network(Box::new(error)))?;
    let status = response.status();
    if status != StatusCode::OK {
        let status = status.as_u16();
        let mut transforms = proxy.transforms.iter();
        return match transforms.find(|(of, _)| *of == status) {
            Some((_, rejection)) => Ok(Reply::Instead(rejection.clone())),
            None => Err(Failure::Status(status)),
        };
    }
    let coding = response.headers().get(CONTENT_ENCODING).cloned();
    let body = read(response.into_body(), room).await?;
    match coding {
        // Some say utf-8 there, and send JSON.
        Some(coding) if !body.bytes.trim_ascii_start().starts_with(b"{") => {
            Err(Failure::Encoded(name(&coding)))
        }
        _ => Ok(Reply::Body(body)),
    }
}

/// What a coding is called, if it has a name such as others.
fn name(coding: &HeaderValue) -> Box<str> {
    let name = coding.to_str().unwrap_or_default();
    let is_plain = name.len() <= 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { name } else { "unknown" }.into()
}

/// Reads all of a body, and takes room for what has come, not for what is announced: a proxy that
/// hangs must not hold what it does not use.
async fn read(mut incoming: Incoming, room: &Arc<Semaphore>) -> Result<Body, Failure> {
    if incoming.size_hint().lower() > ANSWER_BYTES_MAX as u64 {
        return Err(Failure::TooLong);
    }
    let take = |bytes| {
        let taken = Arc::clone(room).try_acquire_many_owned(bytes);
        taken.map_err(|_| Failure::Crowded)
    };
    let (mut bytes, mut taken) = (BytesMut::new(), take(0)?);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Failure::Network(Box::new(error)))?;
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if bytes.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(Failure::TooLong);
        }
        taken.merge(take(part.len().try_into().map_err(|_| Failure::TooLong)?)?);
        // A copy: the part shares memory with whatever else was read with it.
        bytes.extend_from_slice(&part);
    }
    Ok(Body {
        bytes: bytes.freeze(),
        _room: taken,
    })
}

fn connector(proxy: &Proxy) -> Result<HttpsConnector<HttpConnector<Lookup>>, Fault> {
    let mut tcp = HttpConnector::new_with_resolver(Lookup::of_the_system());
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // A connection that nobody waits for any more is made to the end, for the next question.
    tcp.set_connect_timeout(Some(proxy.timeout));
    let settings = proxy.tls.as_ref();
    if settings.is_some_and(|tls| tls.insecure_skip_verify) {
        tracing::warn!(
            proxy = proxy.section,
            "any certificate of this proxy is believed"
        );
    }
    let builder = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls::client_config(settings).map_err(Fault::Tls)?)
        .https_or_http();
    let name = settings.map(tls::server_name).transpose();
    let builder = match name.map_err(Fault::Tls)?.flatten() {
        Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(tcp))
}

fn static_headers(proxy: &Proxy) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &proxy.static_headers {
        let named = || name.as_str().to_owned();
        let name = HeaderName::from_bytes(named().as_bytes());
        let name = name.map_err(|_| Fault::StaticHeader(named()))?;
        let value = HeaderValue::from_str(value.expose());
        let mut value = value.map_err(|_| Fault::StaticHeader(named()))?;
        value.set_sensitive(true);
        if FRAMING.contains(&name) {
            return Err(Fault::StaticHeader(named()));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}
