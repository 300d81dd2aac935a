//! From a difference to the payload: what clients do. Here for tests, and for clients of ours.

use super::{DIGITS, checksum};

/// Why something is not a difference to this payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeltaError {
    /// The result would be longer than is allowed.
    TooLong,
    /// A number is missing, or does not fit into 32 bits.
    BadNumber,
    /// An operator is none of the format.
    UnknownOperator,
    /// It ends before it is complete.
    Unterminated,
    /// Something follows its end.
    Trailing,
    /// It copies what the source does not have.
    OutsideSource,
    /// The result is not as long as announced.
    WrongLength,
    /// The result is not what the difference was made for, most likely since the source is not.
    WrongChecksum,
}

impl std::fmt::Display for DeltaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "result of the delta is too long",
            Self::BadNumber => "bad number in the delta",
            Self::UnknownOperator => "unknown operator in the delta",
            Self::Unterminated => "delta without an end",
            Self::Trailing => "bytes behind the end of the delta",
            Self::OutsideSource => "delta copies from outside of the source",
            Self::WrongLength => "result of the delta has the wrong length",
            Self::WrongChecksum => "result of the delta has the wrong checksum",
        })
    }
}

impl std::error::Error for DeltaError {}

/// Makes of `source` what `delta` was made for, if that has at most `target_bytes_max` bytes.
///
/// # Errors
/// `delta` is malformed, or was made for another source.
pub fn apply(source: &[u8], delta: &[u8], target_bytes_max: usize) -> Result<Vec<u8>, DeltaError> {
    let mut reader = Reader(delta);
    let length = reader.number()?;
    if reader.byte()? != b'\n' {
        return Err(DeltaError::UnknownOperator);
    }
    if length > target_bytes_max {
        return Err(DeltaError::TooLong);
    }
    let mut target = Vec::with_capacity(length);
    loop {
        let number = reader.number()?;
        let piece = match reader.byte()? {
            b'@' => {
                let offset = reader.number()?;
                if reader.byte()? != b',' {
                    return Err(DeltaError::UnknownOperator);
                }
                let piece = source.get(offset..).and_then(|rest| rest.get(..number));
                piece.ok_or(DeltaError::OutsideSource)?
            }
            b':' => reader.bytes(number)?,
            b';' => return end(&reader, target, length, number),
            _ => return Err(DeltaError::UnknownOperator),
        };
        if piece.len() > length - target.len() {
            return Err(DeltaError::WrongLength);
        }
        target.extend_from_slice(piece);
    }
}

fn end(
    reader: &Reader<'_>,
    target: Vec<u8>,
    length: usize,
    sum: usize,
) -> Result<Vec<u8>, DeltaError> {
    if !reader.0.is_empty() {
        Err(DeltaError::Trailing)
    } else if target.len() != length {
        Err(DeltaError::WrongLength)
    } else if checksum(&target) as usize != sum {
        Err(DeltaError::WrongChecksum)
    } else {
        Ok(target)
    }
}

/// What is still to be read of a difference.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DeltaError> {
        let (bytes, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(DeltaError::Unterminated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, DeltaError> {
        Ok(self.bytes(1)?[0])
    }

    fn number(&mut self) -> Result<usize, DeltaError> {
        let value_of = |digit: &u8| DIGITS.iter().position(|known| known == digit);
        let count = self.0.iter().take_while(|b| value_of(b).is_some()).count();
        let digits = self.bytes(count)?;
        if digits.is_empty() && self.0.is_empty() {
            return Err(DeltaError::Unterminated);
        }
        let number = digits
            .iter()
            .filter_map(value_of)
            .try_fold(0_u32, |number, digit| {
                number
                    .checked_mul(64)?
                    .checked_add(u32::try_from(digit).ok()?)
            });
        let number = number.filter(|_| !digits.is_empty());
        number
            .map(|number| number as usize)
            .ok_or(DeltaError::BadNumber)
    }
}
