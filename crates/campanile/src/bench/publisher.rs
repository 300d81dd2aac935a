//! Publishes through the HTTP API over kept-alive connections, one request at a time on each.
//! Knows HTTP/1.1 as far as an API of small JSON bodies needs it.

use std::io::{self, Read as _, Write as _};

use memchr::memmem;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::plan::Target;
use super::{BenchError, CommonArgs};

/// Tokens of the readiness loop from here on belong to the publisher.
pub(super) const FIRST_TOKEN: usize = usize::MAX / 2;
/// More requests than this in flight wait in the client.
const MAX_LANES: usize = 64;

#[derive(Default)]
struct Lane {
    /// `None` once the server has closed an idle connection, as servers do after a few seconds.
    stream: Option<TcpStream>,
    waiting: bool,
    unsent: Vec<u8>,
    reply: Vec<u8>,
}

/// A pool of HTTP connections.
pub(super) struct Publisher {
    lanes: Vec<Lane>,
    target: Target,
    registry: Registry,
    head: String,
    answered: u64,
}

impl Publisher {
    /// One connection for each request in flight, opened when first needed.
    pub(super) fn new(
        common: &CommonArgs,
        in_flight: usize,
        registry: &Registry,
    ) -> Result<Self, BenchError> {
        let target = api_target(common)?;
        let key = common
            .api_key
            .as_ref()
            .map(|key| format!("X-API-Key: {key}\r\n"));
        let head = format!(
            "POST {}/publish HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{}",
            target.path.trim_end_matches('/'),
            target.authority,
            key.unwrap_or_default(),
        );
        let registry = registry.try_clone().map_err(failed)?;
        let lanes = (0..in_flight.clamp(1, MAX_LANES))
            .map(|_| Lane::default())
            .collect();
        Ok(Self {
            lanes,
            target,
            registry,
            head,
            answered: 0,
        })
    }

    /// Successful publishes so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Starts a publish; false if all connections are waiting for an answer.
    pub(super) fn publish(&mut self, channel: &str, payload: &str) -> Result<bool, BenchError> {
        let Some(number) = self.lanes.iter().position(|lane| !lane.waiting) else {
            return Ok(false);
        };
        let lane = &mut self.lanes[number];
        if lane.stream.is_none() {
            let token = Token(FIRST_TOKEN + number);
            lane.connect(&self.target, &self.registry, token)
                .map_err(failed)?;
        }
        let body = format!(r#"{{"channel":"{channel}","data":{payload}}}"#);
        let head = &self.head;
        lane.unsent = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
        lane.waiting = true;
        lane.flush().map_err(failed)?;
        Ok(true)
    }

    /// Goes on with what a connection can do now.
    pub(super) fn ready(&mut self, token: Token) -> Result<(), BenchError> {
        let lane = &mut self.lanes[token.0 - FIRST_TOKEN];
        lane.flush().map_err(failed)?;
        lane.receive().map_err(failed)?;
        if lane.waiting
            && let Some(length) = accepted_length(&lane.reply)?
        {
            lane.reply.drain(..length);
            lane.waiting = false;
            self.answered += 1;
        }
        Ok(())
    }
}

impl Lane {
    fn connect(&mut self, target: &Target, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = std::net::TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = self.stream.insert(TcpStream::from_std(stream));
        registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut chunk) {
                Ok(0) if self.waiting => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => self.stream = None,
                Ok(length) => self.reply.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn api_target(common: &CommonArgs) -> Result<Target, BenchError> {
    match &common.api_url {
        Some(url) => Target::parse(url),
        None => Ok(Target {
            path: "/api".to_owned(),
            ..Target::parse(&common.url)?
        }),
    }
}

/// Length of a complete answer that reports success; `None` until it is complete.
fn accepted_length(reply: &[u8]) -> Result<Option<usize>, BenchError> {
    let Some(end) = memmem::find(reply, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&reply[..end]);
    let refused = || BenchError::Refused(String::from_utf8_lossy(reply).into());
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(refused)?;
    let Some(body) = reply.get(end..end + length) else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 200") || memmem::find(body, b"\"error\"").is_some() {
        return Err(refused());
    }
    Ok(Some(end + length))
}

fn failed(source: io::Error) -> BenchError {
    BenchError::Io {
        doing: "publish",
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_answer_without_an_error_is_success() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";
        assert_eq!(accepted_length(answer).unwrap(), Some(answer.len()));
        assert_eq!(accepted_length(&answer[..answer.len() - 1]).unwrap(), None);
        assert_eq!(accepted_length(&answer[..20]).unwrap(), None);
        for refusal in [
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"error\":{\"code\":102}}   ",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(accepted_length(refusal.as_bytes()).is_err(), "{refusal}");
        }
    }
}
