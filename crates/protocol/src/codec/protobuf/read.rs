//! The Protobuf wire format, reading: keys, varints and lengths. It refuses to know any message.
//!
//! Nothing is allocated here and every length is checked against what is there, so that a value can
//! never be larger than the frame it came in.

use crate::codec::DecodeError;

/// What a field holds, as far as the wire tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value<'a> {
    /// Any number or truth value that is not of a fixed width.
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes. No message of the protocol has one, so none is looked into.
    Fixed,
}

impl<'a> Value<'a> {
    /// An unsigned number.
    pub(super) const fn u64(self) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(DecodeError::Malformed),
        }
    }

    pub(super) fn i64(self) -> Result<i64, DecodeError> {
        self.u64().map(u64::cast_signed)
    }

    /// The lower half of a number, as every Protobuf reader takes one that is too large.
    pub(super) fn u32(self) -> Result<u32, DecodeError> {
        #[expect(clippy::cast_possible_truncation, reason = "the upper half goes")]
        self.u64().map(|number| number as u32)
    }

    /// Likewise; a negative number comes with ten bytes, whose upper half repeats its sign.
    pub(super) fn i32(self) -> Result<i32, DecodeError> {
        self.u32().map(u32::cast_signed)
    }

    pub(super) fn bool(self) -> Result<bool, DecodeError> {
        self.u64().map(|number| number != 0)
    }

    pub(super) const fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Malformed),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Malformed)
    }
}

/// Calls `field` with the number and value of each field of `message`, in the order of the bytes.
pub(super) fn fields<'a>(
    mut message: &'a [u8],
    mut field: impl FnMut(u32, Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        // Keys have 32 bits, three of which are the type.
        let number = u32::try_from(key).map_err(|_| DecodeError::Malformed)? >> 3;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut message)?),
            1 => fixed(&mut message, 8)?,
            2 => Value::Bytes(delimited(&mut message)?),
            5 => fixed(&mut message, 4)?,
            // Groups went away with the second version of Protobuf; no client has any to send.
            _ => return Err(DecodeError::Malformed),
        };
        if number == 0 {
            return Err(DecodeError::Malformed);
        }
        field(number, value)?;
    }
    Ok(())
}

/// Takes as many bytes as the length in front of them says.
pub(super) fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = varint(bytes)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
    take(bytes, length)
}

fn fixed<'a>(bytes: &mut &'a [u8], length: usize) -> Result<Value<'a>, DecodeError> {
    take(bytes, length).map(|_| Value::Fixed)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or(DecodeError::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// Takes a number: seven bits a byte, the lowest first, all but the last with the highest bit set.
fn varint(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(DecodeError::Malformed)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if bits << shift >> shift != bits {
            return Err(DecodeError::Malformed);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, DecodeError> {
        let mut all = Vec::new();
        fields(message, |number, value| {
            all.push((number, value));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn fields_come_in_the_order_of_the_bytes() {
        let message = b"\x08\x96\x01\x12\x02hi\x19abcdefgh\x25abcd\xf8\xff\xff\xff\x0f\x00";
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed),
            (4, Value::Fixed),
            ((1 << 29) - 1, Value::Varint(0)),
        ];
        assert_eq!(all(message), Ok(expected));
    }

    #[test]
    fn numbers_have_up_to_64_bits() {
        let largest = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(all(largest), Ok(vec![(1, Value::Varint(u64::MAX))]));
        assert_eq!(Value::Varint(u64::MAX).i64(), Ok(-1));
        assert_eq!(Value::Varint(u64::MAX).i32(), Ok(-1));
        assert_eq!(Value::Varint(1 << 32 | 5).u32(), Ok(5));
        // Not the shortest way to say 1, but a legal one.
        assert_eq!(all(b"\x08\x81\x80\x00"), Ok(vec![(1, Value::Varint(1))]));
    }

    #[test]
    fn bytes_that_are_no_fields_are_refused() {
        for message in [
            &b"\x08"[..],
            b"\x88",
            b"\x08\x80",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
            b"\x12\x03hi",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01hi",
            b"\x19abcdefg",
            b"\x25abc",
            b"\x00\x00",
            b"\x0b\x0c",
            b"\x0e\x00",
            b"\x88\x80\x80\x80\x10\x00",
        ] {
            assert_eq!(all(message), Err(DecodeError::Malformed), "{message:?}");
        }
    }
}
