//! Why a peer's frames were refused, and the close code that says so.

use std::fmt;

/// A violation of RFC 6455 or of the reader's [`Limits`](super::Limits). It is final for the
/// connection: send a close frame with [`close_code`](Self::close_code) and this error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An RSV bit is set that no negotiated extension defines (section 5.2), or RSV1 on another frame
    /// than the first of a message (RFC 7692 section 6.1).
    ReservedBits,
    /// Opcodes 3–7 and 11–15 are reserved (section 5.2).
    UnknownOpcode,
    /// A control frame without FIN (section 5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (section 5.5).
    ControlTooLong,
    /// A payload length in more bytes than it needs (section 5.2).
    LengthNotMinimal,
    /// A 64 bit payload length with its highest bit set (section 5.2).
    LengthOutOfRange,
    /// A client's frame without a mask (section 5.1).
    NotMasked,
    /// A server's frame with a mask (section 5.1).
    Masked,
    /// A continuation frame where no message was begun (section 5.4).
    ContinuationWithoutStart,
    /// A new message before the last fragment of the previous one (section 5.4).
    MessageInterrupted,
    /// A close frame with a payload of one byte (section 5.5.1).
    CloseTooShort,
    /// A close code that may not be sent (section 7.4).
    CloseCode,
    /// Text or a close reason that is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message that no compressor made (RFC 7692 section 7.2.2).
    NotDeflate,
    /// More than [`Limits::message_bytes_max`](super::Limits::message_bytes_max).
    MessageTooBig,
    /// A compressed message that becomes more than
    /// [`Limits::inflated_bytes_max`](super::Limits::inflated_bytes_max).
    InflatedTooBig,
    /// More than [`Limits::fragments_max`](super::Limits::fragments_max).
    TooManyFragments,
}

impl ProtocolError {
    /// The status code for the close frame (RFC 6455 section 7.4.1): 1002, 1007 or 1009. RFC 7692 names
    /// none for a message that cannot be inflated; it is a payload that is not what its frame says,
    /// like text that is not UTF-8.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::NotDeflate => 1007,
            Self::MessageTooBig | Self::InflatedTooBig | Self::TooManyFragments => 1009,
            _ => 1002,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::UnknownOpcode => "unknown opcode",
            Self::FragmentedControl => "fragmented control frame",
            Self::ControlTooLong => "control frame longer than 125 bytes",
            Self::LengthNotMinimal => "payload length not minimal",
            Self::LengthOutOfRange => "payload length out of range",
            Self::NotMasked => "client frame not masked",
            Self::Masked => "server frame masked",
            Self::ContinuationWithoutStart => "continuation without a message",
            Self::MessageInterrupted => "message interrupted by another",
            Self::CloseTooShort => "close payload of one byte",
            Self::CloseCode => "invalid close code",
            Self::InvalidUtf8 => "invalid utf-8",
            Self::NotDeflate => "invalid compressed message",
            Self::MessageTooBig => "message too big",
            Self::InflatedTooBig => "message too big when inflated",
            Self::TooManyFragments => "too many fragments",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}
