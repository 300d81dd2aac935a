//! The settings of transports other than WebSocket, which has more to say.

use serde::Deserialize;

/// `http_stream`, `sse` and their unidirectional kin: sessions over bodies of responses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyTransport {
    /// Serve it.
    pub enabled: bool,
    /// Path, matched exactly.
    pub handler_prefix: String,
    /// Bytes of a request's body.
    pub max_request_body_size: usize,
}

/// `emulation`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulation {
    /// Path, matched exactly.
    pub handler_prefix: String,
    /// Bytes of a request's body.
    pub max_request_body_size: usize,
}

/// `uni_websocket`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniWebSocket {
    /// Serve it.
    pub enabled: bool,
    /// Path, matched exactly.
    pub handler_prefix: String,
    /// End connections without a close frame.
    pub disable_closing_handshake: bool,
    /// Say why a connection ends in its close frame only.
    pub disable_disconnect_push: bool,
    /// Put messages that wait together into one frame.
    pub join_push_messages: bool,
}
