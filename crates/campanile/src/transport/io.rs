//! A connection's bytes, whatever carries them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection. TLS is boxed: its state is a hundred times that of a plain socket, which most
/// connections behind a load balancer are.
#[derive(Debug)]
pub enum Io {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A connection of which some bytes were read already, and are to be read again.
    Rewound(Box<(Bytes, Io)>),
}

impl Io {
    /// The connection as if `bytes` had not been read from it yet.
    pub fn rewound(self, bytes: Bytes) -> Self {
        Self::Rewound(Box::new((bytes, self)))
    }

    /// Lets the kernel end the connection when bytes wait that long to be taken by the peer
    /// (`TCP_USER_TIMEOUT`, RFC 5482); it would wait a quarter of an hour otherwise. Other systems
    /// than Linux have their own patience.
    pub(super) fn limit_silence(&self, most: Duration) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Rewound(rewound) => return rewound.1.limit_silence(most),
        };
        #[cfg(target_os = "linux")]
        {
            let millis = u32::try_from(most.as_millis()).unwrap_or(u32::MAX);
            // A socket that cannot be told is one that lasts longer.
            let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (stream, most);
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Rewound(rewound) => {
                let (bytes, io) = &mut **rewound;
                if bytes.is_empty() {
                    return Pin::new(io).poll_read(cx, buf);
                }
                let length = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..length]);
                bytes.advance(length);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Rewound(rewound) => Pin::new(&mut rewound.1).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Rewound(rewound) => Pin::new(&mut rewound.1).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Rewound(rewound) => Pin::new(&mut rewound.1).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Rewound(rewound) => Pin::new(&mut rewound.1).poll_shutdown(cx),
        }
    }
}
