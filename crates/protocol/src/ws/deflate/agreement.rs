//! `Sec-WebSocket-Extensions` of a client (RFC 6455 section 9.1, RFC 7692 section 7.1): which of its
//! offers is accepted, and the answer. Where the header came from is the transport's business.

use std::fmt;

const NAME: &str = "permessage-deflate";

/// How far back the server's compressed messages refer.
///
/// Two are enough: the largest, and one that suits every client that asked for less, since a server
/// may answer with a smaller window than the one asked for (RFC 7692 section 7.1.2.1). More would only
/// divide the clients who can share a compressed message. The client's own window is never limited,
/// since one inflater serves all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Window {
    /// 32 KiB.
    Full,
    /// 512 bytes. The RFC knows 256 too, which zlib cannot do: who insists on it is served plainly.
    Small,
}

impl Window {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// A place of its own, below [`COUNT`](Self::COUNT).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The base-2 logarithm of its size in bytes.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Full => 15,
            Self::Small => 9,
        }
    }

    /// The value of `Sec-WebSocket-Extensions` that accepts the offer.
    #[must_use]
    pub const fn response(self) -> &'static str {
        match self {
            Self::Full => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
            Self::Small => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=9"
            }
        }
    }
}

/// A header that is no list of extensions. The handshake has to fail (RFC 6455 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedExtensions;

impl fmt::Display for MalformedExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed list of websocket extensions")
    }
}

impl std::error::Error for MalformedExtensions {}

/// Goes through the values of all `Sec-WebSocket-Extensions` headers, in order, and accepts the first
/// offer of permessage-deflate that can be kept; `None` without one. Other extensions, and offers with
/// a parameter that is unknown, repeated or out of range, are declined by not being answered.
///
/// # Errors
///
/// If a value does not follow the grammar, also behind an offer that would do.
pub fn agree<'a>(
    headers: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Window>, MalformedExtensions> {
    let mut agreed = None;
    for header in headers {
        let mut list = Scanner(header);
        loop {
            list.skip_space();
            // Empty elements of a list mean nothing (RFC 9110 section 5.6.1).
            if !list.at_end() && !list.is_next(b',') {
                let offered = extension(&mut list)?;
                agreed = agreed.or(offered);
            }
            if list.at_end() {
                break;
            }
            list.expect(b',')?;
        }
    }
    Ok(agreed)
}

/// One element of the list; the window if it is an offer to accept.
fn extension(list: &mut Scanner<'_>) -> Result<Option<Window>, MalformedExtensions> {
    let mut offer = list
        .token()?
        .eq_ignore_ascii_case(NAME.as_bytes())
        .then(Offer::default);
    loop {
        list.skip_space();
        if !list.take(b';') {
            return Ok(offer.map(|offer| offer.window()));
        }
        list.skip_space();
        let name = list.token()?;
        list.skip_space();
        let value = if list.take(b'=') {
            list.skip_space();
            Some(list.value()?)
        } else {
            None
        };
        offer = offer.and_then(|offer| offer.with(name, value.as_deref()));
    }
}

/// The parameters seen so far (RFC 7692 section 7.1).
#[derive(Default)]
struct Offer {
    server_takes_nothing_over: bool,
    client_takes_nothing_over: bool,
    server_bits: Option<u8>,
    client_has_bits: bool,
}

impl Offer {
    /// `None` if the parameter makes the offer one to decline.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let is_first = match (name, value) {
            (b"server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_takes_nothing_over, true)
            }
            (b"client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_takes_nothing_over, true)
            }
            (b"server_max_window_bits", Some(value)) => {
                let bits = window_bits(value).filter(|&bits| bits >= Window::Small.bits())?;
                self.server_bits.replace(bits).is_none()
            }
            (b"client_max_window_bits", value) => {
                if let Some(value) = value {
                    window_bits(value)?;
                }
                !std::mem::replace(&mut self.client_has_bits, true)
            }
            _ => false,
        };
        is_first.then_some(self)
    }

    fn window(&self) -> Window {
        match self.server_bits {
            Some(bits) if bits < Window::Full.bits() => Window::Small,
            _ => Window::Full,
        }
    }
}

/// 8 to 15 in decimal, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a header's value.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    fn at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn is_next(&self, byte: u8) -> bool {
        self.0.first() == Some(&byte)
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.is_next(byte);
        if is_next {
            self.0 = &self.0[1..];
        }
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), MalformedExtensions> {
        self.take(byte).then_some(()).ok_or(MalformedExtensions)
    }

    fn token(&mut self) -> Result<&'a [u8], MalformedExtensions> {
        let end = self.0.iter().take_while(|&&byte| is_token(byte)).count();
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() {
            Err(MalformedExtensions)
        } else {
            Ok(token)
        }
    }

    /// A token, or a quoted string that is a token without its quotes and escapes.
    fn value(&mut self) -> Result<Vec<u8>, MalformedExtensions> {
        if !self.take(b'"') {
            return self.token().map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first().ok_or(MalformedExtensions)?;
            self.0 = rest;
            let byte = match byte {
                b'"' if !value.is_empty() => return Ok(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first().ok_or(MalformedExtensions)?;
                    self.0 = rest;
                    escaped
                }
                byte => byte,
            };
            if !is_token(byte) {
                return Err(MalformedExtensions);
            }
            value.push(byte);
        }
    }
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;
