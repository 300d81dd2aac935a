//! What a client's HTTP request said that somebody wants to know: a few headers, by name.
//!
//! It owns how they are kept: as bytes in one piece, since a connection may keep them as long as it
//! lives. It refuses to know which headers are wanted; whoever fills it has a list.

use std::fmt;

use crate::limits::HEADERS_BYTES_MAX;

/// The lengths of the name and of the value, in front of both.
const LENGTHS_BYTES: usize = 4;

/// Headers of one connection: those of its HTTP request, and those that the client emulates by
/// naming them in its connect command.
///
/// Both may say something under the same name, and then the real one counts. They are kept apart
/// all the same: a proxy in front may vouch for a header, and what a client names so is no more
/// than its own word.
///
/// The values are the client's secrets more often than not. [`Debug`](fmt::Debug) tells the names
/// alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// One behind the other, each with its lengths in front.
    entries: Vec<u8>,
    /// Where the emulated ones begin.
    emulated_from: usize,
}

/// There is no room for one more: [`HEADERS_BYTES_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadersFull;

impl Headers {
    /// Appends one of the HTTP request. Its name becomes lower-case; one that is there already gets
    /// another value.
    ///
    /// # Errors
    /// It does not fit.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), HeadersFull> {
        let before = self.entries.len();
        self.insert(self.emulated_from, name, value)?;
        self.emulated_from += self.entries.len() - before;
        Ok(())
    }

    /// Appends an emulated one, likewise.
    ///
    /// # Errors
    /// It does not fit.
    pub fn push_emulated(&mut self, name: &str, value: &[u8]) -> Result<(), HeadersFull> {
        self.insert(self.entries.len(), name, value)
    }

    fn insert(&mut self, at: usize, name: &str, value: &[u8]) -> Result<(), HeadersFull> {
        let room = HEADERS_BYTES_MAX - self.entries.len();
        if LENGTHS_BYTES + name.len() + value.len() > room {
            return Err(HeadersFull);
        }
        let lengths = [name.len(), value.len()].map(|length| {
            let length = u16::try_from(length).expect("all of them together are fewer bytes");
            length.to_le_bytes()
        });
        let name = name.bytes().map(|byte| byte.to_ascii_lowercase());
        let entry = lengths.into_iter().flatten().chain(name);
        let entry = entry.chain(value.iter().copied());
        self.entries.splice(at..at, entry);
        Ok(())
    }

    /// The first value under a name in any case; a real one rather than an emulated one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.real().chain(self.emulated());
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// The same, where it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get(name)?).ok()
    }

    /// Names and values, in the order in which they came. Of emulated ones only those that no real
    /// one takes the place of.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let is_free = |name: &str| self.real().all(|(real, _)| real != name);
        let emulated = self.emulated().filter(move |(name, _)| is_free(name));
        self.real().chain(emulated)
    }

    /// Those of the HTTP request.
    pub fn real(&self) -> impl Iterator<Item = (&str, &[u8])> {
        Entries(&self.entries[..self.emulated_from])
    }

    /// Those that the client named in its connect command.
    pub fn emulated(&self) -> impl Iterator<Item = (&str, &[u8])> {
        Entries(&self.entries[self.emulated_from..])
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back what is reserved for more, when no more will come.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[n0, n1, v0, v1], rest) = self.0.split_first_chunk::<LENGTHS_BYTES>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes([n0, n1]).into())?;
        let (value, rest) = rest.split_at_checked(u16::from_le_bytes([v0, v1]).into())?;
        self.0 = rest;
        Some((str::from_utf8(name).ok()?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(headers: &Headers) -> Vec<(&str, &[u8])> {
        headers.iter().collect()
    }

    #[test]
    fn headers_are_found_by_their_name_in_any_case() {
        let mut headers = Headers::default();
        assert!(headers.is_empty() && all(&headers).is_empty());
        headers.push("Cookie", b"a=1").unwrap();
        headers.push("X-Raw", b"\xff").unwrap();
        headers.push("cookie", b"b=2").unwrap();
        headers.push("x-empty", b"").unwrap();
        assert!(!headers.is_empty());
        assert_eq!(
            all(&headers),
            [
                ("cookie", &b"a=1"[..]),
                ("x-raw", b"\xff"),
                ("cookie", b"b=2"),
                ("x-empty", b"")
            ]
        );
        assert_eq!(headers.get("COOKIE"), Some(&b"a=1"[..]));
        assert_eq!(headers.text("cookie"), Some("a=1"));
        assert_eq!(headers.text("x-empty"), Some(""));
        assert_eq!(headers.text("x-raw"), None, "it is no text");
        assert_eq!(headers.get("x-other"), None);
    }

    #[test]
    fn a_real_header_wins_over_an_emulated_one() {
        let mut headers = Headers::default();
        headers.push_emulated("X-User", b"emulated").unwrap();
        headers.push_emulated("X-Theme", b"dark").unwrap();
        assert_eq!(headers.text("x-user"), Some("emulated"));
        headers.push("x-user", b"real").unwrap();
        assert_eq!(headers.text("x-user"), Some("real"));
        let user = ("x-user", &b"real"[..]);
        let theme = ("x-theme", &b"dark"[..]);
        assert_eq!(all(&headers), [user, theme]);
        assert!(headers.real().eq([user]));
        assert!(headers.emulated().eq([("x-user", &b"emulated"[..]), theme]));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut headers = Headers::default();
        let half = vec![b'x'; HEADERS_BYTES_MAX / 2 - LENGTHS_BYTES - 1];
        headers.push("a", &half).unwrap();
        let full = headers.clone();
        assert_eq!(headers.push("long", &half), Err(HeadersFull));
        assert_eq!(headers.push_emulated("long", &half), Err(HeadersFull));
        assert_eq!(headers, full);
        headers.push_emulated("b", &half).unwrap();
        assert_eq!(headers.push("", b""), Err(HeadersFull));
        assert_eq!(headers.get("b"), Some(&half[..]));
    }

    #[test]
    fn values_are_not_printed() {
        let mut headers = Headers::default();
        headers.push("Cookie", b"secret").unwrap();
        assert_eq!(format!("{headers:?}"), r#"["cookie"]"#);
    }
}
