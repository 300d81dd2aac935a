//! Encodings of the messages, one module each. Nothing outside them knows how a message is spelled.

pub mod json;
pub mod protobuf;

/// A frame that is not a sequence of well-formed commands; the session ends with 3501.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The frame holds no command at all.
    Empty,
    /// The bytes are not of the encoding, or a value has the wrong type.
    Malformed,
    /// The command asks nothing that can be answered.
    UnknownCommand,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "frame without a command",
            Self::Malformed => "malformed command",
            Self::UnknownCommand => "unknown command",
        })
    }
}

impl std::error::Error for DecodeError {}

/// A payload that this encoding cannot carry; the session ends with 3506.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InappropriatePayload;

impl std::fmt::Display for InappropriatePayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("payload cannot be carried by the encoding")
    }
}

impl std::error::Error for InappropriatePayload {}
