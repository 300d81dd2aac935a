//! A WebSocket client that can be as rude as a test wants: raw bytes go out, events come in.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use campanile_protocol::ws;
use campanile_protocol::ws::deflate::Inflater;
use serde_json::{Value, json};

use super::http::Upgrade;
use super::server::Server;

pub(crate) const WEBSOCKET: &str = "/connection/websocket";
pub(crate) const ECHO: &str = "/connection/echo";

/// How late the end of a connection may come behind its close frame.
const PROMPTLY: Duration = Duration::from_millis(500);

/// What a server may send a test.
const LIMITS: ws::Limits = ws::Limits {
    message_bytes_max: 16 << 20,
    inflated_bytes_max: 16 << 20,
    fragments_max: 1,
};

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    /// The connection ended: in good order, or cut.
    End,
}

/// A connection behind its handshake.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// The response to its handshake.
    pub(crate) head: String,
    reader: ws::Reader,
    /// Made when compression was agreed on.
    inflater: Option<Inflater>,
    /// Read and not looked at yet.
    input: Vec<u8>,
    /// Protocol messages of a frame that are not asked for yet.
    replies: VecDeque<Value>,
}

impl Client {
    /// Upgrades at `path`.
    pub(crate) fn connect(server: &Server, path: &str) -> Self {
        Self::upgrade(server.tcp(), &Upgrade::new(path).bytes())
    }

    /// Upgrades at `path` with an offer of compression.
    pub(crate) fn offering(server: &Server, path: &str, offer: &str) -> Self {
        let upgrade = Upgrade::new(path).header("Sec-WebSocket-Extensions", offer);
        Self::upgrade(server.tcp(), &upgrade.bytes())
    }

    /// A session of the anonymous user.
    pub(crate) fn session(server: &Server) -> Self {
        let mut client = Self::connect(server, WEBSOCKET);
        client.log_in();
        client
    }

    /// A session that is subscribed to `channel`.
    pub(crate) fn subscriber(server: &Server, channel: &str) -> Self {
        let mut client = Self::session(server);
        client.subscribe(channel);
        client
    }
}

impl<S: Read + Write> Client<S> {
    /// Sends `request`, which may have frames behind it, and expects the switch.
    pub(crate) fn upgrade(mut stream: S, request: &[u8]) -> Self {
        stream.write_all(request).expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the server answers");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        Self {
            stream,
            inflater: head.contains("permessage-deflate").then(Inflater::default),
            head,
            reader: ws::Reader::new(ws::Role::Client),
            input: Vec::new(),
            replies: VecDeque::new(),
        }
    }

    /// Sends bytes as they are. A server that has hung up already is met when reading.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_cut(error.kind()) => panic!("the server does not read: {error}"),
            _ => {}
        }
    }

    pub(crate) fn send(&mut self, opcode: ws::Opcode, payload: &[u8]) {
        self.send_raw(&masked(opcode, payload));
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(ws::Opcode::Text, text.as_bytes());
    }

    pub(crate) fn send_json(&mut self, command: &Value) {
        self.send_text(&command.to_string());
    }

    /// The next that comes.
    pub(crate) fn receive(&mut self) -> Received {
        loop {
            let (taken, event) = self
                .reader
                .read_with(&LIMITS, self.inflater.as_mut(), &mut self.input)
                .expect("the server keeps to the protocol");
            let received = event.map(owned);
            self.input.drain(..taken);
            if let Some(received) = received {
                return received;
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Received::End,
                Ok(length) => self.input.extend_from_slice(&bytes[..length]),
                Err(error) if is_cut(error.kind()) => return Received::End,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    /// The next reply or push; pings are answered on the way.
    pub(crate) fn reply(&mut self) -> Value {
        loop {
            match self.replies.pop_front() {
                Some(ping) if ping == json!({}) => self.send_text("{}"),
                Some(reply) => return reply,
                None => match self.receive() {
                    Received::Text(text) => {
                        let replies = text.lines().map(|line| {
                            serde_json::from_str::<Value>(line).expect("replies are JSON")
                        });
                        self.replies.extend(replies);
                    }
                    other => panic!("no reply but {other:?}"),
                },
            }
        }
    }

    /// Sends a command and gives its reply.
    pub(crate) fn command(&mut self, command: &Value) -> Value {
        self.send_json(command);
        self.reply()
    }

    pub(crate) fn log_in(&mut self) {
        let reply = self.command(&json!({"id": 1, "connect": {}}));
        assert!(reply["connect"]["client"].is_string(), "{reply}");
    }

    pub(crate) fn subscribe(&mut self, channel: &str) {
        let reply = self.command(&json!({"id": 2, "subscribe": {"channel": channel}}));
        assert!(reply["subscribe"].is_object(), "{reply}");
    }

    /// Expects the data of a publication, and nothing before it.
    pub(crate) fn expect_publication(&mut self, channel: &str, data: &Value) {
        let push = self.reply();
        let (at, held) = (&push["push"]["channel"], &push["push"]["pub"]["data"]);
        assert_eq!((at, held), (&json!(channel), data), "{push}");
    }

    /// Expects an error as the reply to a command.
    pub(crate) fn expect_error(&mut self, command: &Value, code: u32, message: &str) {
        let reply = self.command(command);
        assert_eq!(reply["id"], command["id"], "{reply}");
        let (is, says) = (&reply["error"]["code"], &reply["error"]["message"]);
        assert_eq!((is, says), (&json!(code), &json!(message)), "{command}");
    }

    /// Expects a close frame with this code, and the end of the connection promptly behind it.
    /// Gives the reason.
    pub(crate) fn expect_close(&mut self, code: u16) -> String {
        let (is, reason) = match self.receive() {
            Received::Close(Some(close)) => close,
            other => panic!("no close frame but {other:?}"),
        };
        assert_eq!(is, code, "{reason}");
        self.expect_end();
        reason
    }

    pub(crate) fn expect_end(&mut self) {
        let before = Instant::now();
        assert_eq!(self.receive(), Received::End);
        let took = before.elapsed();
        assert!(took < PROMPTLY, "the end came {took:?} late");
    }
}

/// One frame of a client.
pub(crate) fn masked(opcode: ws::Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::encode_masked(opcode, [7, 11, 13, 17], payload, &mut frame);
    frame
}

/// A frame of a client with these first two bytes as they are, and a mask that changes nothing.
pub(crate) fn bare(first: u8, second: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, second, 0, 0, 0, 0], payload].concat()
}

fn owned(event: ws::Event<'_>) -> Received {
    match event {
        ws::Event::Text(text) => Received::Text(text.into()),
        ws::Event::Binary(bytes) => Received::Binary(bytes.into()),
        ws::Event::Ping(payload) => Received::Ping(payload.into()),
        ws::Event::Pong(payload) => Received::Pong(payload.into()),
        ws::Event::Close(close) => {
            Received::Close(close.map(|close| (close.code, close.reason.into())))
        }
    }
}

const fn is_cut(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
