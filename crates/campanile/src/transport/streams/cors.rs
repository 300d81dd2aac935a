//! What a browser lets a page of another origin see: section 1.3 of the client protocol.

use std::time::SystemTime;

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::transport::origin::Origins;

/// Whether the user's browser sent this on behalf of a page that may ask in the user's name. What
/// headers say of the user rests on cookies, which browsers add for any page: also for one whose
/// origin is not allowed, and without any origin for links and images. Where a browser does not
/// say what it asks for, an `EventSource` is known by what it accepts, as links and images never do.
pub(super) fn speaks_for_user(origins: &Origins, head: &RequestHead) -> bool {
    let headers = &head.headers;
    let mut all = headers.get_all(header::ORIGIN);
    let is_allowed = origins.allow(all.next().map(HeaderValue::as_bytes)) && all.next().is_none();
    let mode = headers.get("Sec-Fetch-Mode").map(HeaderValue::as_bytes);
    is_allowed
        && match mode {
            Some(mode) => matches!(mode, b"cors" | b"same-origin"),
            None => {
                head.method != Method::GET
                    || headers.contains_key(header::ORIGIN)
                    || accepts_events(headers)
            }
        }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT);
    kinds.filter_map(|kinds| kinds.to_str().ok()).any(|kinds| {
        let mut kinds = kinds.split([',', ';']);
        kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// The headers by which an allowed origin may read a response; only that there are such for any
/// other.
pub(super) struct Cors {
    headers: Vec<(HeaderName, HeaderValue)>,
    is_foreign: bool,
}

impl Cors {
    /// For the page that sent these headers, if a page did.
    pub(super) fn of(origins: &Origins, headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(header::ORIGIN);
        // Browsers send one; of several, somebody else may believe another one than we do.
        // Caches must not give what one origin got to another one.
        let varies = (header::VARY, HeaderValue::from_static("Origin"));
        let origin = match (all.next(), all.next()) {
            (Some(origin), None) if origins.allow(Some(origin.as_bytes())) => origin,
            (origin, _) => {
                return Self {
                    headers: vec![varies],
                    is_foreign: origin.is_some(),
                };
            }
        };
        let mut allowed = vec![
            varies,
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            (
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            ),
        ];
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            allowed.push((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
        }
        Self {
            headers: allowed,
            is_foreign: false,
        }
    }

    /// Whether a page sent this that may not. Not being able to read the answer would not keep it
    /// from what a request does: a session, publications, all in the name of a token it has.
    pub(super) const fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// The answer to such a page.
    pub(super) fn refuse_origin(&self) -> HttpResponse {
        self.respond(StatusCode::FORBIDDEN)
            .body("this origin is not allowed\n")
    }

    /// A response that the page may read, if it may read any.
    pub(super) fn respond(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(status);
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response
    }

    /// The answer to a browser that asks whether it may send a request.
    pub(super) fn preflight(&self) -> HttpResponse {
        self.respond(StatusCode::NO_CONTENT)
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "300"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"))
            .finish()
    }

    /// The answer to a method that makes no sense here.
    pub(super) fn refuse_method(&self, allowed: &[Method]) -> HttpResponse {
        let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
        self.respond(StatusCode::METHOD_NOT_ALLOWED)
            .insert_header((header::ALLOW, names.join(", ")))
            .finish()
    }

    /// The head of a response that goes on until its connection ends: a client of HTTP/1.0, and
    /// every proxy, knows that kind (RFC 9112 section 6.3).
    pub(super) fn endless(&self, content_type: &str) -> Vec<u8> {
        let date = header::HttpDate::from(SystemTime::now());
        let mut head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nDate: {date}\r\n\
             X-Accel-Buffering: no\r\n\
             Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n\
             Pragma: no-cache\r\nExpire: 0\r\n"
        )
        .into_bytes();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        head
    }
}
