//! How messages become the bytes of one transport: an encoding and a framing, chosen when a
//! connection opens and never changed.
//!
//! [`Wire`] is closed and `Copy` on purpose: a broadcast is encoded once per wire and the bytes are
//! shared by all its subscribers, so a wire indexes the cache of frames of a delivery.

use crate::codec::{DecodeError, InappropriatePayload, json};
use crate::ws;
use crate::{Command, Disconnect, Push, Reply};

/// A transport's encoding and framing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wire {
    /// JSON in text frames of a WebSocket.
    WebSocketJson,
}

impl Wire {
    /// How many wires there are; [`Wire::index`] is below it.
    pub const COUNT: usize = 1;

    /// The wire's place in a table of all wires.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::WebSocketJson => 0,
        }
    }

    /// Appends the bytes of `reply`.
    ///
    /// # Errors
    /// A payload in it cannot be carried; nothing is appended.
    pub fn reply(self, reply: &Reply, out: &mut Vec<u8>) -> Result<(), InappropriatePayload> {
        let mut message = Vec::with_capacity(128);
        json::reply(reply, &mut message)?;
        ws::encode(ws::Opcode::Text, &message, out);
        Ok(())
    }

    /// Appends the bytes of `push`.
    ///
    /// # Errors
    /// A payload in it cannot be carried; nothing is appended.
    pub fn push(self, push: &Push<'_>, out: &mut Vec<u8>) -> Result<(), InappropriatePayload> {
        let mut message = Vec::with_capacity(256);
        json::push(push, &mut message)?;
        ws::encode(ws::Opcode::Text, &message, out);
        Ok(())
    }

    /// Appends a ping of the protocol, which is not a ping of the transport.
    pub fn ping(self, out: &mut Vec<u8>) {
        ws::encode(ws::Opcode::Text, json::PING, out);
    }

    /// Appends what tells the client why its session ends: on a WebSocket the close frame itself.
    pub fn disconnect(self, disconnect: &Disconnect, out: &mut Vec<u8>) {
        ws::encode_close(disconnect.code, &disconnect.reason, out);
    }

    /// The commands of one frame of a client.
    #[must_use]
    pub const fn commands(self, frame: &[u8]) -> Commands<'_> {
        Commands(json::Commands::of_frame(frame))
    }

    /// The commands of what [`Commands::rest`] once gave.
    #[must_use]
    pub const fn remaining_commands(self, rest: &[u8]) -> Commands<'_> {
        Commands(json::Commands::of_rest(rest))
    }
}

/// Commands of a frame, decoded one by one.
#[derive(Debug)]
pub struct Commands<'a>(json::Commands<'a>);

impl<'a> Commands<'a> {
    /// What has not been decoded yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0.rest()
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
