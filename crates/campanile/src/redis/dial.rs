//! From an address to a line that may be used: connected, encrypted, admitted, and to whom it
//! should be.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::command::command;
use super::line::Stream;
use super::reply::Reply;
use crate::config::Secret;

/// Where a Redis is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Address {
    pub host: Box<str>,
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, with an IPv6 host in brackets or not.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How one kind of server is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Empty for the default user.
    pub user: String,
    /// Empty for none.
    pub password: Secret,
    /// The database, where there are several.
    pub database: u32,
    /// How the server is recognised, and this one to it; `None` for no TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name in the server's certificate, where it is not its host.
    pub server_name: Option<ServerName<'static>>,
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum DialError {
    /// It takes too long.
    Timeout,
    /// There is no connection, or it broke.
    Io(io::Error),
    /// The host is no name that a certificate can have.
    Name,
    /// Redis refuses: the password, the database.
    Refused(String),
    /// It is a replica, or something else that does not take what is written.
    NotPrimary,
    /// What is there does not speak as Redis does.
    NotRedis,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Io(error) => error.fmt(f),
            Self::Name => f.write_str("the host is no name that a certificate can have"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::NotPrimary => f.write_str("not a primary"),
            Self::NotRedis => f.write_str("what answers there is no redis"),
        }
    }
}

impl std::error::Error for DialError {}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection on which one question is asked at a time.
pub(super) struct Dialled {
    stream: Stream,
    inbox: BytesMut,
}

/// Connects to `address`, within `patience` all together.
pub(super) async fn dial(
    address: &Address,
    access: &Access,
    patience: Duration,
) -> Result<Dialled, DialError> {
    let dialling = async {
        let mut dialled = Dialled {
            stream: connect(address, access).await?,
            inbox: BytesMut::new(),
        };
        dialled.introduce(access).await?;
        Ok(dialled)
    };
    timeout(patience, dialling)
        .await
        .unwrap_or(Err(DialError::Timeout))
}

async fn connect(address: &Address, access: &Access) -> Result<Stream, DialError> {
    let tcp = TcpStream::connect((&*address.host, address.port)).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = &access.tls else {
        return Ok(Box::new(tcp));
    };
    let name = match &access.server_name {
        Some(name) => name.clone(),
        None => ServerName::try_from(address.host.to_string()).map_err(|_| DialError::Name)?,
    };
    let connector = TlsConnector::from(Arc::clone(tls));
    Ok(Box::new(connector.connect(name, tcp).await?))
}

impl Dialled {
    async fn introduce(&mut self, access: &Access) -> Result<(), DialError> {
        let password = access.password.expose().as_bytes();
        if !access.user.is_empty() {
            self.ask(&[b"AUTH", access.user.as_bytes(), password])
                .await?;
        } else if !password.is_empty() {
            self.ask(&[b"AUTH", password]).await?;
        }
        if access.database != 0 {
            let database = access.database.to_string();
            self.ask(&[b"SELECT", database.as_bytes()]).await?;
        }
        // Refused where a user may not: then it has no name in lists, and that is all.
        match self.ask(&[b"CLIENT", b"SETNAME", b"campanile"]).await {
            Ok(_) | Err(DialError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Fails unless the server takes what is written. One that does not say is believed.
    pub(super) async fn expect_primary(mut self) -> Result<Self, DialError> {
        let role = match self.ask(&[b"ROLE"]).await {
            Ok(role) => role,
            Err(DialError::Refused(reason)) if reason.starts_with("NOPERM") => return Ok(self),
            Err(error) => return Err(error),
        };
        let first = role.list().and_then(|role| role.first()?.text());
        if first == Some("master") {
            Ok(self)
        } else {
            Err(DialError::NotPrimary)
        }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&mut self, parts: &[&[u8]]) -> Result<Reply, DialError> {
        self.stream.write_all(&command(parts)).await?;
        self.stream.flush().await?;
        loop {
            let reply = Reply::take(&mut self.inbox).map_err(|_| DialError::NotRedis)?;
            match reply {
                Some(Reply::Error(text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    return Err(DialError::Refused(text));
                }
                Some(reply) => return Ok(reply),
                None if self.stream.read_buf(&mut self.inbox).await? == 0 => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                None => {}
            }
        }
    }

    /// For what comes then.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_any_kind_of_host() {
        for (text, host, written) in [
            ("localhost:6379", "localhost", "localhost:6379"),
            ("[::1]:6379", "::1", "[::1]:6379"),
            ("::1:6379", "::1", "[::1]:6379"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((&*address.host, address.port), (host, 6379));
            assert_eq!(address.to_string(), written);
        }
        for text in ["", "localhost", ":6379", "localhost:0", "localhost:65536"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
