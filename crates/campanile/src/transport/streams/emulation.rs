//! The way of a client whose session speaks over a body: section 15.3 of the client protocol.

use std::rc::Rc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use campanile_engine::node::Stray;
use campanile_protocol::wire::Encoding;

use super::cors::Cors;
use super::{BodyEndpoint, Door, body};

/// Takes commands for a session and answers before they are carried out.
pub(super) async fn emulate(
    door: Rc<Door>,
    endpoint: BodyEndpoint,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let cors = Cors::of(&door.origins, request.headers());
    match *request.method() {
        Method::POST => {}
        Method::OPTIONS => return cors.preflight(),
        _ => return cors.refuse_method(&[Method::POST, Method::OPTIONS]),
    }
    if cors.is_foreign() {
        return cors.refuse_origin();
    }
    let body = match body::read(&request, payload, endpoint.body_bytes_max).await {
        Ok(body) => body,
        Err(status) => return cors.respond(status).finish(),
    };
    let status = match encoding(&request).emulation_request(&body) {
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(frame) => match door.workers.node().emulate(frame).await {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(Stray::UnknownNode) => StatusCode::NOT_FOUND,
            Err(Stray::NoWay) => StatusCode::SERVICE_UNAVAILABLE,
        },
    };
    cors.respond(status).finish()
}

/// What a body is spelled in, as its request says.
pub(super) fn encoding(request: &HttpRequest) -> Encoding {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/octet-stream") {
        Encoding::Protobuf
    } else {
        Encoding::Json
    }
}
