//! The Protobuf wire format, writing: keys, varints and lengths. It refuses to know any message.
//!
//! A message is a function that says its fields to a [`Sink`]. It is said once to a sink that only
//! counts, for the length that stands in front, and then to the one that keeps the bytes; so there
//! is one description of a message, and its payload is copied once. A message within a message is
//! counted again for each message around it, of which there are at most three.

/// What takes the bytes of a message.
pub(super) trait Sink: Sized {
    /// Takes bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Takes a message that stands within this one.
    fn nested<M: Message>(&mut self, message: &M);
}

/// Something that can say its fields, the same ones every time.
pub(super) trait Message {
    /// Says them.
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>);

    /// How many bytes they are.
    fn len(&self) -> usize {
        let mut count = Count(0);
        self.fields(&mut Fields(&mut count));
        count.0
    }
}

/// Counts.
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn nested<M: Message>(&mut self, message: &M) {
        let before = self.0;
        message.fields(&mut Fields(self));
        self.0 += length_prefix(self.0 - before).as_bytes().len();
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn nested<M: Message>(&mut self, message: &M) {
        self.put(length_prefix(message.len()).as_bytes());
        message.fields(&mut Fields(self));
    }
}

/// The types of fields that the protocol has: numbers, and what comes with its length.
const VARINT: u32 = 0;
const DELIMITED: u32 = 2;

/// The fields of a message under construction. Zero values are left out, but for messages: that one
/// is there tells something, even when it is empty.
pub(super) struct Fields<'a, S>(&'a mut S);

impl<S: Sink> Fields<'_, S> {
    fn key(&mut self, number: u32, kind: u32) {
        self.0.put(varint(u64::from(number << 3 | kind)).as_bytes());
    }

    pub(super) fn number(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.key(number, VARINT);
            self.0.put(varint(value).as_bytes());
        }
    }

    pub(super) fn flag(&mut self, number: u32, value: bool) {
        self.number(number, u64::from(value));
    }

    pub(super) fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    pub(super) fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.key(number, DELIMITED);
            self.0.put(length_prefix(value.len()).as_bytes());
            self.0.put(value);
        }
    }

    pub(super) fn message<M: Message>(&mut self, number: u32, message: &M) {
        self.key(number, DELIMITED);
        self.0.nested(message);
    }

    /// One entry of a map: a message of a key and a value.
    pub(super) fn entry<V: Message>(&mut self, number: u32, key: &str, value: &V) {
        self.message(number, &Entry { key, value });
    }
}

struct Entry<'a, V> {
    key: &'a str,
    value: &'a V,
}

impl<V: Message> Message for Entry<'_, V> {
    fn fields<S: Sink>(&self, to: &mut Fields<'_, S>) {
        to.text(1, self.key);
        to.message(2, self.value);
    }
}

/// Appends `message`; `begin` appends what has to stand in front of that many bytes.
pub(super) fn append(
    message: &impl Message,
    out: &mut Vec<u8>,
    begin: impl FnOnce(&mut Vec<u8>, usize),
) {
    let length = message.len();
    begin(out, length);
    message.fields(&mut Fields(out));
}

/// An unsigned number of variable length: seven bits a byte, the lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Varint {
    bytes: [u8; 10],
    len: u8,
}

impl Varint {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The length that stands in front of a message of so many bytes.
#[must_use]
pub fn length_prefix(length: usize) -> Varint {
    varint(length as u64)
}

fn varint(number: u64) -> Varint {
    let mut varint = Varint {
        bytes: [0; 10],
        len: 0,
    };
    let mut rest = number;
    for byte in &mut varint.bytes {
        *byte = u8::try_from(rest & 0x7f).expect("seven bits");
        varint.len += 1;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    varint
}
