//! Requests and responses as text.

use std::io::{ErrorKind, Read, Write};

/// A response of a connection that ended behind it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no response: {text:?}")),
            head: head.into(),
            body: body.into(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// A request after which the server closes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    (text + "\r\n" + body).into()
}

/// Writes, and reads to the end, which has to be text.
pub(crate) fn exchange(stream: impl Read + Write, request: &[u8]) -> String {
    String::from_utf8(exchange_bytes(stream, request)).expect("a response is text")
}

/// Writes, and reads to the end.
pub(crate) fn exchange_bytes(mut stream: impl Read + Write, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).expect("the server reads");
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Ok(_) => {}
        // Closed while bytes of ours were still coming.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => {
            let response = String::from_utf8_lossy(&response);
            panic!("the server does not close ({error}): {response:?}")
        }
    }
    response
}

/// An upgrade as it should be, to be changed line by line.
#[derive(Clone)]
pub(crate) struct Upgrade {
    request_line: String,
    headers: Vec<(String, String)>,
}

impl Upgrade {
    pub(crate) fn new(path: &str) -> Self {
        let headers = [
            ("Host", "test"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        Self {
            request_line: format!("GET {path} HTTP/1.1"),
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        }
    }

    pub(crate) fn request_line(mut self, line: &str) -> Self {
        self.request_line = line.into();
        self
    }

    /// Sets a header, in place of any of its name.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let mut without = self.without(name);
        without.headers.push((name.into(), value.into()));
        without
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.request_line);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        (text + "\r\n").into()
    }
}
