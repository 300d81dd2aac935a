//! Which headers go with a question.

use actix_web::http::header::HeaderName as AllowedName;
use campanile_engine::headers::Headers;
use hyper::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::config::Proxy;

/// What a client's headers never replace: how the question itself travels, and how its answer may.
const OWN: [HeaderName; 11] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What not even the configuration may set: the length and the end of the question.
pub(super) const FRAMING: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Whether a header of this name, in lower case, cannot be set by the configuration.
pub(crate) fn is_framing(name: &str) -> bool {
    FRAMING.iter().any(|framing| framing.as_str() == name)
}

/// Whether a header of this name, in lower case, is never passed on.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| own.as_str() == name)
}

/// Of the headers of a client, those that are passed on to `proxy`. One of its request wins over
/// one of the same name in its connect command.
pub(super) fn forwarded(proxy: &Proxy, of_client: &Headers) -> HeaderMap {
    let real = allowed(&proxy.http_headers, of_client.real());
    let mut headers: HeaderMap = real.collect();
    for (name, value) in allowed(&proxy.emulated_headers, of_client.emulated()) {
        headers.entry(name).or_insert(value);
    }
    headers
}

fn allowed<'a>(
    names: &[AllowedName],
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers
        .filter(|(name, _)| names.iter().any(|allowed| allowed.as_str() == *name))
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value).ok()?;
            (!OWN.contains(&name)).then_some((name, value))
        })
}
