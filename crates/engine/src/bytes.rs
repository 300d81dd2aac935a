//! How numbers, texts, payloads and who somebody is are spelled wherever bytes are our own: in the
//! log, in messages between nodes, in what brokers elsewhere keep.
//!
//! Numbers are varints (seven bits a byte, the lowest first, no byte more than needed), texts and
//! payloads a length and bytes. What such fields mean together, and in which version, is the business
//! of whoever puts them there.

use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, Payload, Publication, Tags, UserId};

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Appends a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends a number of either sign, so that small ones are short.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, (number << 1 ^ number >> 63).cast_unsigned());
}

/// Appends a length and bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends whether there is a value, and the value.
pub fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// Appends a length and what `put` appends: whoever reads it passes over what a later version adds.
pub fn put_framed(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let mut framed = Vec::new();
    put(&mut framed);
    put_bytes(out, &framed);
}

/// Appends who somebody is: user, client, info of the connection and of the channel, framed.
pub fn put_client_info(out: &mut Vec<u8>, info: &ClientInfo) {
    put_framed(out, |out| {
        put_bytes(out, info.user.as_str().as_bytes());
        out.extend(info.client.to_bytes());
        put_option(out, info.conn_info.as_deref(), put_bytes);
        put_option(out, info.chan_info.as_deref(), put_bytes);
    });
}

/// The shortest that [`put_client_info`] appends.
pub const CLIENT_INFO_BYTES_MIN: usize = 20;

/// Appends a publication without its offset.
pub fn put_publication(
    out: &mut Vec<u8>,
    data: &[u8],
    info: Option<&ClientInfo>,
    tags: Option<&Tags>,
) {
    put_bytes(out, data);
    put_option(out, info, put_client_info);
    put_option(out, tags, |out, tags| {
        put_number(out, tags.len() as u64);
        for (name, value) in tags {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    });
}

/// Reads fields one after the other. What fails has taken something, so that nothing more can be
/// read.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// So many bytes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A number.
    ///
    /// # Errors
    /// It is cut off, too large, or spelled with more bytes than needed.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte < 0x80 {
                // A last byte without bits would be a second spelling of the same number.
                return if bits == 0 && shift > 0 {
                    Err(Malformed)
                } else {
                    Ok(number)
                };
            }
        }
        Err(Malformed)
    }

    /// A number of either sign.
    ///
    /// # Errors
    /// As [`Reader::number`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A number that memory can have so many bytes of.
    ///
    /// # Errors
    /// As [`Reader::number`].
    pub fn size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// A length and bytes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.take(length)
    }

    /// A length and a text.
    ///
    /// # Errors
    /// There is not so much, or it is no UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Whether something is so.
    ///
    /// # Errors
    /// There is nothing.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        self.byte().map(|byte| byte != 0)
    }

    /// A value, if there is one.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        Ok(if self.flag()? {
            Some(read(self)?)
        } else {
            None
        })
    }

    /// How many things of at least so many bytes follow: never more than there are bytes for, so
    /// that room may be made for them.
    ///
    /// # Errors
    /// There are not so many bytes.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let count = self.size()?;
        if count > self.0.len() / bytes_min {
            return Err(Malformed);
        }
        Ok(count)
    }

    /// A length and a payload.
    ///
    /// # Errors
    /// There is not so much.
    pub fn payload(&mut self) -> Result<Payload, Malformed> {
        self.bytes().map(Into::into)
    }

    /// What [`put_client_info`] appends.
    ///
    /// # Errors
    /// It is something else.
    pub fn client_info(&mut self) -> Result<ClientInfo, Malformed> {
        let mut framed = Self(self.bytes()?);
        Ok(ClientInfo {
            user: UserId::new(framed.text()?),
            client: ClientId::from_bytes(framed.array()?),
            conn_info: framed.option(Self::payload)?,
            chan_info: framed.option(Self::payload)?,
        })
    }

    /// What [`put_publication`] appends, with its offset.
    ///
    /// # Errors
    /// It is something else.
    pub fn publication(&mut self, offset: u64) -> Result<Publication, Malformed> {
        Ok(Publication {
            offset,
            data: self.payload()?,
            info: self.option(Self::client_info)?.map(Arc::new),
            tags: self.option(Self::tags)?.map(Box::new),
        })
    }

    fn tags(&mut self) -> Result<Tags, Malformed> {
        (0..self.count(2)?)
            .map(|_| Ok((self.text()?.to_owned(), self.text()?.to_owned())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(Reader::new(&bytes).number(), Ok(number));
        }
        for number in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(Reader::new(&bytes).signed(), Ok(number));
        }
    }

    #[test]
    fn numbers_that_are_too_large_and_lists_without_their_bytes_are_malformed() {
        assert_eq!(Reader::new(&[0xff; 10]).number(), Err(Malformed));
        assert_eq!(Reader::new(&[0x80]).number(), Err(Malformed));
        assert_eq!(
            Reader::new(&[0x80, 0]).number(),
            Err(Malformed),
            "longer than needed"
        );
        assert_eq!(Reader::new(&[5, 1, 2]).bytes(), Err(Malformed));
        let mut most = Vec::new();
        put_number(&mut most, u64::MAX);
        assert_eq!(Reader::new(&most).count(1), Err(Malformed));
    }
}
