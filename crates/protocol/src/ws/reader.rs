//! Bytes from the peer to messages. Owns the bytes of one incomplete message and the rules of which
//! frame may follow which; never asks where the bytes come from or when.

use std::fmt;
use std::ops::Range;

use super::deflate::Inflater;
use super::header::{FrameHeader, HEADER_BYTES_MAX};
use super::message::{Held, PartialMessage};
use super::{CloseFrame, Limits, Opcode, ProtocolError, Role, mask};

/// Something the peer sent, complete and valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, at most 125 bytes; wants a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong, at most 125 bytes.
    Pong(&'a [u8]),
    /// The peer closes, with its reason if it gave one. Nothing follows it.
    Close(Option<CloseFrame<'a>>),
}

impl<'a> Event<'a> {
    /// The event of a payload that is complete; checks text and close payloads.
    pub(super) fn from_frame(opcode: Opcode, payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Ok(match opcode {
            Opcode::Text => {
                Self::Text(str::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?)
            }
            Opcode::Binary => Self::Binary(payload),
            Opcode::Ping => Self::Ping(payload),
            Opcode::Pong => Self::Pong(payload),
            Opcode::Close => Self::Close(CloseFrame::parse(payload)?),
            Opcode::Continuation => return Err(ProtocolError::ContinuationWithoutStart),
        })
    }

    /// The event of a compressed payload. Without an inflater RSV1 means nothing.
    pub(super) fn from_deflated(
        opcode: Opcode,
        payload: &[u8],
        inflater: Option<&'a mut Inflater>,
        bytes_max: usize,
    ) -> Result<Self, ProtocolError> {
        let inflater = inflater.ok_or(ProtocolError::ReservedBits)?;
        Self::from_frame(opcode, inflater.inflate(payload, bytes_max)?)
    }
}

/// Reads one peer's frames. 16 bytes while idle.
///
/// An incomplete frame or message is kept behind one pointer and grows with what has arrived, never
/// ahead of it. Together with [`Limits::message_bytes_max`] that bounds the memory of a connection.
pub struct Reader {
    role: Role,
    state: State,
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
enum State {
    Open,
    /// The peer closed; what it sends afterwards is discarded (RFC 6455 section 1.4).
    Closed,
    Failed(ProtocolError),
}

/// What is complete, and where its payload lies.
enum Ready {
    /// One unfragmented frame, whole in the caller's input.
    InInput(Opcode, Range<usize>),
    /// The same, compressed.
    DeflatedInInput(Opcode, Range<usize>),
    /// Came in pieces.
    Held(Held),
}

impl Reader {
    /// A reader at the start of a connection.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            state: State::Open,
            partial: None,
        }
    }

    /// Takes bytes from the front of `input`, unmasking them in place, and gives how many it took and
    /// the next event, if one is complete. Without an event all of `input` has been taken.
    ///
    /// Call it until there is no event: the memory of a message that came in pieces is given back by
    /// the call that follows its delivery, also if that call has an empty `input`.
    ///
    /// # Errors
    ///
    /// The first violation ends the stream: every later call gives the same error.
    pub fn read<'a>(
        &'a mut self,
        limits: &Limits,
        input: &'a mut [u8],
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        self.read_with(limits, None, input)
    }

    /// [`read`](Self::read) of a peer with which permessage-deflate was agreed upon, if there is an
    /// `inflater`. It may be shared by many readers, and an event may borrow its buffer; a compressed
    /// message in many frames is kept as it came, and inflated when it is whole.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). [`Limits::message_bytes_max`] bounds what comes,
    /// [`Limits::inflated_bytes_max`] what becomes of it.
    pub fn read_with<'a>(
        &'a mut self,
        limits: &Limits,
        mut inflater: Option<&'a mut Inflater>,
        input: &'a mut [u8],
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        if let Some(inflater) = &mut inflater {
            inflater.release();
        }
        match self.state {
            State::Open => self.release(),
            State::Closed => {
                self.partial = None;
                return Ok((input.len(), None));
            }
            State::Failed(error) => {
                self.partial = None;
                return Err(error);
            }
        }
        let (taken, ready) = self
            .advance(limits, inflater.is_some(), input)
            .inspect_err(|&error| self.fail(error))?;
        let inflated_max = limits.inflated_bytes_max;
        let Self { state, partial, .. } = self;
        let event = match ready {
            None => return Ok((taken, None)),
            Some(Ready::InInput(opcode, range)) => Event::from_frame(opcode, &input[range]),
            Some(Ready::DeflatedInInput(opcode, range)) => {
                Event::from_deflated(opcode, &input[range], inflater, inflated_max)
            }
            Some(Ready::Held(held)) => {
                let held = partial.get_or_insert_default().held.insert(held);
                held.event(inflater, inflated_max)
            }
        };
        match event {
            Ok(Event::Close(_)) => *state = State::Closed,
            Err(error) => *state = State::Failed(error),
            Ok(_) => {}
        }
        Ok((taken, Some(event?)))
    }

    /// Bytes of memory held for an incomplete frame or message, or for what the last call delivered
    /// (until the next call). At most [`Limits::message_bytes_max`] and one control payload (125).
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.capacity())
    }

    /// Whether the peer owes nothing: no frame and no message has begun without ending. False may come
    /// with nothing [`buffered`](Self::buffered), after a header whose payload has not begun to arrive.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial
            .as_ref()
            .is_none_or(|partial| partial.is_settled())
    }

    /// Gives back what the previous call handed out.
    fn release(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.held = None;
            if partial.is_settled() {
                self.partial = None;
            }
        }
    }

    fn fail(&mut self, error: ProtocolError) {
        self.partial = None;
        self.state = State::Failed(error);
    }

    /// Takes `input` up to the end of the first frame that completes something.
    fn advance(
        &mut self,
        limits: &Limits,
        deflates: bool,
        input: &mut [u8],
    ) -> Result<(usize, Option<Ready>), ProtocolError> {
        let mut at = 0;
        while at < input.len() {
            let begun = self
                .partial
                .as_mut()
                .and_then(|partial| partial.frame.take());
            let frame = match begun {
                Some(frame) => frame,
                None => match self.take_header(deflates, input, &mut at)? {
                    Some(header) => self.admit(limits, &header)?,
                    None => break,
                },
            };
            if let Some(ready) = self.take_payload(frame, input, &mut at)? {
                return Ok((at, Some(ready)));
            }
        }
        Ok((at, None))
    }

    /// Parses in place when the header is there; keeps its first bytes otherwise.
    fn take_header(
        &mut self,
        deflates: bool,
        input: &[u8],
        at: &mut usize,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        if self
            .partial
            .as_ref()
            .is_none_or(|partial| partial.header_len == 0)
            && let Some((header, size)) = FrameHeader::parse(self.role, deflates, &input[*at..])?
        {
            *at += size;
            return Ok(Some(header));
        }
        let partial = self.partial.get_or_insert_default();
        for &byte in &input[*at..] {
            *at += 1;
            partial.push_header(byte);
            if let Some((header, _)) = FrameHeader::parse(self.role, deflates, partial.header())? {
                partial.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Decides by its header alone whether a frame may come now and may be this large.
    fn admit(&mut self, limits: &Limits, header: &FrameHeader) -> Result<Frame, ProtocolError> {
        let length =
            usize::try_from(header.payload_len).map_err(|_| ProtocolError::MessageTooBig)?;
        let partial = self.partial.as_mut();
        if header.opcode.is_control() {
            if header.opcode == Opcode::Close
                && let Some(partial) = partial
            {
                // Nothing follows a close, so what it interrupts will never be whole.
                partial.message = None;
            }
            return Ok(Frame::new(header, length, length));
        }
        let size_before = match partial.and_then(|partial| partial.message.as_mut()) {
            Some(message) if header.opcode == Opcode::Continuation => {
                message.begin_fragment(limits.fragments_max)?;
                message.len()
            }
            Some(_) => return Err(ProtocolError::MessageInterrupted),
            None if header.opcode == Opcode::Continuation => {
                return Err(ProtocolError::ContinuationWithoutStart);
            }
            None => 0,
        };
        let size = size_before
            .checked_add(length)
            .filter(|&size| size <= limits.message_bytes_max)
            .ok_or(ProtocolError::MessageTooBig)?;
        let size_max = if header.fin {
            size
        } else {
            limits.message_bytes_max
        };
        Ok(Frame::new(header, length, size_max))
    }

    /// Takes what has arrived of a frame's payload.
    fn take_payload(
        &mut self,
        mut frame: Frame,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Ready>, ProtocolError> {
        let start = *at;
        let arrived = frame.remaining.min(input.len() - start);
        *at += arrived;
        let payload = &mut input[start..*at];
        if let Some(key) = &mut frame.key {
            mask::apply(key, payload);
        }
        if arrived == frame.length && frame.stands_alone() {
            // Lets go of the space its header may have waited in.
            self.release();
            return Ok(Some(if frame.deflated {
                Ready::DeflatedInInput(frame.opcode, start..*at)
            } else {
                Ready::InInput(frame.opcode, start..*at)
            }));
        }
        frame.remaining -= arrived;
        let complete = frame.remaining == 0;
        let partial = self.partial.get_or_insert_default();
        if frame.opcode.is_control() {
            frame.control.reserve_exact(frame.remaining + arrived);
            frame.control.extend_from_slice(payload);
            if complete {
                return Ok(Some(Ready::Held(Held::Bytes(frame.opcode, frame.control))));
            }
        } else if arrived > 0 || complete {
            let message = partial
                .message
                .get_or_insert_with(|| PartialMessage::new(frame.opcode, frame.deflated));
            message.push(payload, frame.size_max)?;
            if complete && frame.fin {
                let message = partial.message.take();
                return message
                    .map(|message| message.finish().map(Ready::Held))
                    .transpose();
            }
        }
        if !complete {
            partial.frame = Some(frame);
        }
        Ok(None)
    }
}

impl fmt::Debug for Reader {
    /// Without the payload: what users send has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

/// What an idle connection does not have.
#[derive(Default)]
struct Partial {
    /// The first bytes of a header that is not complete.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The message it belongs to, or, between its fragments, the message to be continued.
    message: Option<PartialMessage>,
    /// What the last call handed out.
    held: Option<Held>,
}

impl Partial {
    /// Never past the end: fourteen bytes are always a whole header or an error.
    fn push_header(&mut self, byte: u8) {
        self.header[usize::from(self.header_len)] = byte;
        self.header_len += 1;
    }

    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    fn is_settled(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn capacity(&self) -> usize {
        usize::from(self.header_len)
            + self
                .frame
                .as_ref()
                .map_or(0, |frame| frame.control.capacity())
            + self.message.as_ref().map_or(0, PartialMessage::capacity)
            + self.held.as_ref().map_or(0, Held::capacity)
    }
}

/// An admitted frame whose payload is arriving.
struct Frame {
    opcode: Opcode,
    fin: bool,
    deflated: bool,
    /// Turned to fit the next byte.
    key: Option<[u8; 4]>,
    length: usize,
    remaining: usize,
    /// The most bytes its message can still become.
    size_max: usize,
    /// Payload of a control frame. It has its own place because it may come between the fragments of
    /// a message.
    control: Vec<u8>,
}

impl Frame {
    fn new(header: &FrameHeader, length: usize, size_max: usize) -> Self {
        Self {
            opcode: header.opcode,
            fin: header.fin,
            deflated: header.deflated,
            key: header.key,
            length,
            remaining: length,
            size_max,
            control: Vec::new(),
        }
    }

    /// Whether it is all there is of its message.
    fn stands_alone(&self) -> bool {
        self.fin && self.opcode != Opcode::Continuation
    }
}
