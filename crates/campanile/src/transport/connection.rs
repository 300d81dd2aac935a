//! What a connection keeps beside its socket: where it is in the byte stream, and what waits.

use campanile_engine::shard::{SessionKey, Shard};
use campanile_engine::time::Now;
use campanile_protocol::{Disconnect, Wire, ws};

use crate::throttle::CLIENT_FAULTS;

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

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: SessionKey,
    speech: Speech,
    reader: ws::Reader,
    /// What came behind a command that has to wait: undecoded commands of its frame, and bytes
    /// behind the frame. No more than one read's worth, since nothing is read meanwhile.
    waiting: Option<Box<Waiting>>,
    /// Whether the closing handshake is over for our side.
    pub(super) is_shut: bool,
    /// Whether the socket had no room for everything, so that room is what it may be ready with.
    pub(super) is_blocked: bool,
    /// Whether a pong waits already; one is enough for all pings before it.
    owes_pong: bool,
}

#[derive(Debug)]
struct Waiting {
    commands: Vec<u8>,
    bytes: Vec<u8>,
}

impl Connection {
    pub(super) const fn new(key: SessionKey, speech: Speech) -> Self {
        Self {
            key,
            speech,
            reader: ws::Reader::new(ws::Role::Server),
            waiting: None,
            is_shut: false,
            is_blocked: false,
            owes_pong: false,
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
        self.owes_pong = false;
    }

    /// Takes bytes of the client. They are unmasked in place.
    pub(super) fn receive(
        &mut self,
        shard: &mut Shard,
        now: Now,
        limits: &ws::Limits,
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
            let (consumed, event) = match self.reader.read(limits, &mut bytes[taken..]) {
                Ok(read) => read,
                Err(error) => return self.refuse(shard, now, error),
            };
            taken += consumed;
            match event {
                None => return,
                Some(event) => {
                    let rest = hear(
                        self.speech,
                        self.key,
                        &mut self.owes_pong,
                        shard,
                        now,
                        event,
                    );
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
    pub(super) fn resume(&mut self, shard: &mut Shard, now: Now, limits: &ws::Limits) {
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
            self.receive(shard, now, limits, &mut bytes);
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
    owes_pong: &mut bool,
    shard: &mut Shard,
    now: Now,
    event: ws::Event<'_>,
) -> Vec<u8> {
    let (opcode, message) = match event {
        ws::Event::Text(text) => (ws::Opcode::Text, text.as_bytes()),
        ws::Event::Binary(bytes) => (ws::Opcode::Binary, bytes),
        ws::Event::Pong(_) => return Vec::new(),
        ws::Event::Ping(payload) => {
            // A client that pings and never reads makes one pong wait, not many.
            if !std::mem::replace(owes_pong, true) {
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
            shard.send(now, key, framed(opcode, message));
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
