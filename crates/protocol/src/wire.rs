//! How messages become the bytes of one transport: an encoding and a framing, chosen when a
//! connection opens and never changed.
//!
//! [`Wire`] is closed and `Copy` on purpose: a broadcast is encoded once per wire and the bytes are
//! shared by all its subscribers, so a wire is a part of the key under which they are kept.

use crate::codec::{DecodeError, InappropriatePayload, json, protobuf};
use crate::command::EmulationRequest;
use crate::{Command, Disconnect, Push, Reply, ReplyBody, ws};

/// How messages are spelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// JSON texts.
    Json,
    /// Protobuf messages.
    Protobuf,
}

impl Encoding {
    /// The body of a request that carries a frame for a session elsewhere (section 15.3).
    ///
    /// # Errors
    /// The bytes are no such request.
    pub fn emulation_request(self, body: &[u8]) -> Result<EmulationRequest, DecodeError> {
        match self {
            Self::Json => json::emulation_request(body),
            Self::Protobuf => protobuf::emulation_request(body),
        }
    }
}

/// A transport's encoding and framing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wire {
    /// Commands and replies in the frames of a WebSocket.
    WebSocket(Encoding),
    /// Replies in the body of an HTTP response: JSON ends with a newline, Protobuf begins with its
    /// length (section 15.1 of the protocol).
    Stream(Encoding),
    /// Replies as events of a `text/event-stream`; JSON (section 15.2).
    Events,
    /// Bare pushes in the frames of a WebSocket; JSON (section 16).
    UniWebSocket,
    /// Bare pushes in the body of an HTTP response, each with a newline; JSON.
    UniStream,
    /// Bare pushes as events of a `text/event-stream`; JSON.
    UniEvents,
    /// The payloads of one channel and nothing else, in the frames of a WebSocket: text where they
    /// are text, unless the client wants binary frames always.
    Plain {
        /// Whether every frame is a binary one.
        is_binary: bool,
    },
}

/// What a client can say over a transport, and how.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Manner {
    /// Commands, in the connection that brings the replies.
    Bidirectional,
    /// Commands, in requests of their own: the client has to be told which session is its.
    Emulated,
    /// Nothing but who it is.
    Unidirectional,
    /// Payloads to publish.
    Plain,
}

/// What separates the messages of a transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    WebSocket,
    Stream,
    Events,
}

impl Wire {
    /// What a client can say over it.
    #[must_use]
    pub const fn manner(self) -> Manner {
        match self {
            Self::WebSocket(_) => Manner::Bidirectional,
            Self::Stream(_) | Self::Events => Manner::Emulated,
            Self::UniWebSocket | Self::UniStream | Self::UniEvents => Manner::Unidirectional,
            Self::Plain { .. } => Manner::Plain,
        }
    }

    /// How its messages are spelled.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        match self {
            Self::WebSocket(encoding) | Self::Stream(encoding) => encoding,
            _ => Encoding::Json,
        }
    }

    /// What applications know the transport by.
    #[must_use]
    pub const fn transport(self) -> &'static str {
        match self {
            Self::WebSocket(_) => "websocket",
            Self::Stream(_) => "http_stream",
            Self::Events => "sse",
            Self::UniWebSocket => "uni_websocket",
            Self::UniStream => "uni_http_stream",
            Self::UniEvents => "uni_sse",
            Self::Plain { .. } => "plain_websocket",
        }
    }

    /// What applications know the encoding of its messages by.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self.encoding() {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        }
    }

    /// Whether a client can answer pings over it.
    #[must_use]
    pub const fn answers_pings(self) -> bool {
        !matches!(self, Self::UniStream | Self::UniEvents)
    }

    /// Whether it is the WebSocket's own pings that are answered, and not those of the protocol.
    #[must_use]
    pub const fn pings_natively(self) -> bool {
        matches!(self, Self::UniWebSocket | Self::Plain { .. })
    }

    /// Whether its bytes are frames of a WebSocket.
    #[must_use]
    pub const fn is_web_socket(self) -> bool {
        matches!(self.framing(), Framing::WebSocket)
    }

    const fn framing(self) -> Framing {
        match self {
            Self::WebSocket(_) | Self::UniWebSocket | Self::Plain { .. } => Framing::WebSocket,
            Self::Stream(_) | Self::UniStream => Framing::Stream,
            Self::Events | Self::UniEvents => Framing::Events,
        }
    }

    /// The commands of one frame of a client.
    #[must_use]
    pub const fn commands(self, frame: &[u8]) -> Commands<'_> {
        match self.encoding() {
            Encoding::Json => Commands::Json(json::Commands::of_frame(frame)),
            Encoding::Protobuf => Commands::Protobuf(protobuf::Commands::of_frame(frame)),
        }
    }

    /// The commands of what [`Commands::rest`] once gave.
    #[must_use]
    pub const fn remaining_commands(self, rest: &[u8]) -> Commands<'_> {
        match self.encoding() {
            Encoding::Json => Commands::Json(json::Commands::of_rest(rest)),
            Encoding::Protobuf => Commands::Protobuf(protobuf::Commands::of_rest(rest)),
        }
    }
}

/// Commands of a frame, decoded one by one.
#[derive(Debug)]
pub enum Commands<'a> {
    /// Of a JSON frame.
    Json(json::Commands<'a>),
    /// Of a Protobuf frame.
    Protobuf(protobuf::Commands<'a>),
}

impl<'a> Commands<'a> {
    /// What has not been decoded yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        match self {
            Self::Json(commands) => commands.rest(),
            Self::Protobuf(commands) => commands.rest(),
        }
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(commands) => commands.next(),
            Self::Protobuf(commands) => commands.next(),
        }
    }
}

/// Makes the bytes of messages, for all wires. One for many connections: what it keeps is room to
/// work in.
///
/// Every method appends whole frames to `out`, or nothing where a wire has no word for something.
#[derive(Debug, Default)]
pub struct Encoder {
    message: Vec<u8>,
}

/// Room for a message that is kept between messages; more is given back.
const MESSAGE_BYTES_KEPT: usize = 64 * 1024;

impl Encoder {
    /// Appends the bytes of `reply`. To a plain client that is what it recovered; its commands are
    /// answered with nothing else.
    ///
    /// # Errors
    /// A payload in it cannot be carried; nothing is appended.
    pub fn reply(
        &mut self,
        wire: Wire,
        reply: &Reply,
        out: &mut Vec<u8>,
    ) -> Result<(), InappropriatePayload> {
        match wire.manner() {
            Manner::Unidirectional => return Ok(()),
            Manner::Plain => {
                if let Ok(ReplyBody::Subscribe(result)) = &reply.body {
                    for publication in &result.publications {
                        payload_frame(wire, &publication.data, out);
                    }
                }
                return Ok(());
            }
            Manner::Bidirectional | Manner::Emulated => {}
        }
        if wire.encoding() == Encoding::Protobuf {
            protobuf::reply(reply, out, |out, length| delimit(wire, length, out));
            return Ok(());
        }
        self.begin();
        json::reply(reply, &mut self.message)?;
        self.finish(wire, out);
        Ok(())
    }

    /// Appends the bytes of `push`. To a plain client that is the payload of a publication.
    ///
    /// # Errors
    /// A payload in it cannot be carried; nothing is appended.
    pub fn push(
        &mut self,
        wire: Wire,
        push: &Push<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), InappropriatePayload> {
        if wire.manner() == Manner::Plain {
            if let Push::Publication { publication, .. } = push {
                payload_frame(wire, &publication.data, out);
            }
            return Ok(());
        }
        if wire.encoding() == Encoding::Protobuf {
            protobuf::push(push, out, |out, length| delimit(wire, length, out));
            return Ok(());
        }
        self.begin();
        if wire.manner() == Manner::Unidirectional {
            json::bare_push(push, &mut self.message)?;
        } else {
            json::push(push, &mut self.message)?;
        }
        self.finish(wire, out);
        Ok(())
    }

    /// Appends a ping. It is one of the protocol, except where that has none; clients of
    /// unidirectional WebSockets get both, since they can answer only that of the WebSocket.
    pub fn ping(&mut self, wire: Wire, out: &mut Vec<u8>) {
        if wire.pings_natively() {
            ws::encode(ws::Opcode::Ping, &[], out);
        }
        match wire.encoding() {
            _ if wire.manner() == Manner::Plain => {}
            Encoding::Json => {
                self.begin();
                self.message.extend_from_slice(json::PING);
                self.finish(wire, out);
            }
            Encoding::Protobuf => delimit(wire, 0, out),
        }
    }

    /// Appends what tells the client why its session ends: on a WebSocket the close frame itself,
    /// elsewhere a push, in unidirectional WebSockets both.
    pub fn disconnect(&mut self, wire: Wire, disconnect: &Disconnect, out: &mut Vec<u8>) {
        if matches!(wire.manner(), Manner::Emulated | Manner::Unidirectional) {
            let carried = self.push(wire, &Push::Disconnect(disconnect), out);
            debug_assert!(carried.is_ok(), "there is no payload in it");
        }
        if wire.is_web_socket() {
            ws::encode_close(disconnect.code, &disconnect.reason, out);
        }
    }

    fn begin(&mut self) {
        self.message.clear();
        self.message.shrink_to(MESSAGE_BYTES_KEPT);
    }

    /// Puts the JSON message into a frame.
    fn finish(&mut self, wire: Wire, out: &mut Vec<u8>) {
        let message = &self.message;
        match wire.framing() {
            Framing::WebSocket => ws::encode(ws::Opcode::Text, message, out),
            Framing::Stream => {
                out.extend_from_slice(message);
                out.push(b'\n');
            }
            Framing::Events => {
                for part in [b"data: ", &message[..], b"\n\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }
}

/// Appends what stands in front of a Protobuf message of `length` bytes.
fn delimit(wire: Wire, length: usize, out: &mut Vec<u8>) {
    let prefix = protobuf::length_prefix(length);
    let prefix = prefix.as_bytes();
    if wire.is_web_socket() {
        let header = ws::header(ws::Opcode::Binary, prefix.len() + length);
        out.extend_from_slice(header.as_bytes());
    }
    out.extend_from_slice(prefix);
}

/// Appends a bare payload.
fn payload_frame(wire: Wire, payload: &[u8], out: &mut Vec<u8>) {
    let is_text = wire != Wire::Plain { is_binary: true } && std::str::from_utf8(payload).is_ok();
    let opcode = if is_text {
        ws::Opcode::Text
    } else {
        ws::Opcode::Binary
    };
    ws::encode(opcode, payload, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(make: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        make(&mut Encoder::default(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn applications_know_transports_by_name() {
        for (wire, transport, protocol) in [
            (Wire::WebSocket(Encoding::Protobuf), "websocket", "protobuf"),
            (Wire::Stream(Encoding::Json), "http_stream", "json"),
            (Wire::Events, "sse", "json"),
            (Wire::UniWebSocket, "uni_websocket", "json"),
            (Wire::UniStream, "uni_http_stream", "json"),
            (Wire::UniEvents, "uni_sse", "json"),
        ] {
            assert_eq!((wire.transport(), wire.protocol()), (transport, protocol));
        }
    }

    #[test]
    fn pings_are_framed_as_their_transport_wants_it() {
        for (wire, expected) in [
            (Wire::WebSocket(Encoding::Json), "\u{fffd}\u{2}{}"),
            (Wire::WebSocket(Encoding::Protobuf), "\u{fffd}\u{1}\0"),
            (Wire::Stream(Encoding::Json), "{}\n"),
            (Wire::Stream(Encoding::Protobuf), "\0"),
            (Wire::Events, "data: {}\n\n"),
            (Wire::UniWebSocket, "\u{fffd}\0\u{fffd}\u{2}{}"),
            (Wire::UniStream, "{}\n"),
            (Wire::UniEvents, "data: {}\n\n"),
            (Wire::Plain { is_binary: false }, "\u{fffd}\0"),
        ] {
            assert_eq!(text(|e, out| e.ping(wire, out)), expected, "{wire:?}");
        }
    }

    #[test]
    fn the_end_of_a_session_is_told_as_its_transport_can() {
        const PUSH: &str = r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#;
        const BARE: &str = r#"{"disconnect":{"code":3001,"reason":"shutdown"}}"#;
        const CLOSE: &str = "\u{fffd}\n\u{b}\u{fffd}shutdown";
        for (wire, expected) in [
            (Wire::WebSocket(Encoding::Json), CLOSE.to_owned()),
            (Wire::Stream(Encoding::Json), format!("{PUSH}\n")),
            (Wire::Events, format!("data: {PUSH}\n\n")),
            (Wire::UniWebSocket, format!("\u{fffd}0{BARE}{CLOSE}")),
            (Wire::UniStream, format!("{BARE}\n")),
            (Wire::UniEvents, format!("data: {BARE}\n\n")),
            (Wire::Plain { is_binary: false }, CLOSE.to_owned()),
        ] {
            let told = text(|e, out| e.disconnect(wire, &Disconnect::SHUTDOWN, out));
            assert_eq!(told, expected, "{wire:?}");
        }
    }
}
