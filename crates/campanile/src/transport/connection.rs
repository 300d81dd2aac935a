//! What a connection keeps beside its socket: where it is in the byte stream, and what waits.

use bytes::Bytes;
use campanile_engine::shard::{SessionKey, Shard};
use campanile_engine::throttle::CLIENT_FAULTS;
use campanile_engine::time::Now;
use campanile_protocol::codec::json;
use campanile_protocol::command::ConnectRequest;
use campanile_protocol::wire::{Encoding, Manner};
use campanile_protocol::ws::deflate::Inflater;
use campanile_protocol::{Disconnect, Wire, ws};

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

/// What a request says to the session that it opens.
#[derive(Debug)]
pub(super) enum FirstWords {
    /// A frame of commands.
    Frame(Bytes),
    /// Who the client is, where it can say nothing else.
    Connect(Box<ConnectRequest>),
}

/// Bytes of commands that may wait behind one that waits, where they come in requests of their own:
/// such a client cannot be made to wait by not reading. The last frame may go beyond.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Bytes of messages taken of one connection at a time; the last message may go beyond. What is read
/// bounds them only where nothing is compressed: inflated, a frame has up to a thousand times its size.
const TAKEN_BYTES_MAX: usize = 256 * 1024;

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
    /// behind the frame. Or bytes alone, of which there were too many for one turn. No more than one
    /// read's worth, since nothing is read meanwhile.
    waiting: Option<Box<Waiting>>,
    /// Whether the closing handshake is over for our side.
    pub(super) is_shut: bool,
    /// Whether the socket had no room for everything, so that room is what it may be ready with.
    pub(super) is_blocked: bool,
    /// Pongs put into the outbox since it was last empty.
    pongs: u8,
}

#[derive(Debug, Default)]
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

    /// Whether more bytes may be read: not while a command waits for its answer. Where commands
    /// come another way, reading tells only whether the client is still there.
    pub(super) fn reads(&self) -> bool {
        self.waiting.is_none() || self.is_body()
    }

    /// Whether it is only for the sake of others that something waits, so that it can
    /// [go on](Self::resume) in the next turn.
    pub(super) fn is_paused(&self, shard: &Shard) -> bool {
        self.waiting.is_some() && !self.must_wait(shard)
    }

    /// Whether it is a response of HTTP that goes on.
    fn is_body(&self) -> bool {
        matches!(self.speech, Speech::Session(wire) if !wire.is_web_socket())
    }

    /// Hears what the request said that opened the session.
    pub(super) fn begin(&mut self, shard: &mut Shard, now: Now, words: FirstWords) {
        match words {
            FirstWords::Frame(frame) => self.hear_frame(shard, now, &frame),
            FirstWords::Connect(request) => {
                shard.connect(now, self.key, Ok(*request));
                self.wait_behind(shard, Vec::new(), Vec::new());
            }
        }
    }

    /// Takes a frame of commands that came in a request of its own. Behind a command that waits it
    /// waits too, in order; a client that goes on regardless is sent away.
    pub(super) fn hear_frame(&mut self, shard: &mut Shard, now: Now, frame: &[u8]) {
        let Speech::Session(wire) = self.speech else {
            return;
        };
        match &mut self.waiting {
            Some(waiting) if waiting.commands.len() >= WAITING_BYTES_MAX => {
                shard.close(now, self.key, Disconnect::TOO_MANY_REQUESTS);
            }
            Some(waiting) => {
                // Frames of either encoding make a frame when they are put together.
                if wire.encoding() == Encoding::Json {
                    waiting.commands.push(b'\n');
                }
                waiting.commands.extend_from_slice(frame);
            }
            None => {
                let rest = shard.receive(now, self.key, wire.commands(frame)).to_vec();
                self.wait_behind(shard, rest, Vec::new());
            }
        }
    }

    /// Notes what has to wait, if anything has to.
    fn wait_behind(&mut self, shard: &Shard, commands: Vec<u8>, bytes: Vec<u8>) {
        if !commands.is_empty() || self.must_wait(shard) {
            self.waiting = Some(Box::new(Waiting { commands, bytes }));
        }
    }

    /// Notes that everything has been written.
    pub(super) const fn drained(&mut self) {
        self.is_blocked = false;
        self.pongs = 0;
    }

    /// Takes bytes of the client. They are unmasked in place. Afterwards it may be
    /// [paused](Self::is_paused).
    pub(super) fn receive(
        &mut self,
        shard: &mut Shard,
        now: Now,
        input: &mut Input,
        bytes: &mut [u8],
    ) {
        if self.is_body() {
            // Behind its request a client has nothing to say here.
            return;
        }
        let mut taken = 0;
        let mut message_bytes = 0;
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
                    message_bytes += length(&event);
                    let rest = hear(self.speech, self.key, &mut self.pongs, shard, now, event);
                    self.wait_behind(shard, rest, Vec::new());
                    if message_bytes >= TAKEN_BYTES_MAX {
                        // Filled with the rest of the bytes, if there are any.
                        self.waiting.get_or_insert_with(Box::default);
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
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let Waiting {
            commands,
            mut bytes,
        } = *waiting;
        let rest = match self.speech {
            Speech::Session(wire) => {
                let commands = wire.remaining_commands(&commands);
                shard.receive(now, self.key, commands).to_vec()
            }
            Speech::Echo | Speech::Nothing => Vec::new(),
        };
        if !rest.is_empty() || self.must_wait(shard) {
            self.wait_behind(shard, rest, bytes);
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

/// Bytes of a message, as they were before they were compressed.
const fn length(event: &ws::Event<'_>) -> usize {
    match event {
        ws::Event::Text(text) => text.len(),
        ws::Event::Binary(bytes) => bytes.len(),
        // These are never compressed.
        ws::Event::Ping(_) | ws::Event::Pong(_) | ws::Event::Close(_) => 0,
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
        ws::Event::Pong(_) => {
            if matches!(speech, Speech::Session(wire) if wire.pings_natively()) {
                shard.pong(now, key);
            }
            return Vec::new();
        }
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
        Speech::Session(wire) if wire.manner() == Manner::Unidirectional => {
            shard.connect(now, key, json::connect_request(message));
            Vec::new()
        }
        Speech::Session(wire) if wire.manner() == Manner::Plain => {
            shard.say(now, key, message.into());
            Vec::new()
        }
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
mod tests;
