//! The floor: one thread, one epoll loop, one plain `write` for each delivery, and nothing else.
//!
//! It speaks just enough of the Centrifuge JSON protocol for `campanile bench` to drive it, so its
//! figures are what the kernel charges for the work; whatever a real server needs on top is its own.
//! It owns a table of sockets and one global channel. It refuses to know JSON (it searches bytes),
//! tokens, pings, history, queues: a subscriber whose socket buffer is full is closed.
//!
//! Usage: `campanile-bench-floor [ADDRESS]`, by default `127.0.0.1:8701`.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest as _, Sha1};

use crate::frame::{text_frame, unmask_frame};

mod frame;

const LISTENER: Token = Token(usize::MAX);
/// RFC 6455, section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// An unfinished request or frame longer than this closes its connection.
const MAX_INPUT: usize = 1 << 20;

const PUBLISHED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"result\":{}}";

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Http,
    Joining,
    Subscriber,
    Echo,
}

struct Peer {
    stream: TcpStream,
    role: Role,
}

struct Floor {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Input that ended inside a request or a frame; beside the table, since few peers ever have any.
    partial: HashMap<usize, Vec<u8>>,
    scratch: Box<[u8]>,
}

fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8701".into());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut listener = TcpListener::bind(address)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        poll,
        peers: Vec::new(),
        free: Vec::new(),
        partial: HashMap::new(),
        scratch: vec![0; 64 * 1024].into_boxed_slice(),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        floor.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(slot) => {
                    if floor.ready(slot).is_err() {
                        floor.close(slot);
                    }
                }
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            self.poll
                .registry()
                .register(&mut stream, Token(slot), Interest::READABLE)?;
            self.peers[slot] = Some(Peer {
                stream,
                role: Role::Http,
            });
        }
        Ok(())
    }

    /// Reads until a short read: edge triggering reports the next arrival, so no read needs to fail.
    fn ready(&mut self, slot: usize) -> io::Result<()> {
        while let Some(peer) = &mut self.peers[slot] {
            let length = match peer.stream.read(&mut self.scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let mut input = self.partial.remove(&slot).unwrap_or_default();
            input.extend_from_slice(&self.scratch[..length]);
            let body = peer.consume(&mut input)?;
            if input.len() > MAX_INPUT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if !input.is_empty() {
                self.partial.insert(slot, input);
            }
            if let Some(body) = body {
                self.publish(&body);
                self.peers[slot]
                    .as_mut()
                    .map_or(Ok(()), |peer| peer.send(PUBLISHED))?;
            }
            if length < self.scratch.len() {
                break;
            }
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        // Dropping the socket takes it out of the epoll set.
        if self.peers[slot].take().is_some() {
            self.partial.remove(&slot);
            self.free.push(slot);
        }
    }

    fn publish(&mut self, body: &[u8]) {
        let Some(push) = push_of(body) else { return };
        let frame = text_frame(&push);
        for slot in 0..self.peers.len() {
            if let Some(peer) = &mut self.peers[slot]
                && peer.role == Role::Subscriber
                && peer.send(&frame).is_err()
            {
                self.close(slot);
            }
        }
    }
}

impl Peer {
    /// One plain `write`; anything but the whole of it fails.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.write(bytes)? {
            length if length == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Handles what is complete; returns the body of a publish request.
    fn consume(&mut self, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        if self.role == Role::Http {
            return self.consume_request(input);
        }
        while let Some((opcode, payload, length)) = unmask_frame(input) {
            match (opcode, self.role) {
                (0x8, _) => return Err(io::ErrorKind::ConnectionAborted.into()),
                (_, Role::Echo) => self.send(&text_frame(&payload))?,
                (_, Role::Joining) => self.reply(&payload)?,
                _ => {}
            }
            input.drain(..length);
        }
        Ok(None)
    }

    fn consume_request(&mut self, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let Some(end) = memmem::find(input, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&input[..end]).into_owned();
        if head.starts_with("POST /api/publish") {
            let length: usize = header(&head, "content-length")?
                .parse()
                .map_err(io::Error::other)?;
            if length > MAX_INPUT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Some(body) = input.get(end..end + length).map(<[u8]>::to_vec) else {
                return Ok(None);
            };
            input.drain(..end + length);
            return Ok(Some(body));
        }
        self.role = match head.split(['?', ' ']).nth(1) {
            Some("/connection/websocket") => Role::Joining,
            Some("/connection/echo") => Role::Echo,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let key = [header(&head, "sec-websocket-key")?.as_bytes(), KEY_SUFFIX].concat();
        let accept = STANDARD.encode(Sha1::digest(key));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        );
        input.drain(..end);
        self.send(answer.as_bytes())?;
        self.consume(input)
    }

    /// Answers the commands of a frame with canned replies. Told apart by their names alone.
    fn reply(&mut self, commands: &[u8]) -> io::Result<()> {
        for command in commands.split(|byte| *byte == b'\n') {
            let Some(id) = number_after(command, b"\"id\":") else {
                continue;
            };
            let reply = if memmem::find(command, b"\"subscribe\":").is_some() {
                self.role = Role::Subscriber;
                format!(r#"{{"id":{id},"subscribe":{{}}}}"#)
            } else {
                format!(r#"{{"id":{id},"connect":{{"client":"{id}","version":"floor"}}}}"#)
            };
            self.send(&text_frame(reply.as_bytes()))?;
        }
        Ok(())
    }
}

/// The push for a body of the form `{"channel":"NAME","data":ANYTHING}`, in this order.
fn push_of(body: &[u8]) -> Option<Vec<u8>> {
    let name_at = memmem::find(body, b"\"channel\":\"")? + 11;
    let name = body[name_at..].split(|byte| *byte == b'"').next()?;
    let payload_at = memmem::find(body, b"\"data\":")? + 7;
    let payload = body.get(payload_at..body.len() - 1)?;
    let parts: [&[u8]; 5] = [
        br#"{"push":{"channel":""#,
        name,
        br#"","pub":{"data":"#,
        payload,
        b"}}}",
    ];
    Some(parts.concat())
}

fn number_after(text: &[u8], label: &[u8]) -> Option<u32> {
    let rest = &text[memmem::find(text, label)? + label.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> io::Result<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let field = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
    field
        .map(|(_, value)| value.trim())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
