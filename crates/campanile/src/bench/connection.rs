//! One nonblocking socket of the fleet. Knows bytes and how far it is; not what the bytes mean.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::set_socket_linger;

/// A connection whose server does not read this much is given up.
const MAX_UNSENT: usize = 1 << 20;

/// How far a connection is.
pub(super) enum State {
    Dialling,
    Upgrading,
    /// Until the command with this id is answered.
    Joining(u64),
    Open,
}

/// A socket with what it holds back in either direction.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    /// Input that ended inside a frame.
    pub(super) partial: Vec<u8>,
    /// Output that the socket did not take.
    unsent: Vec<u8>,
    /// Publications so far.
    pub(super) received: u64,
}

impl Connection {
    /// Starts to connect; the outcome comes as an event.
    pub(super) fn dial(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            state: State::Dialling,
            partial: Vec::new(),
            unsent: Vec::new(),
            received: 0,
        })
    }

    /// Whether the connection is established.
    pub(super) fn dialled(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        self.stream.set_nodelay(true)?;
        // Closing with a reset leaves no port in TIME_WAIT for the next round to run into.
        set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(true)
    }

    /// Sends now or as soon as the socket takes it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unsent.len() + bytes.len() > MAX_UNSENT {
            return Err(io::Error::other("the server does not read"));
        }
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends what the socket did not take before.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // Thousands of these must not keep what they needed once.
        self.unsent = Vec::new();
        Ok(())
    }
}
