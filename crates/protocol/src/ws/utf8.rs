//! Text that arrives in pieces: checked as it comes, so that a bad byte is refused when it arrives
//! and not when the message ends (RFC 6455 section 8.1). It knows no frames and sets no limits.

use super::ProtocolError;

/// A growing text. Checked bytes are kept as a `String`, so delivery needs no second look at them.
#[derive(Default)]
pub(super) struct PartialText {
    checked: String,
    /// The first bytes of a character whose rest has not arrived: at most three, and one more while
    /// it is being completed.
    split: [u8; 4],
    split_len: u8,
}

impl PartialText {
    /// Appends bytes that may begin and end within a character.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while self.split_len > 0
            && let Some((&byte, rest)) = bytes.split_first()
        {
            self.push_split(byte)?;
            bytes = rest;
        }
        match str::from_utf8(bytes) {
            Ok(text) => self.checked.push_str(text),
            Err(error) if error.error_len().is_some() => return Err(ProtocolError::InvalidUtf8),
            Err(error) => {
                let (whole, split) = bytes.split_at(error.valid_up_to());
                self.push_whole(whole)?;
                for &byte in split {
                    self.push_split(byte)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at `bytes` a second time, which only a piece that ends within a character costs.
    fn push_whole(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let text = str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8)?;
        self.checked.push_str(text);
        Ok(())
    }

    fn push_split(&mut self, byte: u8) -> Result<(), ProtocolError> {
        let len = usize::from(self.split_len);
        self.split[len] = byte;
        match str::from_utf8(&self.split[..=len]) {
            Ok(character) => {
                self.checked.push_str(character);
                self.split_len = 0;
            }
            // Never the fourth byte: four bytes are a character or wrong.
            Err(error) if error.error_len().is_none() => self.split_len += 1,
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }

    /// The text, unless it ends within a character.
    pub(super) fn finish(self) -> Result<String, ProtocolError> {
        if self.split_len == 0 {
            Ok(self.checked)
        } else {
            Err(ProtocolError::InvalidUtf8)
        }
    }

    /// Bytes pushed so far.
    pub(super) fn len(&self) -> usize {
        self.checked.len() + usize::from(self.split_len)
    }

    pub(super) fn capacity(&self) -> usize {
        self.checked.capacity()
    }

    /// Sees to room for `capacity` bytes, and not for more.
    pub(super) fn reserve_to(&mut self, capacity: usize) {
        self.checked
            .reserve_exact(capacity.saturating_sub(self.checked.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
        let mut text = PartialText::default();
        for piece in pieces {
            text.push(piece).ok()?;
        }
        text.finish().ok()
    }

    #[test]
    fn wrong_byte_is_refused_when_it_arrives() {
        // Begins above U+10FFFF, overlong, a surrogate, a byte that never occurs.
        let wrong: [&[u8]; 4] = [&[0xF4, 0x90], &[0xE0, 0x9F], &[0xED, 0xA0], &[b'a', 0xFF]];
        for bytes in wrong {
            let (last, start) = bytes.split_last().unwrap();
            let mut text = PartialText::default();
            text.push(start).unwrap();
            assert_eq!(text.push(&[*last]), Err(ProtocolError::InvalidUtf8));
        }
    }

    #[test]
    fn text_that_ends_within_a_character_does_not_finish() {
        assert_eq!(read_in_pieces(["€".as_bytes()]).as_deref(), Some("€"));
        assert_eq!(read_in_pieces([&"€".as_bytes()[..2]]), None);
    }

    /// Mostly text, with a byte changed now and then.
    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        (
            ".{0,40}",
            prop::option::weighted(0.3, any::<(prop::sample::Index, u8)>()),
        )
            .prop_map(|(text, change)| {
                let mut bytes = text.into_bytes();
                if let Some((at, byte)) = change.filter(|_| !bytes.is_empty()) {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            })
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_verdict_of_the_whole(bytes in nearly_text(), size in 1_usize..9) {
            let expected = String::from_utf8(bytes.clone()).ok();
            prop_assert_eq!(read_in_pieces(bytes.chunks(size)), expected);
        }
    }
}
