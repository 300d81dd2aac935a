//! What a connection keeps beside its socket: where it is in the byte stream, and what waits.

use campanile_engine::shard::{SessionKey, Shard};
use campanile_engine::time::Now;
use campanile_protocol::ws::deflate::Inflater;
use campanile_protocol::{Disconnect, Wire, ws};

use crate::throttle::CLIENT_FAULTS;

/// Pongs that wait for a client. One that pings and does not read gets no more: RFC 6455 section 5.5.3
/// allows to leave pings out, though it is the last that should be answered. To keep that one would
/// cost every idle connection its place.
const PONGS_MAX: u8 = 16;

/// What is spoken over a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speech {
    /// A protocol with sessions.
    Session(Wire),
    /// Every message comes back as it came.
    Echo,
    /// Nothing more: a last word was said.
    Nothing,
}

/// What all connections of a worker read with.
#[derive(Debug)]
pub(super) struct Input {
    limits: ws::Limits,
    inflater: Inflater,
}

impl Input {
    pub(super) fn new(limits: ws::Limits) -> Self {
        Self {
            limits,
            inflater: Inflater::default(),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: SessionKey,
    speech: Speech,
    /// Whether permessage-deflate was agreed to.
    inflates: bool,
    reader: ws::Reader,
    /// What came behind a command that has to wait: undecoded commands of its frame, and bytes
    /// behind the frame. No more than one read's worth, since nothing is read meanwhile.
    waiting: Option<Box<Waiting>>,
    /// Whether the closing handshake is over for our side.
    pub(super) is_shut: bool,
    /// Whether the socket had no room for everything, so that room is what it may be ready with.
    pub(super) is_blocked: bool,
    /// Pongs put into the outbox since it was last empty.
    pongs: u8,
}

#[derive(Debug)]
struct Waiting {
    commands: Vec<u8>,
    bytes: Vec<u8>,
}

impl Connection {
    pub(super) const fn new(key: SessionKey, speech: Speech, inflates: bool) -> Self {
        Self {
            key,
            speech,
            inflates,
            reader: ws::Reader::new(ws::Role::Server),
            waiting: None,
            is_shut: false,
            is_blocked: false,
            pongs: 0,
        }
    }

    /// Whether it was never let in.
    pub(super) fn is_refused(&self) -> bool {
        self.speech == Speech::Nothing
    }

    /// Whether more bytes may be read: not while a command waits for its answer.
    pub(super) const fn reads(&self) -> bool {
        self.waiting.is_none()
    }

    /// Notes that everything has been written.
    pub(super) const fn drained(&mut self) {
        self.is_blocked = false;
        self.pongs = 0;
    }

    /// Takes bytes of the client. They are unmasked in place.
    pub(super) fn receive(
        &mut self,
        shard: &mut Shard,
        now: Now,
        input: &mut Input,
        bytes: &mut [u8],
    ) {
        let mut taken = 0;
        loop {
            if !shard.is_open(self.key) {
                return;
            }
            if self.waiting.is_some() {
                // The reader may hold a part of a message, but it has not seen these bytes.
                if let Some(waiting) = &mut self.waiting {
                    waiting.bytes.extend_from_slice(&bytes[taken..]);
                }
                return;
            }
            let inflater = self.inflates.then_some(&mut input.inflater);
            let bytes = &mut bytes[taken..];
            let (consumed, event) = match self.reader.read_with(&input.limits, inflater, bytes) {
                Ok(read) => read,
                Err(error) => return self.refuse(shard, now, error),
            };
            taken += consumed;
            match event {
                None => return,
                Some(event) => {
                    let rest = hear(self.speech, self.key, &mut self.pongs, shard, now, event);
                    if !rest.is_empty() || self.must_wait(shard) {
                        self.waiting = Some(Box::new(Waiting {
                            commands: rest,
                            bytes: Vec::new(),
                        }));
                    }
                }
            }
        }
    }

    /// Goes on with what waited, once the session listens again.
    pub(super) fn resume(&mut self, shard: &mut Shard, now: Now, input: &mut Input) {
        if self.must_wait(shard) {
            return;
        }
        let (Some(waiting), Speech::Session(wire)) = (self.waiting.take(), self.speech) else {
            return;
        };
        let Waiting {
            commands,
            mut bytes,
        } = *waiting;
        let rest = shard
            .receive(now, self.key, wire.remaining_commands(&commands))
            .to_vec();
        if !rest.is_empty() || self.must_wait(shard) {
            self.waiting = Some(Box::new(Waiting {
                commands: rest,
                bytes,
            }));
        } else {
            self.receive(shard, now, input, &mut bytes);
        }
    }

    fn must_wait(&self, shard: &Shard) -> bool {
        matches!(self.speech, Speech::Session(_))
            && shard.is_open(self.key)
            && !shard.is_listening(self.key)
    }

    fn refuse(&self, shard: &mut Shard, now: Now, error: ws::ProtocolError) {
        if let Some(unsaid) = CLIENT_FAULTS.pass() {
            let code = error.close_code();
            tracing::info!(%error, code, unsaid, "a client broke the WebSocket protocol");
        }
        let mut last = Vec::new();
        ws::encode_close(error.close_code(), &error.to_string(), &mut last);
        shard.close_with(now, self.key, last);
    }
}

/// Takes one message; returns the commands of it that have to wait.
fn hear(
    speech: Speech,
    key: SessionKey,
    pongs: &mut u8,
    shard: &mut Shard,
    now: Now,
    event: ws::Event<'_>,
) -> Vec<u8> {
    let (opcode, message) = match event {
        ws::Event::Text(text) => (ws::Opcode::Text, text.as_bytes()),
        ws::Event::Binary(bytes) => (ws::Opcode::Binary, bytes),
        ws::Event::Pong(_) => return Vec::new(),
        ws::Event::Ping(payload) => {
            if *pongs < PONGS_MAX {
                *pongs += 1;
                shard.send(now, key, framed(ws::Opcode::Pong, payload));
            }
            return Vec::new();
        }
        ws::Event::Close(close) => {
            let mut last = Vec::new();
            match close {
                Some(close) => ws::encode_close(close.code, close.reason, &mut last),
                None => ws::encode(ws::Opcode::Close, &[], &mut last),
            }
            shard.close_with(now, key, last);
            return Vec::new();
        }
    };
    match speech {
        Speech::Session(wire) => shard.receive(now, key, wire.commands(message)).to_vec(),
        Speech::Echo => {
            shard.send_frames(now, key, framed(opcode, message));
            Vec::new()
        }
        Speech::Nothing => {
            shard.close(now, key, Disconnect::CONNECTION_CLOSED);
            Vec::new()
        }
    }
}

fn framed(opcode: ws::Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    ws::encode(opcode, payload, &mut frame);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_five_words() {
        assert_eq!(size_of::<Connection>(), 40);
    }
}
