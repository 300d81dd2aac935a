//! A message that arrives in pieces: its bytes so far, and how its memory grows. Whether another
//! piece may come at all is the reader's decision.

use super::deflate::Inflater;
use super::utf8::PartialText;
use super::{Event, Opcode, ProtocolError};

/// A text or binary message between its first byte and its last.
pub(super) struct PartialMessage {
    body: Body,
    /// Frames begun so far, including the first.
    fragments: u32,
}

enum Body {
    Text(PartialText),
    Binary(Vec<u8>),
    /// Compressed, of text or bytes. It stays so until it is whole: an inflater serves all
    /// connections of a worker, so none may keep it between two reads.
    Deflated(Opcode, Vec<u8>),
}

impl PartialMessage {
    pub(super) fn new(opcode: Opcode, deflated: bool) -> Self {
        let body = match opcode {
            _ if deflated => Body::Deflated(opcode, Vec::new()),
            Opcode::Text => Body::Text(PartialText::default()),
            _ => Body::Binary(Vec::new()),
        };
        Self { body, fragments: 1 }
    }

    /// Counts a continuation frame.
    pub(super) fn begin_fragment(&mut self, fragments_max: u32) -> Result<(), ProtocolError> {
        if self.fragments >= fragments_max {
            return Err(ProtocolError::TooManyFragments);
        }
        self.fragments += 1;
        Ok(())
    }

    /// Appends what arrived. The capacity never exceeds `size_max`, the most this message can still
    /// become.
    pub(super) fn push(&mut self, bytes: &[u8], size_max: usize) -> Result<(), ProtocolError> {
        let capacity = grown(self.capacity(), self.len() + bytes.len(), size_max);
        match &mut self.body {
            Body::Text(text) => {
                text.reserve_to(capacity);
                text.push(bytes)
            }
            Body::Binary(binary) | Body::Deflated(_, binary) => {
                binary.reserve_exact(capacity - binary.len());
                binary.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The message, unless its text ends within a character.
    pub(super) fn finish(self) -> Result<Held, ProtocolError> {
        match self.body {
            Body::Text(text) => text.finish().map(Held::Text),
            Body::Binary(binary) => Ok(Held::Bytes(Opcode::Binary, binary)),
            Body::Deflated(opcode, deflated) => Ok(Held::Deflated(opcode, deflated)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.len(),
            Body::Binary(bytes) | Body::Deflated(_, bytes) => bytes.len(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.capacity(),
            Body::Binary(bytes) | Body::Deflated(_, bytes) => bytes.capacity(),
        }
    }
}

/// What came in pieces and is complete: it stays until the next read because its event borrows it.
pub(super) enum Held {
    /// Text, already checked.
    Text(String),
    /// The payload of a binary message or of a control frame.
    Bytes(Opcode, Vec<u8>),
    /// A message that is still compressed.
    Deflated(Opcode, Vec<u8>),
}

impl Held {
    pub(super) fn event<'a>(
        &'a self,
        inflater: Option<&'a mut Inflater>,
        inflated_max: usize,
    ) -> Result<Event<'a>, ProtocolError> {
        match self {
            Self::Text(text) => Ok(Event::Text(text)),
            Self::Bytes(opcode, bytes) => Event::from_frame(*opcode, bytes),
            Self::Deflated(opcode, bytes) => {
                Event::from_deflated(*opcode, bytes, inflater, inflated_max)
            }
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Bytes(_, bytes) | Self::Deflated(_, bytes) => bytes.capacity(),
        }
    }
}

/// The next capacity: doubled, so that one byte at a time stays linear, but never past `size_max`.
fn grown(capacity: usize, needed: usize, size_max: usize) -> usize {
    if needed <= capacity {
        capacity
    } else {
        needed.max((capacity * 2).min(size_max))
    }
}
