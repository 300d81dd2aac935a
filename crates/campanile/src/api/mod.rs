//! The server API over HTTP: what an application's backend asks of the node.
//!
//! Ordinary Actix-Web handlers, one for each method, and the shapes of their JSON: sections 1 to 3
//! of the server API's reference, so that clients written for Centrifugo work unchanged. What a
//! method *does* is the business of [`Node`]; nothing here knows sessions, streams or sockets.
//!
//! A request is checked in this order: path, method, key, size, JSON. What is refused before the
//! JSON has been understood is told as a plain HTTP status; what the node refuses is told in the
//! envelope, or as a status too where that is wanted.
//!
//! # Where it differs from Centrifugo
//! * `subscribe` is no error for sessions that are subscribed already.
//! * `unsubscribe` without a channel ends every subscription, with one push for each; with one, only
//!   sessions that were subscribed are told.
//! * `disconnect` wants a close code from 3000 to 4999 and a reason; anything else is 107, since a
//!   client could not be told.
//! * A payload that is not JSON stands in a result as `b64data` (`b64conn_info`, `b64chan_info`),
//!   and the plain field is left out.
//! * `client` and `session` may be any text, but only an id of a live session finds one. There are
//!   no sessions apart from clients, so a `session` finds nothing.
//! * What is done to sessions is done on all nodes of a cluster, and is a success only when all of
//!   them have said so: else it is 100, and may be repeated. `info` and `channels` tell what is known,
//!   and beside it in `silent_nodes` the ids of nodes that do not answer, if there are such.
//! * A body may have [`BODY_BYTES_MAX`] bytes, a batch [`COMMANDS_MAX`] commands, a broadcast
//!   [`BROADCAST_CHANNELS_MAX`](campanile_engine::limits::BROADCAST_CHANNELS_MAX) channels, a
//!   disconnect [`SPARED_MAX`] spared clients.

mod auth;
mod batch;
mod call;
mod channels;
mod legacy;
mod publishing;
mod reply;
mod request;
mod response;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use campanile_engine::node::Node;

use crate::config::{ErrorMode, HttpApi};
pub use auth::Gate;
use call::{Call, Method};
use reply::Rejected;

/// Bytes of a request's body; a longer one is answered 413. Room for the largest broadcast with
/// channel names of some hundred bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Commands in one batch or one legacy request; more are answered 400.
pub const COMMANDS_MAX: usize = 10_000;

/// Clients that one disconnect may spare; more are refused with 107. Each session of the user is
/// compared with each of them.
pub const SPARED_MAX: usize = 1024;

/// Things that one request has done at the same time, at most.
const CONCURRENCY_MAX: usize = 1024;

/// What every handler needs.
struct Api {
    node: Arc<Node>,
    gate: Gate,
    error_mode: ErrorMode,
}

/// Where the API is below this prefix: each method, the batch, and the prefix itself.
pub fn paths(handler_prefix: &str) -> impl Iterator<Item = String> + use<> {
    let prefix = handler_prefix.trim_end_matches('/').to_owned();
    let root = if prefix.is_empty() { "/" } else { &prefix }.to_owned();
    let names = Method::ALL.into_iter().map(Method::name).chain(["batch"]);
    let methods = names.map(move |name| format!("{prefix}/{name}"));
    methods.chain([root])
}

/// Registers the API below the configured prefix; nothing when it is disabled.
///
/// Paths that are no method of ours, and the methods of other editions, are left to the
/// application's own 404.
pub fn configure(node: Arc<Node>, gate: Gate, settings: &HttpApi, services: &mut ServiceConfig) {
    if settings.disabled {
        return;
    }
    let api = Data::new(Api {
        node,
        gate,
        error_mode: settings.error_mode,
    });
    let prefix = settings.handler_prefix.trim_end_matches('/');
    for method in Method::ALL {
        let api = api.clone();
        let path = format!("{prefix}/{}", method.name());
        services.service(web::resource(path).route(web::post().to(
            move |request: HttpRequest, body: Payload| single(api.clone(), method, request, body),
        )));
    }
    let batch = web::resource(format!("{prefix}/batch"));
    services.service(
        batch
            .app_data(api.clone())
            .route(web::post().to(batch_of_calls)),
    );
    let root = if prefix.is_empty() { "/" } else { prefix };
    let legacy = web::resource(root).app_data(api);
    services.service(legacy.route(web::post().to(legacy_calls)));
}

async fn single(
    api: Data<Api>,
    method: Method,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Rejected> {
    let body = receive(&api, &request, body).await?;
    let call = Call::parse(method, &body)?;
    let mode = reply::error_mode(api.error_mode, &request);
    Ok(reply::single(call.run(&api.node).await, mode))
}

async fn batch_of_calls(
    api: Data<Api>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Rejected> {
    let body = receive(&api, &request, body).await?;
    Ok(HttpResponse::Ok().json(batch::run(&api.node, &body).await?))
}

async fn legacy_calls(
    api: Data<Api>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Rejected> {
    let body = receive(&api, &request, body).await?;
    let replies = legacy::run(&api.node, &body).await?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(replies))
}

/// The body of a request that may be made.
async fn receive(api: &Api, request: &HttpRequest, body: Payload) -> Result<Bytes, Rejected> {
    if !api.gate.admits(request) {
        return Err(Rejected::Unauthorized);
    }
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
        return Err(Rejected::TooLarge);
    }
    body.to_bytes_limited(BODY_BYTES_MAX)
        .await
        .map_err(|_| Rejected::TooLarge)?
        .map_err(|_| Rejected::Unreadable)
}
