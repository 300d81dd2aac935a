//! How an outcome is told over HTTP: the envelope, error modes and statuses of section 1.3.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use campanile_protocol::Refusal;

use super::response::{Failure, Outcome, Response};
use crate::config::ErrorMode;

/// What the API calls 104; clients are told another text.
pub(super) const NOT_FOUND: Refusal = Refusal {
    code: 104,
    message: std::borrow::Cow::Borrowed("not found"),
    temporary: false,
};

/// Why a request was not even looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rejected {
    /// It does not present the key.
    Unauthorized,
    /// Its body is longer than allowed.
    TooLarge,
    /// Its body did not arrive whole.
    Unreadable,
    /// Its body is not the JSON that the method wants.
    Malformed,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "body too large",
            Self::Unreadable => "body not received",
            Self::Malformed => "malformed body",
        })
    }
}

impl std::error::Error for Rejected {}

impl ResponseError for Rejected {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        if *self == Self::Unauthorized {
            return response.finish();
        }
        response
            .content_type("text/plain; charset=utf-8")
            .body(status.canonical_reason().unwrap_or_default())
    }
}

/// How the errors of this request are told: as configured, unless it asks for statuses itself.
pub(super) fn error_mode(configured: ErrorMode, request: &HttpRequest) -> ErrorMode {
    let asked = request.headers().get("x-centrifugo-error-mode");
    if asked.is_some_and(|mode| mode.as_bytes() == b"transport") {
        ErrorMode::Transport
    } else {
        configured
    }
}

/// Answers a request for one call.
pub(super) fn single(outcome: Result<Response, Refusal>, mode: ErrorMode) -> HttpResponse {
    match outcome {
        Err(refusal) if mode == ErrorMode::Transport => {
            HttpResponse::build(status_of(&refusal)).json(Failure::from(refusal))
        }
        outcome => HttpResponse::Ok().json(Outcome::from(outcome)),
    }
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal.code {
        102 | 104 => StatusCode::NOT_FOUND,
        107 | 108 => StatusCode::BAD_REQUEST,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_has_its_status() {
        let table = [
            (100, 500),
            (102, 404),
            (104, 404),
            (107, 400),
            (108, 400),
            (112, 416),
            (113, 409),
            (1234, 500),
        ];
        for (code, status) in table {
            let refusal = Refusal { code, ..NOT_FOUND };
            assert_eq!(status_of(&refusal), status, "{code}");
        }
    }
}
