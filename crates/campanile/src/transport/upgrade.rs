//! The WebSocket handshake (RFC 6455 section 4.2), for requests that reach no HTTP handler.
//!
//! actix hands over every request that asks for an upgrade, before any middleware; so path,
//! origin and limits are checked here. Upgrades of other paths are not ours and go back to HTTP.

use actix_http::header::{self, HeaderMap};
use actix_http::{HttpMessage as _, Method, Request, Version};
use campanile_engine::authority::Handshake;
use campanile_protocol::codec::json;
use campanile_protocol::wire::Encoding;
use campanile_protocol::ws::deflate::{self, Window};
use campanile_protocol::{Wire, ws};

use super::connection::{FirstWords, Speech};
use super::handshake::HandshakeRules;
use super::origin::Origins;
use super::plain;
use super::streams::connect_query;

/// Where our WebSockets are.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) websocket: Option<String>,
    pub(super) uni_websocket: Option<String>,
    /// In front of the names of channels.
    pub(super) plain: Option<String>,
    pub(super) echo: String,
    pub(super) origins: Origins,
    pub(super) handshakes: HandshakeRules,
    /// Whether permessage-deflate is agreed to.
    pub(super) compresses: bool,
}

impl Paths {
    /// Of routes.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let plain = self.plain.iter();
        let plain = plain.map(|prefix| format!("{prefix}/{{channel:.+}}"));
        let sessions = self.websocket.iter().chain(&self.uni_websocket);
        sessions.chain([&self.echo]).cloned().chain(plain)
    }
}

/// What becomes of a request for an upgrade.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Let it in.
    Accept(Opening),
    /// Say this and close.
    Refuse(Vec<u8>),
    /// It is for an ordinary handler.
    Foreign,
}

/// How an accepted connection begins.
#[derive(Debug)]
pub(super) struct Opening {
    /// What is spoken.
    pub(super) speech: Speech,
    /// Set when messages may be compressed.
    pub(super) window: Option<Window>,
    /// What is written first.
    pub(super) head: Vec<u8>,
    /// What is known of the client already.
    pub(super) handshake: Option<Box<Handshake>>,
    /// What the request itself says to the session.
    pub(super) words: Option<FirstWords>,
}

/// Judges a request.
pub(super) fn judge(paths: &Paths, request: &Request) -> Verdict {
    // Whoever frames this request's body in another way than we do would see a second request in
    // what follows it; such a handshake is refused wherever it goes.
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) || has_body(headers) {
        return refuse("400 Bad Request", "");
    }
    let Some(beginning) = beginning(paths, request) else {
        return Verdict::Foreign;
    };
    let key = match accept_key(request) {
        Err(refusal) => return refusal,
        Ok(_) if !allows_origin(paths, headers) => return refuse("403 Forbidden", ""),
        Ok(key) => key,
    };
    let handshake = match paths.handshakes.read(headers, request.peer_addr()) {
        Ok(handshake) => handshake,
        Err(unreadable) => return refuse(&unreadable.status().to_string(), ""),
    };
    match (beginning, window(paths, headers)) {
        (Ok((speech, words)), Ok(window)) => Verdict::Accept(Opening {
            speech,
            window,
            head: switching_protocols(headers, key, speech, window),
            handshake,
            words,
        }),
        (Err(Malformed), _) | (_, Err(deflate::MalformedExtensions)) => {
            refuse("400 Bad Request", "")
        }
    }
}

/// The request's target says something that cannot be meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

type Beginning = (Speech, Option<FirstWords>);

/// What is spoken at the request's path, and what it says to its session; `None` where that is for
/// others to decide.
fn beginning(paths: &Paths, request: &Request) -> Option<Result<Beginning, Malformed>> {
    let path = request.path();
    let has_path = |ours: &Option<String>| ours.as_deref() == Some(path);
    if path == paths.echo {
        return Some(Ok((Speech::Echo, None)));
    }
    if has_path(&paths.websocket) {
        let wire = Wire::WebSocket(encoding(request));
        return Some(Ok((Speech::Session(wire), None)));
    }
    if has_path(&paths.uni_websocket) {
        let words = uni_words(request);
        return Some(words.map(|words| (Speech::Session(Wire::UniWebSocket), words)));
    }
    let prefix = paths.plain.as_deref()?;
    let channel = plain::spelled_channel(prefix, path)?;
    Some(plain::opening(channel, request).map(|(wire, connect)| {
        let words = FirstWords::Connect(Box::new(connect));
        (Speech::Session(wire), Some(words))
    }))
}

/// A client that only listens may say in the URL who it is.
fn uni_words(request: &Request) -> Result<Option<FirstWords>, Malformed> {
    let Some(said) = connect_query(request.uri().query().unwrap_or_default()) else {
        return Ok(None);
    };
    let request = json::connect_request(&said).map_err(|_| Malformed)?;
    Ok(Some(FirstWords::Connect(Box::new(request))))
}

/// Extensions that nobody here speaks are not even read.
fn window(
    paths: &Paths,
    headers: &HeaderMap,
) -> Result<Option<Window>, deflate::MalformedExtensions> {
    if !paths.compresses {
        return Ok(None);
    }
    let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    deflate::agree(offers.map(header::HeaderValue::as_bytes))
}

/// The subprotocols that are spoken: section 1.1 of the client protocol.
const SUBPROTOCOLS: [(&str, Encoding); 2] = [
    ("centrifuge-json", Encoding::Json),
    ("centrifuge-protobuf", Encoding::Protobuf),
];

/// The first of the offered subprotocols that is spoken.
fn subprotocol(headers: &HeaderMap) -> Option<(&'static str, Encoding)> {
    let mut offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
    offered.find_map(|offer| SUBPROTOCOLS.into_iter().find(|(name, _)| *name == offer))
}

/// JSON, unless the subprotocol or the query say otherwise.
fn encoding(request: &Request) -> Encoding {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    match subprotocol(request.headers()) {
        Some((_, Encoding::Protobuf)) => Encoding::Protobuf,
        _ if parameters.any(|it| matches!(it, "format=protobuf" | "cf_protocol=protobuf")) => {
            Encoding::Protobuf
        }
        _ => Encoding::Json,
    }
}

/// Browsers send one origin; of several, somebody else may believe another one than we do.
fn allows_origin(paths: &Paths, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN);
    let origin = origins.next().map(header::HeaderValue::as_bytes);
    let host = headers.get(header::HOST);
    let host = host.map(header::HeaderValue::as_bytes);
    origins.next().is_none() && paths.origins.allow(origin, host)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_LENGTH)
        .any(|length| length.as_bytes() != b"0")
}

fn accept_key(request: &Request) -> Result<[u8; 28], Verdict> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(refuse("405 Method Not Allowed", "Allow: GET\r\n"));
    }
    let is_upgrade = request.version() == Version::HTTP_11
        && has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket");
    if !is_upgrade {
        return Err(refuse("400 Bad Request", ""));
    }
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION);
    if versions.next().map(header::HeaderValue::as_bytes) != Some(b"13")
        || versions.next().is_some()
    {
        return Err(refuse(
            "426 Upgrade Required",
            "Sec-WebSocket-Version: 13\r\n",
        ));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY);
    match (
        keys.next().and_then(|key| ws::accept_key(key.as_bytes())),
        keys.next(),
    ) {
        (Some(accept), None) => Ok(accept),
        _ => Err(refuse("400 Bad Request", "")),
    }
}

pub(super) fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of a header that is a list, over all its lines.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name);
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(',').map(str::trim))
}

fn switching_protocols(
    headers: &HeaderMap,
    accept: [u8; 28],
    speech: Speech,
    window: Option<Window>,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(320);
    head.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    head.extend_from_slice(&accept);
    let spoken = |encoding: &Encoding| match speech {
        Speech::Session(Wire::Plain { .. }) => false,
        Speech::Session(wire) => wire.encoding() == *encoding,
        _ => true,
    };
    if let Some((name, _)) = subprotocol(headers).filter(|(_, encoding)| spoken(encoding)) {
        head.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        head.extend_from_slice(name.as_bytes());
    }
    if let Some(window) = window {
        head.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        head.extend_from_slice(window.response().as_bytes());
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

fn refuse(status: &str, header: &str) -> Verdict {
    Verdict::Refuse(response(status, header))
}

/// A response without a body, after which the connection ends.
pub(super) fn response(status: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n").into()
}
