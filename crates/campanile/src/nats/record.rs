//! The bytes of what nodes say to each other in channels, and of what the stream of histories keeps.
//!
//! The first byte is the version of the format, the second what it is. Numbers are varints, texts
//! and payloads a length and bytes. The stream's state and every publication have a length around
//! them, and whatever is behind the last known field is passed over: so a later version can add to
//! them while this one still runs.
//!
//! | What | Fields |
//! |---|---|
//! | kept (1) | state; count, publications |
//! | passing (2) | publication |
//! | join (3), leave (4) | who |
//! | state | epoch, offset, floor, at, ttl, `meta_ttl`; count, generations (8) and where each began; version number, and its epoch unless that is 0 |
//! | publication | flags, payload; who; count, tags |
//! | who | user, client (16), flags, `conn_info`, `chan_info` |

use std::sync::Arc;

use campanile_engine::broker::Version;
use campanile_protocol::{ClientId, ClientInfo, Epoch, Publication, Tags, UserId};

const FORMAT: u8 = 1;

const KEPT: u8 = 1;
const PASSING: u8 = 2;
const JOIN: u8 = 3;
const LEAVE: u8 = 4;

/// Of a publication.
const HAS_PREVIOUS: u8 = 1;
const INFO: u8 = 1 << 1;
const TAGS: u8 = 1 << 2;

/// Of who somebody is.
const CONN_INFO: u8 = 1;
const CHAN_INFO: u8 = 1 << 1;

/// Lives of the sequencer that a stream remembers.
pub(super) const GENERATIONS_MAX: usize = 4;

/// Where a channel's stream stands after a message, and all that is needed to go on from there.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stream {
    pub(super) epoch: Epoch,
    /// The newest offset.
    pub(super) offset: u64,
    /// The newest offset that is no longer part of the history.
    pub(super) floor: u64,
    /// When something was last published, in milliseconds since 1970.
    pub(super) at: u64,
    /// How long the history outlives that, in milliseconds.
    pub(super) ttl: u64,
    /// How long epoch and offset do, in milliseconds.
    pub(super) meta_ttl: u64,
    /// The last lives of the sequencer, the newest last, and the offset at which each began.
    pub(super) generations: Vec<(u64, u64)>,
    pub(super) version: Option<Version>,
}

/// A publication, and whether those who have the one before may be told the difference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) publication: Arc<Publication>,
    pub(super) has_previous: bool,
}

/// What is said.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// Publications that are kept, in order, up to the stream's offset; none, when the stream
    /// changed otherwise.
    Kept(Stream, Vec<Entry>),
    /// One that is not.
    Passing(Publication),
    Join(ClientInfo),
    Leave(ClientInfo),
}

/// The bytes are no message, or one of a kind or version that this version does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// Spells publications that are kept.
pub(super) fn kept(stream: &Stream, entries: &[Entry]) -> Vec<u8> {
    let payloads = entries
        .iter()
        .map(|entry| entry.publication.data.len() + 16);
    let mut out = Vec::with_capacity(128 + payloads.sum::<usize>());
    out.extend([FORMAT, KEPT]);
    put_framed(&mut out, |out| put_stream(out, stream));
    put_number(&mut out, entries.len() as u64);
    for entry in entries {
        put_framed(&mut out, |out| {
            put_publication(out, &entry.publication, entry.has_previous);
        });
    }
    out
}

/// Spells a publication that is not kept.
pub(super) fn passing(publication: &Publication) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + publication.data.len());
    out.extend([FORMAT, PASSING]);
    put_publication(&mut out, publication, false);
    out
}

/// Spells that somebody came.
pub(super) fn join(who: &ClientInfo) -> Vec<u8> {
    let mut out = vec![FORMAT, JOIN];
    put_info(&mut out, who);
    out
}

/// Spells that somebody left.
pub(super) fn leave(who: &ClientInfo) -> Vec<u8> {
    let mut out = vec![FORMAT, LEAVE];
    put_info(&mut out, who);
    out
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    put_bytes(out, stream.epoch.as_str().as_bytes());
    let numbers = [
        stream.offset,
        stream.floor,
        stream.at,
        stream.ttl,
        stream.meta_ttl,
    ];
    for number in numbers {
        put_number(out, number);
    }
    put_number(out, stream.generations.len() as u64);
    for (generation, began) in &stream.generations {
        out.extend(generation.to_be_bytes());
        put_number(out, *began);
    }
    put_number(
        out,
        stream.version.as_ref().map_or(0, |version| version.number),
    );
    if let Some(version) = &stream.version {
        put_bytes(out, version.epoch.as_bytes());
    }
}

fn put_publication(out: &mut Vec<u8>, publication: &Publication, has_previous: bool) {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.push(
        flag(has_previous, HAS_PREVIOUS)
            | flag(publication.info.is_some(), INFO)
            | flag(publication.tags.is_some(), TAGS),
    );
    put_bytes(out, &publication.data);
    if let Some(info) = &publication.info {
        put_framed(out, |out| put_info(out, info));
    }
    if let Some(tags) = &publication.tags {
        put_number(out, tags.len() as u64);
        for (name, value) in &**tags {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }
}

fn put_info(out: &mut Vec<u8>, info: &ClientInfo) {
    put_bytes(out, info.user.as_str().as_bytes());
    out.extend(info.client.to_bytes());
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.push(flag(info.conn_info.is_some(), CONN_INFO) | flag(info.chan_info.is_some(), CHAN_INFO));
    for payload in [&info.conn_info, &info.chan_info].into_iter().flatten() {
        put_bytes(out, payload);
    }
}

fn put_framed(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let mut framed = Vec::new();
    put(&mut framed);
    put_bytes(out, &framed);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

impl Message {
    /// Reads what the functions of this module spell.
    ///
    /// # Errors
    /// It is nothing that this version knows.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        if input.byte()? != FORMAT {
            return Err(Malformed);
        }
        match input.byte()? {
            KEPT => input.kept(),
            PASSING => Ok(Self::Passing(input.publication(0)?.0)),
            JOIN => Ok(Self::Join(input.info()?)),
            LEAVE => Ok(Self::Leave(input.info()?)),
            _ => Err(Malformed),
        }
    }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn kept(&mut self) -> Result<Message, Malformed> {
        let stream = Input(self.bytes()?).stream()?;
        let count = self.count()?;
        let first = stream.offset.checked_sub(count as u64).ok_or(Malformed)? + 1;
        let mut entries = Vec::with_capacity(count);
        for offset in first..first + count as u64 {
            let (publication, has_previous) = Input(self.bytes()?).publication(offset)?;
            entries.push(Entry {
                publication: Arc::new(publication),
                has_previous,
            });
        }
        Ok(Message::Kept(stream, entries))
    }

    fn stream(&mut self) -> Result<Stream, Malformed> {
        let epoch = Epoch::new(self.text()?);
        let [offset, floor, at, ttl, meta_ttl] = [
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
        ];
        let count = self.count()?;
        if floor > offset || count == 0 || count > GENERATIONS_MAX {
            return Err(Malformed);
        }
        let mut generations = Vec::with_capacity(count);
        for _ in 0..count {
            let generation = u64::from_be_bytes(self.array()?);
            generations.push((generation, self.number()?));
        }
        let version = match self.number()? {
            0 => None,
            number => Some(Version {
                number,
                epoch: self.text()?.into(),
            }),
        };
        Ok(Stream {
            epoch,
            offset,
            floor,
            at,
            ttl,
            meta_ttl,
            generations,
            version,
        })
    }

    fn publication(&mut self, offset: u64) -> Result<(Publication, bool), Malformed> {
        let flags = self.byte()?;
        let data = self.bytes()?.into();
        let info = match flags & INFO {
            0 => None,
            _ => Some(Arc::new(Input(self.bytes()?).info()?)),
        };
        let tags = match flags & TAGS {
            0 => None,
            _ => Some(Box::new(self.tags()?)),
        };
        let publication = Publication {
            offset,
            data,
            info,
            tags,
        };
        Ok((publication, flags & HAS_PREVIOUS != 0))
    }

    fn info(&mut self) -> Result<ClientInfo, Malformed> {
        let user = UserId::new(self.text()?);
        let client = ClientId::from_bytes(self.array()?);
        let flags = self.byte()?;
        let mut payload = |bit| match flags & bit {
            0 => Ok(None),
            _ => self.bytes().map(|bytes| Some(bytes.into())),
        };
        Ok(ClientInfo {
            user,
            client,
            conn_info: payload(CONN_INFO)?,
            chan_info: payload(CHAN_INFO)?,
        })
    }

    fn tags(&mut self) -> Result<Tags, Malformed> {
        let mut tags = Tags::new();
        for _ in 0..self.count()? {
            tags.insert(self.text()?.to_owned(), self.text()?.to_owned());
        }
        Ok(tags)
    }

    /// How many follow, each of at least a byte: what is announced can be allocated.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        (count <= self.0.len()).then_some(count).ok_or(Malformed)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream() -> Stream {
        Stream {
            epoch: Epoch::new("e"),
            offset: 300,
            floor: 290,
            at: 1_700_000_000_000,
            ttl: 60_000,
            meta_ttl: u64::MAX,
            generations: vec![(1, 0), (u64::MAX, 299)],
            version: Some(Version {
                number: 7,
                epoch: "v".into(),
            }),
        }
    }

    fn who() -> ClientInfo {
        ClientInfo {
            user: UserId::new("42"),
            client: ClientId::from_bytes([7; 16]),
            conn_info: Some(b"{}"[..].into()),
            chan_info: None,
        }
    }

    fn entry(offset: u64) -> Entry {
        let publication = Arc::new(Publication {
            offset,
            data: vec![b'x'; 200].into(),
            info: offset.is_multiple_of(2).then(|| Arc::new(who())),
            tags: Some(Box::new([("a".into(), "b".into())].into())),
        });
        Entry {
            publication,
            has_previous: offset.is_multiple_of(2),
        }
    }

    fn messages() -> Vec<(Message, Vec<u8>)> {
        let entries = vec![entry(299), entry(300)];
        let mut single = Arc::unwrap_or_clone(entry(2).publication);
        single.offset = 0;
        vec![
            (
                Message::Kept(stream(), entries.clone()),
                kept(&stream(), &entries),
            ),
            (Message::Kept(stream(), Vec::new()), kept(&stream(), &[])),
            (Message::Passing(single.clone()), passing(&single)),
            (Message::Join(who()), join(&who())),
            (Message::Leave(who()), leave(&who())),
        ]
    }

    #[test]
    fn what_is_spelled_is_read() {
        for (message, bytes) in messages() {
            assert_eq!(Message::read(&bytes), Ok(message));
        }
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        for (message, mut bytes) in messages() {
            bytes.extend(b"more");
            assert_eq!(Message::read(&bytes), Ok(message));
        }
    }

    #[test]
    fn other_versions_and_kinds_are_not_guessed() {
        let (_, bytes) = messages().remove(0);
        for (place, value) in [(0, FORMAT + 1), (1, 0), (1, 99)] {
            let mut bytes = bytes.clone();
            bytes[place] = value;
            assert_eq!(Message::read(&bytes), Err(Malformed));
        }
    }

    #[test]
    fn what_is_cut_off_is_malformed() {
        for (_, bytes) in messages() {
            for length in 0..bytes.len() {
                assert_eq!(Message::read(&bytes[..length]), Err(Malformed), "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, kind in KEPT..=LEAVE) {
            let _ = Message::read(&bytes);
            bytes.splice(0..0, [FORMAT, kind]);
            let _ = Message::read(&bytes);
        }
    }
}
