//! A client without WebSocket: what it is told comes in the body of one response, what it says goes
//! in requests of its own.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{self, Response};
use super::server::Server;

pub(crate) const HTTP_STREAM: &str = "/connection/http_stream";
pub(crate) const SSE: &str = "/connection/sse";
pub(crate) const UNI_HTTP_STREAM: &str = "/connection/uni_http_stream";
pub(crate) const UNI_SSE: &str = "/connection/uni_sse";

/// How late the end of a body may come behind its last message.
const PROMPTLY: Duration = Duration::from_millis(500);

/// A response that goes on.
pub(crate) struct Stream<S = TcpStream> {
    reader: BufReader<S>,
    pub(crate) head: Response,
}

/// All transports that a configuration can switch on.
pub(crate) fn transports() -> Value {
    json!({
        "http_stream": {"enabled": true},
        "sse": {"enabled": true},
        "uni_http_stream": {"enabled": true},
        "uni_sse": {"enabled": true},
        "uni_websocket": {"enabled": true},
        "init": {"enabled": true},
    })
}

/// A path whose query says `said` as the first words of a session.
pub(crate) fn said_in_query(path: &str, said: &str) -> String {
    let encoded: String = said.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{path}?cf_connect={encoded}")
}

impl Stream {
    /// Sends a request and reads the head of its response.
    pub(crate) fn open(server: &Server, request: &[u8]) -> Self {
        let mut stream = server.tcp();
        stream.write_all(request).expect("the server reads");
        Self::begun(stream)
    }

    pub(crate) fn post(server: &Server, path: &str, body: &str) -> Self {
        Self::open(server, &http::request("POST", path, &[], body))
    }

    pub(crate) fn get(server: &Server, path: &str) -> Self {
        Self::open(server, &http::request("GET", path, &[], ""))
    }

    /// A session, and what it was told when it connected.
    pub(crate) fn session(server: &Server, path: &str) -> (Self, Value) {
        let commands = r#"{"id":1,"connect":{}}"#;
        let mut stream = if path == SSE {
            Self::get(server, &said_in_query(path, commands))
        } else {
            Self::post(server, path, commands)
        };
        let told = stream.message()["connect"].clone();
        assert!(told["session"].is_string(), "{told}");
        (stream, told)
    }
}

impl<S: Read> Stream<S> {
    /// Reads the head of a response to what was sent.
    pub(crate) fn begun(stream: S) -> Self {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = reader.read_line(&mut head).expect("the server answers");
            assert!(read > 0, "it ends within its head: {head:?}");
        }
        Self {
            reader,
            head: Response::parse(&head),
        }
    }

    /// The next line that is not empty; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) => return Some(line.trim_end().into()),
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    /// The next message that is no ping.
    pub(crate) fn message(&mut self) -> Value {
        loop {
            let line = self.line().expect("the body goes on");
            let line = line.strip_prefix("data: ").unwrap_or(&line);
            let message: Value = serde_json::from_str(line).expect("messages are JSON");
            if message != json!({}) {
                return message;
            }
        }
    }

    /// Expects the end of the session as the next message, and of the body promptly behind it.
    pub(crate) fn expect_disconnect(&mut self, code: u16, reason: &str) {
        let message = self.message();
        let push = message.get("push").unwrap_or(&message);
        let expected = json!({"disconnect": {"code": code, "reason": reason}});
        assert_eq!(push, &expected);
        self.expect_end();
    }

    pub(crate) fn expect_end(&mut self) {
        let before = Instant::now();
        assert_eq!(self.line(), None);
        let took = before.elapsed();
        assert!(took < PROMPTLY, "the end came {took:?} late");
    }

    /// So many bytes as they are.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .expect("the body goes on");
        bytes
    }
}

/// The body that brings `commands` to the session that was told this.
pub(crate) fn emulation(told: &Value, commands: &str) -> String {
    json!({"session": told["session"], "node": told["node"], "data": commands}).to_string()
}

/// Brings commands to a session, in a request of its own; the status.
pub(crate) fn emulate(server: &Server, told: &Value, commands: &str) -> u16 {
    let body = emulation(told, commands);
    let request = http::request("POST", "/emulation", &[], &body);
    Response::parse(&server.exchange(&request)).status
}
