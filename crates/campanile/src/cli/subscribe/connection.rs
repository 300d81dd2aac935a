//! One WebSocket connection: opening it, lines in and out, and what its end means.
//!
//! What the lines say is not known here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::cli::remote::{Failure, TlsArgs};

/// From the resolution of the name to the WebSocket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// For a command to be taken over by the operating system.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of one message. The server joins up to 16 replies, and recovery returns many publications
/// in one; the publications themselves are rarely more than kilobytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Anything that bytes go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Another may last longer.
    Lost(String),
    /// The HTTP server answered, but not as a WebSocket: it may be the wrong one, or starting.
    NoWebSocket(u16),
    /// Another would end in the same way.
    Fatal(Failure),
}

/// Where to connect.
pub(super) struct Target {
    pub(super) url: String,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Takes a URL apart that was found to be one of a WebSocket.
    pub(super) fn new(url: String, tls: &TlsArgs) -> Result<Self, Failure> {
        let uri: Uri = url
            .parse()
            .map_err(|error| Failure::Usage(format!("{url}: {error}")))?;
        let is_secure = uri.scheme_str() == Some("wss");
        let host = uri.host().unwrap_or_default();
        Ok(Self {
            // An IPv6 address has brackets in a URL only.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            tls: is_secure.then(|| tls.for_rustls()).transpose()?,
            url,
        })
    }

    async fn stream(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(tls));
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    async fn open(&self) -> Result<WebSocketStream<Box<dyn Stream>>, Error> {
        let stream = self.stream().await?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let opened = client_async_with_config(self.url.as_str(), stream, Some(limits)).await;
        opened.map(|(socket, _)| socket)
    }
}

/// An open connection.
pub(super) struct Connection {
    socket: WebSocketStream<Box<dyn Stream>>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, End> {
        match timeout(OPEN_TIMEOUT, target.open()).await {
            Ok(Ok(socket)) => Ok(Self { socket }),
            Ok(Err(Error::Http(response))) => Err(End::NoWebSocket(response.status().as_u16())),
            Ok(Err(error)) => Err(lost(&error)),
            Err(_) => Err(End::Lost("no answer in time".into())),
        }
    }

    pub(super) async fn send(&mut self, line: String) -> Result<(), End> {
        let sent = self.socket.send(Message::text(line));
        match timeout(SEND_TIMEOUT, sent).await {
            Ok(sent) => sent.map_err(|error| lost(&error)),
            Err(_) => Err(End::Lost("the server does not read".into())),
        }
    }

    /// The next message, of one or more lines, if it comes within `patience`.
    pub(super) async fn receive(&mut self, patience: Duration) -> Result<Utf8Bytes, End> {
        loop {
            let message = match timeout(patience, self.socket.next()).await {
                Ok(Some(message)) => message.map_err(|error| lost(&error))?,
                Ok(None) => return Err(End::Lost("connection closed".into())),
                Err(_) => return Err(End::Lost("the server fell silent".into())),
            };
            match message {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => return Err(closed(frame.as_ref())),
                // The library answers pings, and nothing here is binary.
                _ => {}
            }
        }
    }

    /// Takes leave, if the server is there to listen.
    pub(super) async fn close(mut self) {
        // That it is closed is all that matters, however it went.
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }
}

fn lost(error: &Error) -> End {
    End::Lost(match error {
        // Without the name of the layer, which tells nobody anything.
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// What a close frame means: the code alone decides whether to come back (section 12.2).
fn closed(frame: Option<&CloseFrame>) -> End {
    let Some(frame) = frame else {
        return End::Lost("connection closed".into());
    };
    let code = u16::from(frame.code);
    let reason = format!("disconnected: {code} {}", frame.reason);
    match code {
        // Too large a message would be too large again.
        1009 | 3500..=3999 | 4500..=4999 => End::Fatal(Failure::Refused(reason)),
        _ => End::Lost(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_close_code_decides_whether_to_come_back() {
        let closed = |code: u16| {
            closed(Some(&CloseFrame {
                code: code.into(),
                reason: "because".into(),
            }))
        };
        for code in [1000, 1001, 3001, 3012, 4000, 4499] {
            assert!(matches!(closed(code), End::Lost(_)), "{code}");
        }
        for code in [1009, 3500, 3503, 3999, 4500, 4999] {
            let reason = Failure::Refused(format!("disconnected: {code} because"));
            assert_eq!(closed(code), End::Fatal(reason));
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (url, host, port) in [
            ("ws://[::1]:8000/connection/websocket", "::1", 8000),
            ("ws://a.example/", "a.example", 80),
        ] {
            let target = Target::new(url.into(), &TlsArgs::default()).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port));
            assert!(target.tls.is_none());
        }
    }
}
