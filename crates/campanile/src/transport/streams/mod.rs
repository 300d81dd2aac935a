//! Sessions whose messages are the body of one HTTP response: sections 15 and 16 of the client
//! protocol.
//!
//! The request is an ordinary one of the `App`. What it says is judged here, and then its socket
//! leaves actix for the worker of the thread, where it is a connection like any other: the same
//! outbox, the same limits, the same end. Nothing here knows what the messages mean.

mod body;
mod cors;
mod emulation;

use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::RequestHead;
use actix_web::http::header;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use campanile_engine::authority::Handshake;
use campanile_protocol::codec::json;
use campanile_protocol::wire::Encoder;
use campanile_protocol::{Disconnect, Wire};
use serde::Deserialize;

use super::admission::{Admission, Refused};
use super::connection::{FirstWords, Speech};
use super::handshake::{HandshakeRules, Unreadable};
use super::hang_up::hang_up;
use super::line;
use super::origin::Origins;
use super::upgrade::Opening;
use super::worker::WorkerPool;
use cors::{Cors, speaks_for_user};
use emulation::{emulate, encoding};

/// Which of these endpoints there are.
#[derive(Clone, Debug, Default)]
pub struct StreamEndpoints {
    /// Replies as lines.
    pub http_stream: Option<BodyEndpoint>,
    /// Replies as events.
    pub sse: Option<BodyEndpoint>,
    /// Pushes as lines.
    pub uni_http_stream: Option<BodyEndpoint>,
    /// Pushes as events.
    pub uni_sse: Option<BodyEndpoint>,
    /// Commands for sessions that speak over the first two; there only if one of them is.
    pub emulation: BodyEndpoint,
    /// The path by which clients measure how far away this is.
    pub init: Option<String>,
}

/// Where requests come, and how large they may be.
#[derive(Clone, Debug, Default)]
pub struct BodyEndpoint {
    /// The path.
    pub path: String,
    /// Bytes of a body.
    pub body_bytes_max: usize,
}

/// What every endpoint needs.
pub(super) struct Door {
    pub(super) workers: Arc<WorkerPool>,
    pub(super) admission: Arc<Admission>,
    pub(super) origins: Origins,
    pub(super) handshakes: HandshakeRules,
}

/// One of the four.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    HttpStream,
    Sse,
    UniHttpStream,
    UniSse,
}

impl StreamEndpoints {
    /// Whether there are sessions whose commands come in requests of their own.
    #[must_use]
    pub const fn takes_emulation(&self) -> bool {
        self.http_stream.is_some() || self.sse.is_some()
    }

    /// Adds the endpoints that there are.
    pub(super) fn configure(&self, door: Door, services: &mut ServiceConfig) {
        let door = Rc::new(door);
        for (kind, endpoint) in [
            (Kind::HttpStream, &self.http_stream),
            (Kind::Sse, &self.sse),
            (Kind::UniHttpStream, &self.uni_http_stream),
            (Kind::UniSse, &self.uni_sse),
        ] {
            let Some(endpoint) = endpoint.clone() else {
                continue;
            };
            let (door, path) = (Rc::clone(&door), endpoint.path.clone());
            let open = move |request, payload| {
                open(Rc::clone(&door), kind, endpoint.clone(), request, payload)
            };
            services.service(web::resource(path).to(open));
        }
        if let Some(path) = &self.init {
            let origins = door.origins.clone();
            let init = move |request: HttpRequest| {
                let cors = Cors::of(&origins, request.headers());
                async move {
                    cors.respond(StatusCode::OK)
                        .insert_header((header::CACHE_CONTROL, "no-store"))
                        .json(serde_json::json!({}))
                }
            };
            services.route(path, web::get().to(init));
        }
        if self.takes_emulation() {
            let endpoint = self.emulation.clone();
            let path = endpoint.path.clone();
            let emulate = move |request, payload| {
                emulate(Rc::clone(&door), endpoint.clone(), request, payload)
            };
            services.service(web::resource(path).to(emulate));
        }
    }
}

/// Opens a session over the response to this request.
async fn open(
    door: Rc<Door>,
    kind: Kind,
    endpoint: BodyEndpoint,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let cors = Cors::of(&door.origins, request.headers());
    if *request.method() == Method::OPTIONS && kind.methods().contains(&Method::OPTIONS) {
        return cors.preflight();
    }
    if !kind.methods().contains(request.method()) {
        return cors.refuse_method(kind.methods());
    }
    if cors.is_foreign() {
        return cors.refuse_origin();
    }
    let said = if *request.method() == Method::GET {
        Ok(kind.queried(&request))
    } else {
        let body = body::read(&request, payload, endpoint.body_bytes_max).await;
        body.map(Some)
    };
    let words = said.and_then(|said| kind.first_words(said).ok_or(StatusCode::BAD_REQUEST));
    let handshake = known(&door, request.head());
    let (words, handshake) = match (words, handshake) {
        (Ok(words), Ok(handshake)) => (words, handshake),
        (Err(status), _) => return cors.respond(status).finish(),
        (_, Err(unreadable)) => return cors.respond(unreadable.status()).finish(),
    };
    let worker = door.workers.worker();
    let place = match door.admission.admit(worker.now().moment) {
        Ok(place) => place,
        Err(refused) => return refuse_place(&door, &cors, kind.wire(&request), refused),
    };
    // actix would carry out what was pipelined behind this, and nobody could be told of it.
    hang_up(&request).await;
    let Some(io) = line::take(&request).await else {
        return cors.respond(StatusCode::BAD_REQUEST).finish();
    };
    let wire = kind.wire(&request);
    let mut head = cors.endless(content_type(wire));
    if matches!(wire, Wire::Events | Wire::UniEvents) {
        head.extend_from_slice(b"\r\n");
    }
    let opening = Opening {
        speech: Speech::Session(wire),
        window: None,
        head,
        handshake,
        words: Some(words),
    };
    worker.adopt(io, opening, &mut [], place);
    // Nobody will see this one: the connection has left.
    HttpResponse::Ok().force_close().finish()
}

/// What is known of the client; no more than where it comes from, if it may be a page that does not
/// speak for the browser's user.
fn known(door: &Door, head: &RequestHead) -> Result<Option<Box<Handshake>>, Unreadable> {
    if speaks_for_user(&door.origins, head) {
        door.handshakes.read(&head.headers, head.peer_addr)
    } else {
        Ok(door.handshakes.read_peer(&head.headers, head.peer_addr))
    }
}

/// The answer of a node that is full or stops. An `EventSource` never comes back behind any status
/// but 200 (HTML, section 9.2.3), and so is told in its own words.
fn refuse_place(door: &Door, cors: &Cors, wire: Wire, refused: Refused) -> HttpResponse {
    if !matches!(wire, Wire::Events | Wire::UniEvents) {
        return cors
            .respond(StatusCode::SERVICE_UNAVAILABLE)
            .insert_header((header::RETRY_AFTER, refused.retry_after))
            .finish();
    }
    let why = if door.admission.is_closed() {
        Disconnect::SHUTDOWN
    } else {
        Disconnect::TOO_MANY_REQUESTS
    };
    let mut body = b"\r\n".to_vec();
    Encoder::default().disconnect(wire, &why, &mut body);
    cors.respond(StatusCode::OK)
        .content_type(content_type(wire))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .force_close()
        .body(body)
}

impl Kind {
    const fn methods(self) -> &'static [Method] {
        match self {
            Self::HttpStream | Self::UniHttpStream => &[Method::POST, Method::OPTIONS],
            Self::Sse | Self::UniSse => &[Method::GET, Method::POST],
        }
    }

    fn wire(self, request: &HttpRequest) -> Wire {
        match self {
            Self::HttpStream => Wire::Stream(encoding(request)),
            Self::Sse => Wire::Events,
            Self::UniHttpStream => Wire::UniStream,
            Self::UniSse => Wire::UniEvents,
        }
    }

    /// What a client without a body says; `None` when that is nothing.
    fn queried(self, request: &HttpRequest) -> Option<Bytes> {
        let said = connect_query(request.query_string());
        match self {
            // A page that has nothing to say about itself may leave it out.
            Self::UniSse => said.or_else(|| Some(Bytes::from_static(b"{}"))),
            _ => said,
        }
    }

    /// What the session hears first; `None` for a request that is none.
    fn first_words(self, said: Option<Bytes>) -> Option<FirstWords> {
        match self {
            Self::HttpStream | Self::Sse => said.map(FirstWords::Frame),
            Self::UniHttpStream | Self::UniSse => {
                let request = json::connect_request(&said?).ok()?;
                Some(FirstWords::Connect(Box::new(request)))
            }
        }
    }
}

/// What `cf_connect` says in the query of a URL, if it is there and says anything.
pub(super) fn connect_query(query: &str) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Said {
        cf_connect: Option<String>,
    }
    let said = Query::<Said>::from_query(query).ok()?.into_inner();
    let said = said.cf_connect.filter(|said| !said.is_empty());
    said.map(Bytes::from)
}

const fn content_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Events | Wire::UniEvents => "text/event-stream; charset=utf-8",
        Wire::Stream(campanile_protocol::wire::Encoding::Protobuf) => "application/octet-stream",
        _ => "application/json; charset=utf-8",
    }
}
