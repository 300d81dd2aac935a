//! What Redis answers: RESP2, read as it comes in.
//!
//! It knows the bytes and nothing of what was asked. RESP3 would add types that nothing here needs:
//! subscriptions have a line of their own, on which RESP2 tells messages apart by their first word.

use bytes::{Buf, Bytes, BytesMut};

/// The longest answer that is read. What is asked for is bounded much below this.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lists in lists. `CLUSTER SLOTS` has the deepest that is asked for.
const DEPTH_MAX: usize = 8;

/// The longest line that is not a payload: an error's text, a number.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// Nothing: no such key, no such field.
    Nil,
    /// A number.
    Integer(i64),
    /// A word: `OK`, `PONG`.
    Status(Bytes),
    /// A refusal. Its first word says which.
    Error(Bytes),
    /// Any bytes. They share memory with what else came in at the same time.
    Bulk(Bytes),
    /// Several.
    List(Vec<Reply>),
}

/// It is not RESP2, or longer than anything that was asked for: the line cannot be read any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unreadable;

impl Reply {
    /// Takes one answer from the front of `input`; `None`, and nothing is taken, until it is whole.
    pub(super) fn take(input: &mut BytesMut) -> Result<Option<Self>, Unreadable> {
        let Some(len) = measure(input, 0, 0)? else {
            if input.len() > REPLY_BYTES_MAX {
                return Err(Unreadable);
            }
            return Ok(None);
        };
        let mut whole = input.split_to(len).freeze();
        Ok(Some(build(&mut whole)?))
    }

    /// The number, also where it came as text.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bulk(bytes) | Self::Status(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The bytes, where they are UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The list.
    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(all) => Some(all),
            _ => None,
        }
    }
}

/// The length of the answer at `at`, once it is whole.
fn measure(input: &[u8], at: usize, depth: usize) -> Result<Option<usize>, Unreadable> {
    if depth > DEPTH_MAX {
        return Err(Unreadable);
    }
    let Some((kind, line, mut end)) = line(input, at)? else {
        return Ok(None);
    };
    match kind {
        b'+' | b'-' => Ok(Some(end)),
        b':' => number(line).map(|_| Some(end)),
        b'$' => {
            let Some(len) = length(line)? else {
                return Ok(Some(end));
            };
            let whole = end + len + 2;
            if input.len() < whole {
                return Ok(None);
            }
            match &input[whole - 2..whole] {
                b"\r\n" => Ok(Some(whole)),
                _ => Err(Unreadable),
            }
        }
        b'*' => {
            for _ in 0..length(line)?.unwrap_or(0) {
                match measure(input, end, depth + 1)? {
                    Some(next) => end = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(end))
        }
        _ => Err(Unreadable),
    }
}

/// Kind and rest of the line that begins at `at`, and where the next one begins.
type Line<'a> = (u8, &'a [u8], usize);

fn line(input: &[u8], at: usize) -> Result<Option<Line<'_>>, Unreadable> {
    let rest = &input[at..];
    match memchr::memchr(b'\n', rest) {
        Some(end) if end >= 2 && rest[end - 1] == b'\r' => {
            Ok(Some((rest[0], &rest[1..end - 1], at + end + 1)))
        }
        None if rest.len() <= LINE_BYTES_MAX => Ok(None),
        _ => Err(Unreadable),
    }
}

/// Takes the answer at the front, which [`measure`] found whole.
fn build(input: &mut Bytes) -> Result<Reply, Unreadable> {
    let Some((kind, rest, end)) = line(input, 0)? else {
        return Err(Unreadable);
    };
    let (rest_end, number_here) = (1 + rest.len(), number(rest));
    let word = |input: &Bytes| input.slice(1..rest_end);
    match kind {
        b'+' | b'-' => {
            let word = word(input);
            input.advance(end);
            Ok(if kind == b'+' {
                Reply::Status(word)
            } else {
                Reply::Error(word)
            })
        }
        b':' => {
            input.advance(end);
            Ok(Reply::Integer(number_here?))
        }
        b'$' | b'*' => {
            let len = length(rest)?;
            input.advance(end);
            match len {
                None => Ok(Reply::Nil),
                Some(len) if kind == b'$' => {
                    let bytes = input.split_to(len);
                    input.advance(2);
                    Ok(Reply::Bulk(bytes))
                }
                Some(len) => {
                    // Each takes four bytes at least, so that what is reserved has come.
                    let mut all = Vec::with_capacity(len.min(input.len() / 4 + 1));
                    for _ in 0..len {
                        all.push(build(input)?);
                    }
                    Ok(Reply::List(all))
                }
            }
        }
        _ => Err(Unreadable),
    }
}

fn number(line: &[u8]) -> Result<i64, Unreadable> {
    let text = std::str::from_utf8(line).map_err(|_| Unreadable)?;
    text.parse().map_err(|_| Unreadable)
}

/// A length; `None` for the one of nothing.
fn length(line: &[u8]) -> Result<Option<usize>, Unreadable> {
    match number(line)? {
        -1 => Ok(None),
        len => usize::try_from(len)
            .ok()
            .filter(|len| *len <= REPLY_BYTES_MAX)
            .map(Some)
            .ok_or(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(input: &[u8]) -> Result<Option<Reply>, Unreadable> {
        Reply::take(&mut BytesMut::from(input))
    }

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn every_kind_is_read() {
        for (input, reply) in [
            ("+OK\r\n", Reply::Status(Bytes::from_static(b"OK"))),
            ("-ERR no\r\n", Reply::Error(Bytes::from_static(b"ERR no"))),
            (":-7\r\n", Reply::Integer(-7)),
            ("$2\r\n\r\n\r\n", bulk("\r\n")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("*0\r\n", Reply::List(vec![])),
            (
                "*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
                Reply::List(vec![Reply::List(vec![Reply::Integer(1)]), bulk("a")]),
            ),
        ] {
            assert_eq!(taken(input.as_bytes()), Ok(Some(reply)), "{input:?}");
        }
    }

    #[test]
    fn an_answer_in_pieces_is_taken_when_it_is_whole() {
        let whole = b"*2\r\n$3\r\nabc\r\n:12\r\n+OK\r\n";
        let first = whole.len() - 5;
        for end in 0..first {
            assert_eq!(taken(&whole[..end]), Ok(None), "{end}");
        }
        let mut input = BytesMut::from(&whole[..]);
        assert!(matches!(Reply::take(&mut input), Ok(Some(Reply::List(_)))));
        assert_eq!(&input[..], b"+OK\r\n");
    }

    #[test]
    fn what_is_no_answer_is_unreadable() {
        for input in [
            &b"HTTP/1.1 400\r\n"[..],
            b"$-2\r\n",
            b"$99999999999\r\n",
            b":x\r\n",
            b"+OK\n",
            b"$1\r\nabc",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert_eq!(taken(input), Err(Unreadable), "{input:?}");
        }
        assert_eq!(taken(&[b'x'; LINE_BYTES_MAX + 1]), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = taken(&input);
        }

        #[test]
        fn near_misses_never_panic(input in "[*$:+\\-0-9\r\n]{0,60}") {
            let _ = taken(input.as_bytes());
        }
    }
}
