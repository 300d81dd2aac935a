//! Requests to the server's HTTP side: one at a time, each with an end.

use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Error};

use super::{Failure, TlsArgs};

/// From the resolution of the name to the open connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// From the resolution of the name to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer. All that is asked for here is answered in a few hundred.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Where the key of the server API stands.
const KEY: &str = "X-API-Key";

/// A client of one server.
pub(in super::super) struct Http {
    agent: Agent,
    base: String,
}

/// What the server said.
pub(in super::super) struct Answer {
    /// Whether it can be relied on is for the caller to say.
    pub(in super::super) status: StatusCode,
    /// The body; what is no UTF-8 was replaced.
    pub(in super::super) body: String,
}

impl Http {
    /// Knows where to ask, and has not asked yet.
    pub(in super::super) fn new(base: String, tls: &TlsArgs) -> Result<Self, Failure> {
        let agent = Agent::config_builder()
            .tls_config(tls.for_http(base.starts_with("https"))?)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // A key must not follow wherever it is sent on to.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The WebSocket is not proxied either, and most servers asked are on this machine.
            .proxy(None)
            .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, base })
    }

    /// Asks, with the key of the server API if there is one.
    pub(in super::super) fn get(&self, path: &str, key: &str) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.get(&url);
        if !key.is_empty() {
            request = request.header(KEY, key);
        }
        self.answer(request.call())
    }

    /// Posts JSON, with the key of the server API if there is one.
    pub(in super::super) fn post(
        &self,
        path: &str,
        key: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .agent
            .post(&url)
            .header("Content-Type", "application/json");
        if !key.is_empty() {
            request = request.header(KEY, key);
        }
        self.answer(request.send(body))
    }

    fn answer(&self, result: Result<Response<Body>, Error>) -> Result<Answer, Failure> {
        let read = |mut response: Response<Body>| {
            let status = response.status();
            let body = response.body_mut().with_config();
            let body = body.limit(ANSWER_BYTES_MAX).lossy_utf8(true);
            let body = body.read_to_string()?;
            Ok(Answer { status, body })
        };
        let unreachable = |reason, is_late| Failure::Unreachable {
            url: self.base.clone(),
            reason,
            is_late,
        };
        result.and_then(read).map_err(|error| match error {
            Error::BadUri(_) | Error::Http(_) => Failure::Usage(error.to_string()),
            Error::BodyExceedsLimit(_) => Failure::Refused(error.to_string()),
            // Without the name of the layer, which tells nobody anything.
            Error::Io(error) => unreachable(error.to_string(), false),
            error => unreachable(error.to_string(), matches!(error, Error::Timeout(_))),
        })
    }
}
