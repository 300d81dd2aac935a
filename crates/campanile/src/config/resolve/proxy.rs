//! One HTTP service: an address, headers that are headers, and codes that clients understand.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Refusal};

use super::pem::Content;
use super::{Place, Resolver, non_empty, pem};
use crate::config::problem::{Problem, ProblemKind};
use crate::config::proxies::{Proxy, ProxyTls};
use crate::config::raw;
use crate::config::resolved::PemSource;
use crate::config::secret::Secret;
use crate::config::tree::{Origin, Value};
use crate::proxy;
use crate::url;

/// How Centrifugo tells a service that speaks gRPC.
pub(super) const GRPC: &str = "grpc://";

/// Codes of errors that belong to applications.
const ERROR_CODES: RangeInclusive<u64> = 400..=1999;

/// Codes of disconnects that belong to applications.
const DISCONNECT_CODES: RangeInclusive<u64> = 4000..=4999;

const HEADERS: &str = "http.static_headers";
const TRANSFORMS: &str = "http.status_to_code_transforms";

impl Resolver<'_> {
    /// `None` if something is wrong with it, which is told.
    pub(super) fn proxy(
        &mut self,
        place: &Place<'_>,
        name: &str,
        raw: &raw::Proxy,
    ) -> Option<Proxy> {
        let found_before = self.problems.len();
        self.address(place, &raw.endpoint);
        if raw.timeout.is_zero() {
            self.invalid_in(place, "timeout", "must not be zero");
        }
        let tls = &raw.http.tls;
        if tls.enabled && !url::is_https(&raw.endpoint) {
            let reason = "has no effect, as the endpoint is not https";
            self.warn_in(place, "http.tls.enabled", reason);
        }
        if !tls.enabled {
            self.unused_tls(place, "http.tls", tls);
        }
        let proxy = Proxy {
            name: name.to_owned(),
            section: place.key.clone(),
            endpoint: raw.endpoint.clone(),
            timeout: raw.timeout,
            http_headers: self.header_names(place, "http_headers", &raw.http_headers),
            emulated_headers: self.header_names(place, "emulated_headers", &raw.emulated_headers),
            binary_encoding: raw.binary_encoding,
            include_connection_meta: raw.include_connection_meta,
            static_headers: self.static_headers(place, &raw.http),
            transforms: self.transforms(place, &raw.http.status_to_code_transforms),
            tls: tls.enabled.then(|| self.client_tls(place, "http.tls", tls)),
        };
        let errors = &self.problems[found_before..];
        let is_good = errors.iter().all(|problem| !problem.is_error());
        is_good.then_some(proxy)
    }

    fn address(&mut self, place: &Place<'_>, endpoint: &str) {
        if endpoint.starts_with(GRPC) {
            let reason = "only http and https are supported, not gRPC";
            self.invalid_in(place, "endpoint", reason);
        } else if let Err(error) = url::check(endpoint) {
            self.invalid_in(place, "endpoint", error.to_string());
        }
    }

    fn header_names(
        &mut self,
        place: &Place<'_>,
        option: &str,
        given: &[String],
    ) -> Vec<HeaderName> {
        let mut names = Vec::with_capacity(given.len());
        for (index, text) in given.iter().enumerate() {
            let origin = || listed_origin(place, option, index);
            let key = || format!("{}.{option}[{index}]", place.key);
            match text.parse::<HeaderName>() {
                Ok(name) if names.contains(&name) => {}
                Ok(name) if proxy::is_own(name.as_str()) => {
                    let reason = "is never passed on: a question has its own";
                    self.warn_at(origin(), key(), reason);
                }
                Ok(name) => names.push(name),
                Err(_) => {
                    self.invalid_at(origin(), key(), format!("{text:?} is no name of a header"));
                }
            }
        }
        names
    }

    fn static_headers(
        &mut self,
        place: &Place<'_>,
        raw: &raw::ProxyHttp,
    ) -> Vec<(HeaderName, Secret)> {
        let mut headers: Vec<(HeaderName, Secret)> = Vec::with_capacity(raw.static_headers.len());
        let table = place.table.and_then(|table| table.get(HEADERS));
        for (text, value) in &raw.static_headers {
            let reason = match text.parse::<HeaderName>() {
                Err(_) => "no name of a header",
                // The value is not quoted: it may be a key with a line break too many.
                Ok(_) if HeaderValue::from_str(value.expose()).is_err() => "no value of a header",
                Ok(name) if proxy::is_framing(name.as_str()) => {
                    "says how a question travels, and cannot be set"
                }
                Ok(name) if headers.iter().any(|(other, _)| *other == name) => {
                    "stands here twice, as case does not count"
                }
                Ok(name) => {
                    headers.push((name, value.clone()));
                    continue;
                }
            };
            let item = match table.map(|table| &table.value) {
                Some(Value::Table(table)) => table.get(text),
                _ => None,
            };
            let origin = item.map(|item| item.origin.clone()).unwrap_or_default();
            self.invalid_at(origin, format!("{}.{HEADERS}.{text}", place.key), reason);
        }
        headers
    }

    fn transforms(&mut self, place: &Place<'_>, raw: &[raw::Transform]) -> Vec<(u16, Rejection)> {
        let items = match place.table.and_then(|table| table.get(TRANSFORMS)) {
            Some(list) => match &list.value {
                Value::List(items) => items.as_slice(),
                _ => &[],
            },
            None => &[],
        };
        let mut transforms: Vec<(u16, Rejection)> = Vec::with_capacity(raw.len());
        for (index, (raw, item)) in raw.iter().zip(items).enumerate() {
            let place = Place {
                key: format!("{}.{TRANSFORMS}[{index}]", place.key),
                table: Some(item),
            };
            match self.transform(&place, raw) {
                Some((status, _)) if transforms.iter().any(|(other, _)| *other == status) => {
                    self.invalid_in(&place, "status_code", "stands here twice");
                }
                transform => transforms.extend(transform),
            }
        }
        transforms
    }

    fn transform(&mut self, place: &Place<'_>, raw: &raw::Transform) -> Option<(u16, Rejection)> {
        let status = u16::try_from(raw.status_code).unwrap_or_default();
        if !(100..=599).contains(&status) || status == 200 {
            let reason = "expected a status from 100 to 599 other than 200";
            self.invalid_in(place, "status_code", reason);
            return None;
        }
        let rejection = match (raw.to_error.code, raw.to_disconnect.code) {
            (0, 0) => {
                let reason = "needs to_error or to_disconnect, with a code";
                self.invalid_at(place.whole(), place.key.clone(), reason);
                return None;
            }
            (code, 0) if ERROR_CODES.contains(&code) => Refusal {
                code: code.try_into().ok()?,
                message: text_or_status(&raw.to_error.message, status),
                temporary: raw.to_error.temporary,
            }
            .into(),
            (_, 0) => {
                self.invalid_in(place, "to_error.code", expected(&ERROR_CODES));
                return None;
            }
            (0, code) if DISCONNECT_CODES.contains(&code) => Disconnect {
                code: code.try_into().ok()?,
                reason: text_or_status(&raw.to_disconnect.reason, status),
            }
            .into(),
            (0, _) => {
                self.invalid_in(place, "to_disconnect.code", expected(&DISCONNECT_CODES));
                return None;
            }
            _ => {
                let reason = "cannot be both an error and a disconnect";
                self.invalid_at(place.whole(), place.key.clone(), reason);
                return None;
            }
        };
        Some((status, rejection))
    }

    /// What stands in the table `at` below the place.
    pub(super) fn client_tls(
        &mut self,
        place: &Place<'_>,
        at: &str,
        raw: &raw::ProxyTls,
    ) -> ProxyTls {
        for (has, lacks, option, other) in [
            (
                !raw.cert_pem.is_empty(),
                raw.key_pem.is_empty(),
                "cert_pem",
                "key_pem",
            ),
            (
                !raw.key_pem.is_empty(),
                raw.cert_pem.is_empty(),
                "key_pem",
                "cert_pem",
            ),
        ] {
            if has && lacks {
                self.invalid_in(place, &format!("{at}.{option}"), format!("needs {other}"));
            }
        }
        let certificate = |text: &str| (Content::Certificate, Secret::new(text));
        let server_ca = self.client_pem(
            place,
            (at, "server_ca_pem"),
            certificate(&raw.server_ca_pem),
        );
        let chain = self.client_pem(place, (at, "cert_pem"), certificate(&raw.cert_pem));
        let key = (Content::PrivateKey, raw.key_pem.clone());
        let key = self.client_pem(place, (at, "key_pem"), key);
        ProxyTls {
            server_ca,
            server_name: non_empty(raw.server_name.clone()),
            client: chain.zip(key),
            insecure_skip_verify: raw.insecure_skip_verify,
        }
    }

    /// Whoever wrote one of these believes that it is obeyed.
    pub(super) fn unused_tls(&mut self, place: &Place<'_>, at: &str, raw: &raw::ProxyTls) {
        let set = [
            ("cert_pem", !raw.cert_pem.is_empty()),
            ("key_pem", !raw.key_pem.is_empty()),
            ("server_ca_pem", !raw.server_ca_pem.is_empty()),
            ("server_name", !raw.server_name.is_empty()),
            ("insecure_skip_verify", raw.insecure_skip_verify),
        ];
        for (option, _) in set.iter().filter(|(_, is_set)| *is_set) {
            let reason = format!("has no effect, as {at}.enabled is false");
            self.warn_in(place, &format!("{at}.{option}"), reason);
        }
    }

    /// `None` for none, and for one that was reported.
    fn client_pem(
        &mut self,
        place: &Place<'_>,
        (at, name): (&str, &str),
        (content, given): (Content, Secret),
    ) -> Option<PemSource> {
        let source = pem::source_of(content, given.into_option()?);
        source
            .map_err(|reason| self.invalid_in(place, &format!("{at}.{name}"), reason))
            .ok()
    }

    pub(super) fn invalid_at(&mut self, origin: Origin, key: String, reason: impl Into<String>) {
        let kind = ProblemKind::Invalid(reason.into());
        self.problems.push(Problem::error(origin, key, kind));
    }

    pub(super) fn warn_at(&mut self, origin: Origin, key: String, reason: impl Into<String>) {
        let kind = ProblemKind::Invalid(reason.into());
        self.problems.push(Problem::warning(origin, key, kind));
    }
}

/// Where an item of a list came from.
pub(super) fn listed_origin(place: &Place<'_>, option: &str, index: usize) -> Origin {
    let list = place.table.and_then(|table| table.get(option));
    let item = match list.map(|list| &list.value) {
        Some(Value::List(items)) => items.get(index),
        _ => None,
    };
    item.map(|item| item.origin.clone()).unwrap_or_default()
}

fn expected(codes: &RangeInclusive<u64>) -> String {
    format!("expected a code from {} to {}", codes.start(), codes.end())
}

/// A text for clients, which is never empty: where none was given, what the status is called.
fn text_or_status(given: &str, status: u16) -> Cow<'static, str> {
    if !given.is_empty() {
        return Cow::Owned(given.to_owned());
    }
    let status = StatusCode::from_u16(status).ok();
    let known = status.and_then(|status| status.canonical_reason());
    known.unwrap_or("refused").to_lowercase().into()
}
