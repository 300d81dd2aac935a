//! Bodies of requests, read within bounds of size and time.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

/// How long a client may take for a body, as for everything before it.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body of at most `most` bytes.
///
/// # Errors
/// The status to answer with.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    most: usize,
) -> Result<Bytes, StatusCode> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(payload, most)).await {
        Ok(body) => body,
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

async fn collect(mut payload: Payload, most: usize) -> Result<Bytes, StatusCode> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        // Whoever broke off its body does not wait for an answer; the reference has 499 here.
        let part = part.map_err(|_| StatusCode::BAD_REQUEST)?;
        if body.len() + part.len() > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}
