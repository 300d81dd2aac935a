//! What a client sees of its connection.

use campanile_protocol::ws::{Event, Limits, Reader, Role};

use crate::shard::SessionKey;

/// The client's end of a connection.
pub struct Peer {
    /// The index of its shard.
    pub shard: usize,
    /// Its connection.
    pub key: SessionKey,
    reader: Reader,
    pub(super) unread: Vec<u8>,
}

impl Peer {
    pub(super) const fn new(shard: usize, key: SessionKey) -> Self {
        Self {
            shard,
            key,
            reader: Reader::new(Role::Client),
            unread: Vec::new(),
        }
    }

    /// Whether the client has sent something that the server has not read.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        !self.unread.is_empty()
    }

    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Vec<String> {
        let limits = Limits {
            message_bytes_max: usize::MAX,
            ..Limits::default()
        };
        let mut messages = Vec::new();
        let mut taken = 0;
        while taken < bytes.len() {
            let read = self.reader.read(&limits, &mut bytes[taken..]);
            let (count, event) = read.expect("the server writes frames");
            taken += count;
            match event {
                Some(Event::Text(text)) => messages.push(text.to_owned()),
                Some(Event::Close(Some(close))) => messages.push(format!("close {}", close.code)),
                Some(other) => panic!("the server never writes {other:?}"),
                None => {}
            }
        }
        messages
    }
}
