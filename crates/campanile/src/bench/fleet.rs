//! The WebSocket connections of a run: from dialling to counting what arrives.
//! Knows sockets, frames and how a connection opens; not what the run measures, and no readiness loop.

use std::io::{self, Read as _};
use std::time::Instant;

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::event::Event;
use mio::{Registry, Token};
use serde_json::Value;

use super::compression::{self, Inflated};
use super::connection::{Connection, State};
use super::plan::{Opening, Plan};
use super::scan::{self, Counts, Scan};
use super::wire::{self, BINARY, CLOSE, PING, PONG, TEXT};
use super::{BenchError, Protocol, protobuf};

const SCRATCH_BYTES: usize = 64 * 1024;
/// Latency is taken on about this many connections, evenly spread: parsing each payload would cost
/// the client more than receiving it.
const SAMPLED_CONNECTIONS: usize = 256;

/// All connections, and the sums over them.
pub(super) struct Fleet {
    plan: Plan,
    connections: Vec<Connection>,
    scan: Scan,
    inflated: Inflated,
    scratch: Box<[u8]>,
    open: usize,
    received: u64,
    bytes: u64,
    pings: u64,
    sample_every: usize,
    origin: Instant,
    latency: Histogram<u64>,
    /// Connections that received something since this was last emptied; kept for text only.
    pub(super) answered: Vec<usize>,
}

impl Fleet {
    /// No connections yet; latency is sampled as if there will be `expected`.
    pub(super) fn new(plan: Plan, expected: usize) -> Self {
        Self {
            scan: Scan::new(&plan.marker),
            plan,
            inflated: Inflated::default(),
            connections: Vec::with_capacity(expected),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            open: 0,
            received: 0,
            bytes: 0,
            pings: 0,
            sample_every: (expected / SAMPLED_CONNECTIONS).max(1),
            origin: Instant::now(),
            latency: empty_histogram(),
            answered: Vec::new(),
        }
    }

    /// Connections whose opening commands have all been answered.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Publications (or text frames) received on all connections.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes received on all connections, with all that TCP carries: handshakes and headers too.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Server pings that were answered.
    pub(super) fn pings(&self) -> u64 {
        self.pings
    }

    /// Connections that received something else than `expected` publications since they opened.
    pub(super) fn deviating(&self, expected: u64) -> usize {
        self.connections
            .iter()
            .filter(|connection| connection.received != expected)
            .count()
    }

    /// A payload of `bytes` bytes whose age will be recorded where it arrives.
    pub(super) fn timed_payload(&self, bytes: usize) -> String {
        scan::timed_payload(self.origin, bytes)
    }

    /// Latencies in microseconds since this was last called.
    pub(super) fn take_latency(&mut self) -> Histogram<u64> {
        std::mem::replace(&mut self.latency, empty_histogram())
    }

    /// Starts dialling until `target` connections exist or enough handshakes are under way.
    pub(super) fn dial(&mut self, registry: &Registry, target: usize) -> Result<(), BenchError> {
        while self.connections.len() < target
            && self.connections.len() - self.open < self.plan.concurrency
        {
            let token = Token(self.connections.len());
            let connection =
                Connection::dial(self.plan.target.address, registry, token).map_err(|source| {
                    BenchError::Io {
                        doing: "connect",
                        source,
                    }
                })?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// Does what the event allows.
    pub(super) fn ready(&mut self, index: usize, event: &Event) -> Result<(), BenchError> {
        let connection = &mut self.connections[index];
        if matches!(connection.state, State::Dialling) {
            if !connection.dialled().map_err(|error| lost(index, error))? {
                return Ok(());
            }
            connection.state = State::Upgrading;
            let request = self.plan.upgrade_request();
            return connection
                .send(request.as_bytes())
                .map_err(|error| lost(index, error));
        }
        if event.is_writable() {
            connection.flush().map_err(|error| lost(index, error))?;
        }
        if event.is_readable() {
            self.read(index)
        } else {
            Ok(())
        }
    }

    /// Sends one text frame.
    pub(super) fn send_text(&mut self, index: usize, text: &str) -> Result<(), BenchError> {
        self.send_frame(index, TEXT, text.as_bytes())
    }

    fn send_frame(&mut self, index: usize, opcode: u8, payload: &[u8]) -> Result<(), BenchError> {
        let mut frame = Vec::with_capacity(payload.len() + 14);
        wire::push_frame(opcode, payload, &mut frame);
        self.connections[index]
            .send(&frame)
            .map_err(|error| lost(index, error))
    }

    /// Reads until a short read: edge triggering reports the next arrival, so no read has to fail.
    fn read(&mut self, index: usize) -> Result<(), BenchError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = loop {
            match self.connections[index].stream.read(&mut scratch) {
                Ok(0) => break Err(lost(index, "end of stream")),
                Ok(length) => match self.take_in(index, &scratch[..length]) {
                    Ok(()) if length == SCRATCH_BYTES => {}
                    result => break result,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(lost(index, error)),
            }
        };
        self.scratch = scratch;
        result
    }

    fn take_in(&mut self, index: usize, bytes: &[u8]) -> Result<(), BenchError> {
        self.bytes += bytes.len() as u64;
        let connection = &mut self.connections[index];
        if connection.partial.is_empty() {
            let used = self.consume(index, bytes)?;
            self.connections[index]
                .partial
                .extend_from_slice(&bytes[used..]);
        } else {
            let mut partial = std::mem::take(&mut connection.partial);
            partial.extend_from_slice(bytes);
            let used = self.consume(index, &partial)?;
            partial.drain(..used);
            self.connections[index].partial = partial;
        }
        Ok(())
    }

    /// Handles all that is complete and returns how many bytes that was.
    fn consume(&mut self, index: usize, bytes: &[u8]) -> Result<usize, BenchError> {
        let mut used = 0;
        if matches!(self.connections[index].state, State::Upgrading) {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                let head = String::from_utf8_lossy(&bytes[..end]);
                return Err(BenchError::Refused(
                    head.lines().next().unwrap_or_default().to_owned(),
                ));
            }
            if self.plan.compress && !compression::is_agreed(&bytes[..end]) {
                return Err(BenchError::Refused(format!(
                    "its answer does not agree to {}",
                    compression::OFFER
                )));
            }
            used = end + 4;
            self.upgraded(index)?;
        }
        while let Some(frame) =
            wire::first_frame(&bytes[used..]).map_err(|error| lost(index, error))?
        {
            used += frame.length;
            match frame.opcode {
                CLOSE => return Err(lost(index, close_reason(frame.payload))),
                PING => self.send_frame(index, PONG, frame.payload)?,
                PONG => {}
                _ if frame.is_deflated => self.deflated(index, frame.payload)?,
                _ => self.message(index, frame.payload)?,
            }
        }
        Ok(used)
    }

    fn upgraded(&mut self, index: usize) -> Result<(), BenchError> {
        let Some((opcode, commands, last_id)) = self.plan.first_commands(index)? else {
            self.connections[index].state = State::Open;
            self.open += 1;
            return Ok(());
        };
        self.connections[index].state = State::Joining(last_id);
        self.send_frame(index, opcode, &commands)
    }

    fn deflated(&mut self, index: usize, payload: &[u8]) -> Result<(), BenchError> {
        if !self.plan.compress {
            return Err(lost(index, "a compressed frame without an agreement"));
        }
        let message = self.inflated.message(payload);
        self.message(index, &message.map_err(|error| lost(index, error))?)
    }

    fn message(&mut self, index: usize, payload: &[u8]) -> Result<(), BenchError> {
        if matches!(self.plan.opening, Opening::Silent) {
            self.answered.push(index);
            self.count(index, 1, payload);
            return Ok(());
        }
        let counts = match self.plan.protocol {
            Protocol::Json => self.hear_json(index, payload)?,
            Protocol::Protobuf => self.hear_protobuf(index, payload)?,
        };
        let (opcode, pong): (_, &[u8]) = match self.plan.protocol {
            Protocol::Json => (TEXT, b"{}"),
            Protocol::Protobuf => (BINARY, b"\0"),
        };
        for _ in 0..counts.pings {
            self.send_frame(index, opcode, pong)?;
            self.pings += 1;
        }
        self.count(index, counts.publications, payload);
        Ok(())
    }

    fn hear_json(&mut self, index: usize, payload: &[u8]) -> Result<Counts, BenchError> {
        if let State::Joining(last_id) = self.connections[index].state
            && is_answered(last_id, payload)?
        {
            self.joined(index);
        }
        Ok(self.scan.count(payload))
    }

    fn hear_protobuf(&mut self, index: usize, payload: &[u8]) -> Result<Counts, BenchError> {
        let heard = protobuf::hear(payload).ok_or_else(|| lost(index, "a frame of nonsense"))?;
        if heard.is_refusal {
            let reply = String::from_utf8_lossy(payload);
            return Err(BenchError::Refused(reply.into()));
        }
        if let State::Joining(last_id) = self.connections[index].state
            && heard.answered == Some(last_id)
        {
            self.joined(index);
        }
        Ok(heard.counts)
    }

    fn joined(&mut self, index: usize) {
        self.connections[index].state = State::Open;
        self.open += 1;
    }

    fn count(&mut self, index: usize, publications: u32, payload: &[u8]) {
        self.connections[index].received += u64::from(publications);
        self.received += u64::from(publications);
        if publications > 0
            && index.is_multiple_of(self.sample_every)
            && let Some(age) = scan::age(self.origin, payload)
        {
            self.latency
                .saturating_record(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// Whether the replies in a frame include the awaited one; an error among them is a refusal.
fn is_answered(awaited: u64, payload: &[u8]) -> Result<bool, BenchError> {
    let mut answered = false;
    for line in payload.split(|byte| *byte == b'\n') {
        let Ok(reply) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if reply.get("error").is_some() {
            return Err(BenchError::Refused(reply.to_string()));
        }
        answered |= reply.get("id").and_then(Value::as_u64) == Some(awaited);
    }
    Ok(answered)
}

fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("closed with {code} {}", String::from_utf8_lossy(reason))
        }
        _ => "closed without a code".to_owned(),
    }
}

/// Microseconds up to a minute, three digits exact.
fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are valid")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors are moved in by `map_err`"
)]
fn lost(connection: usize, why: impl ToString) -> BenchError {
    BenchError::Lost {
        connection,
        why: why.to_string(),
    }
}
