//! The ways to publish: into a node in this process, to Redis, and over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use campanile_engine::node::Node;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;
use crate::redis_server::RedisLane;

/// The key that the servers want.
pub(crate) const API_KEY: &str = "bench-key";

/// Where publications go.
pub(crate) enum Way {
    /// [`Node::publish`].
    Node(Arc<Node>),
    /// A script that stores and publishes.
    Redis(SocketAddr),
    /// `POST /api/publish`.
    Http(SocketAddr),
}

/// A publisher's end of a way.
pub(crate) enum Lane {
    Node(Arc<Node>),
    Redis(RedisLane),
    Http(HttpLane),
}

impl Way {
    /// The first lane of a thread.
    pub(crate) async fn lane(&self) -> Result<Lane, Failure> {
        Ok(match self {
            Self::Node(node) => Lane::Node(Arc::clone(node)),
            Self::Redis(address) => Lane::Redis(RedisLane::connect(*address).await?),
            Self::Http(address) => Lane::Http(HttpLane::connect(*address).await?),
        })
    }
}

impl Lane {
    /// One more for the same thread: over the same connection where the protocol allows that.
    pub(crate) async fn another(&self) -> Result<Self, Failure> {
        Ok(match self {
            Self::Node(node) => Self::Node(Arc::clone(node)),
            Self::Redis(lane) => Self::Redis(lane.clone()),
            Self::Http(lane) => Self::Http(HttpLane::connect(lane.address).await?),
        })
    }

    /// Publishes, and returns when the answer is there.
    pub(crate) async fn publish(&mut self, channel: &str, payload: &str) -> Result<(), Failure> {
        match self {
            Self::Node(node) => {
                let published = node.publish(channel, payload.as_bytes()).await;
                published.map_err(|refusal| format!("refused: {refusal:?}"))?;
            }
            Self::Redis(lane) => {
                lane.publish(channel, payload).await?;
            }
            Self::Http(lane) => lane.publish(channel, payload).await?,
        }
        Ok(())
    }
}

/// A connection that is kept alive.
pub(crate) struct HttpLane {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl HttpLane {
    async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream,
            buffer: Vec::new(),
        })
    }

    async fn publish(&mut self, channel: &str, payload: &str) -> Result<(), Failure> {
        let body = format!(r#"{{"channel":"{channel}","data":{payload}}}"#);
        let request = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {}\r\nX-API-Key: {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        while !is_accepted(&self.buffer)? {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        Ok(())
    }
}

/// Whether an answer is complete.
fn is_accepted(answer: &[u8]) -> Result<bool, Failure> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, body) = (str::from_utf8(&answer[..end])?, &answer[end + 4..]);
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let length = length
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, value)| value.parse::<usize>().ok())
        .ok_or("an answer without a length")?;
    if body.len() < length {
        return Ok(false);
    }
    if head.starts_with("HTTP/1.1 200") && memmem::find(body, b"\"error\"").is_none() {
        Ok(true)
    } else {
        Err(String::from_utf8_lossy(answer).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_answer_without_an_error_is_success() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";
        assert!(is_accepted(answer).unwrap());
        assert!(!is_accepted(&answer[..answer.len() - 1]).unwrap());
        assert!(!is_accepted(&answer[..20]).unwrap());
        for refusal in [
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"error\":{\"code\":102}}   ",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(is_accepted(refusal.as_bytes()).is_err(), "{refusal}");
        }
    }
}
