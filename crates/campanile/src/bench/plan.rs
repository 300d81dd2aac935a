//! What a connection says when it opens: where to, the upgrade request, the first commands.
//! Knows addresses, tokens and protocol commands; no socket.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::Uri;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::wire::{BINARY, TEXT};
use super::{BenchError, CommonArgs, Protocol, compression, protobuf};

/// Longer than any run, shorter than any default limit on the life of a token.
const TOKEN_LIFE_SECS: u64 = 3600;

/// What the client library calls itself.
const NAME: &str = "bench";

/// Where requests of one kind go.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) authority: String,
    pub(super) path: String,
}

impl Target {
    /// Resolves a `ws://` or `http://` URL.
    pub(super) fn parse(url: &str) -> Result<Self, BenchError> {
        let invalid = || BenchError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        if !matches!(uri.scheme_str(), Some("ws" | "http")) {
            return Err(invalid());
        }
        let authority = uri.authority().ok_or_else(invalid)?;
        let port = authority.port_u16().unwrap_or(80);
        let address = (authority.host(), port)
            .to_socket_addrs()
            .map_err(|source| BenchError::Io {
                doing: "resolve",
                source,
            })?
            .next()
            .ok_or_else(invalid)?;
        let path = uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        Ok(Self {
            address,
            authority: authority.to_string(),
            path,
        })
    }
}

/// Which channel a connection subscribes to.
pub(super) enum Channels {
    /// It only connects.
    None,
    /// All to this one.
    Shared(String),
    /// Each to its own: this prefix and the number of the connection.
    Own(String),
}

impl Channels {
    pub(super) fn name(&self, connection: usize) -> Option<String> {
        match self {
            Self::None => None,
            Self::Shared(name) => Some(name.clone()),
            Self::Own(prefix) => Some(format!("{prefix}{connection}")),
        }
    }
}

/// What connections say once they are upgraded.
pub(super) enum Opening {
    /// Nothing: the endpoint takes plain text frames.
    Silent,
    /// Connect, then subscribe.
    Commands {
        channels: Channels,
        secret: Option<EncodingKey>,
    },
}

/// How to open the connections of a run.
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) opening: Opening,
    pub(super) protocol: Protocol,
    pub(super) compress: bool,
    pub(super) marker: String,
    pub(super) concurrency: usize,
}

impl Plan {
    /// Connections that speak the protocol.
    pub(super) fn commands(common: &CommonArgs, channels: Channels) -> Result<Self, BenchError> {
        let secret = common
            .token_secret
            .as_ref()
            .map(|it| EncodingKey::from_secret(it.as_bytes()));
        Self::new(common, Opening::Commands { channels, secret })
    }

    /// Connections that only carry text.
    pub(super) fn silent(common: &CommonArgs) -> Result<Self, BenchError> {
        Self::new(common, Opening::Silent)
    }

    fn new(common: &CommonArgs, opening: Opening) -> Result<Self, BenchError> {
        Ok(Self {
            target: Target::parse(&common.url)?,
            opening,
            protocol: common.protocol,
            compress: common.compress,
            marker: common.marker.clone(),
            concurrency: common.concurrency.max(1),
        })
    }

    /// The key is a constant: it only has to be 16 bytes in base64.
    pub(super) fn upgrade_request(&self) -> String {
        let subprotocol = match (&self.opening, self.protocol) {
            (Opening::Commands { .. }, Protocol::Protobuf) => {
                "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n"
            }
            _ => "",
        };
        let extensions = if self.compress {
            format!("Sec-WebSocket-Extensions: {}\r\n", compression::OFFER)
        } else {
            String::new()
        };
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Y2FtcGFuaWxlIGJlbmNoIQ==\r\n\
             {subprotocol}{extensions}\r\n",
            self.target.path, self.target.authority
        )
    }

    /// The first frame of a connection, with its opcode and the id of its last command; `None` if
    /// it says nothing.
    pub(super) fn first_commands(
        &self,
        connection: usize,
    ) -> Result<Option<(u8, Vec<u8>, u64)>, BenchError> {
        let Opening::Commands { channels, secret } = &self.opening else {
            return Ok(None);
        };
        let token = secret.as_ref().map(|secret| token(connection, secret));
        let (token, channel) = (token.transpose()?, channels.name(connection));
        let last_id = if channel.is_some() { 2 } else { 1 };
        let mut frame = Vec::new();
        let opcode = match self.protocol {
            Protocol::Json => {
                let mut connect = json!({"id": 1, "connect": {"name": NAME}});
                if let Some(token) = token {
                    connect["connect"]["token"] = token.into();
                }
                frame.extend(connect.to_string().bytes());
                if let Some(channel) = channel {
                    let subscribe = json!({"id": 2, "subscribe": {"channel": channel}});
                    frame.extend(format!("\n{subscribe}").bytes());
                }
                TEXT
            }
            Protocol::Protobuf => {
                protobuf::connect(NAME, token.as_deref(), &mut frame);
                if let Some(channel) = channel {
                    protobuf::subscribe(&channel, &mut frame);
                }
                BINARY
            }
        };
        Ok(Some((opcode, frame, last_id)))
    }
}

fn token(connection: usize, secret: &EncodingKey) -> Result<String, BenchError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let claims = json!({"sub": format!("bench-{connection}"), "exp": now + TOKEN_LIFE_SECS});
    jsonwebtoken::encode(&Header::default(), &claims, secret).map_err(BenchError::Token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_and_path() {
        let target = Target::parse("ws://127.0.0.1:8000/connection/websocket?x=1").unwrap();
        assert_eq!(target.address, "127.0.0.1:8000".parse().unwrap());
        assert_eq!(target.path, "/connection/websocket?x=1");
        for url in ["wss://127.0.0.1/", "127.0.0.1:80", ""] {
            assert!(
                matches!(Target::parse(url), Err(BenchError::Url(_))),
                "{url}"
            );
        }
    }
}
