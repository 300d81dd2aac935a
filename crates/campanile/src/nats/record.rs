//! The bytes of what nodes say to each other in channels, and of what the stream of histories keeps.
//!
//! The first byte is the version of the format, the second what it is. The stream's state and every publication have a length around
//! them, and whatever is behind the last known field is passed over: so a later version can add to
//! them while this one still runs.
//!
//! | What | Fields |
//! |---|---|
//! | kept (1) | state; count, then of each whether those before it may be told the difference, and the publication |
//! | passing (2) | publication, as [`put_publication`] spells it |
//! | join (3), leave (4) | who, as [`put_client_info`] does |
//! | state | epoch, offset, floor, at, ttl, `meta_ttl`; count, generations (8) and where each began; version number, and its epoch unless that is 0 |

use std::sync::Arc;

use campanile_engine::broker::Version;
use campanile_engine::bytes::{
    Malformed, Reader, put_bytes, put_client_info, put_framed, put_number, put_publication,
};
use campanile_protocol::{ClientInfo, Epoch, Publication};

const FORMAT: u8 = 1;

const KEPT: u8 = 1;
const PASSING: u8 = 2;
const JOIN: u8 = 3;
const LEAVE: u8 = 4;

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
            out.push(u8::from(entry.has_previous));
            put(out, &entry.publication);
        });
    }
    out
}

/// Spells a publication that is not kept.
pub(super) fn passing(publication: &Publication) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + publication.data.len());
    out.extend([FORMAT, PASSING]);
    put(&mut out, publication);
    out
}

/// Spells that somebody came.
pub(super) fn join(who: &ClientInfo) -> Vec<u8> {
    let mut out = vec![FORMAT, JOIN];
    put_client_info(&mut out, who);
    out
}

/// Spells that somebody left.
pub(super) fn leave(who: &ClientInfo) -> Vec<u8> {
    let mut out = vec![FORMAT, LEAVE];
    put_client_info(&mut out, who);
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

fn put(out: &mut Vec<u8>, publication: &Publication) {
    let (info, tags) = (publication.info.as_deref(), publication.tags.as_deref());
    put_publication(out, &publication.data, info, tags);
}

impl Message {
    /// Reads what the functions of this module spell.
    ///
    /// # Errors
    /// It is nothing that this version knows.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        if input.byte()? != FORMAT {
            return Err(Malformed);
        }
        match input.byte()? {
            KEPT => read_kept(&mut input),
            PASSING => Ok(Self::Passing(input.publication(0)?)),
            JOIN => Ok(Self::Join(input.client_info()?)),
            LEAVE => Ok(Self::Leave(input.client_info()?)),
            _ => Err(Malformed),
        }
    }
}

fn read_kept(input: &mut Reader<'_>) -> Result<Message, Malformed> {
    let stream = read_stream(&mut Reader::new(input.bytes()?))?;
    let count = input.count(1)?;
    let first = stream.offset.checked_sub(count as u64).ok_or(Malformed)? + 1;
    let mut entries = Vec::with_capacity(count);
    for offset in first..first + count as u64 {
        let mut entry = Reader::new(input.bytes()?);
        entries.push(Entry {
            has_previous: entry.flag()?,
            publication: Arc::new(entry.publication(offset)?),
        });
    }
    Ok(Message::Kept(stream, entries))
}

fn read_stream(input: &mut Reader<'_>) -> Result<Stream, Malformed> {
    let epoch = Epoch::new(input.text()?);
    let [offset, floor, at, ttl, meta_ttl] = [
        input.number()?,
        input.number()?,
        input.number()?,
        input.number()?,
        input.number()?,
    ];
    let count = input.count(1)?;
    if floor > offset || count == 0 || count > GENERATIONS_MAX {
        return Err(Malformed);
    }
    let mut generations = Vec::with_capacity(count);
    for _ in 0..count {
        let generation = u64::from_be_bytes(input.array()?);
        generations.push((generation, input.number()?));
    }
    let version = match input.number()? {
        0 => None,
        number => Some(Version {
            number,
            epoch: input.text()?.into(),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use campanile_protocol::{ClientId, UserId};

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
