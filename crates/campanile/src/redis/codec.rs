//! What nodes tell each other over Redis, and what is kept there of a publication.
//!
//! Everything begins with a version, and whoever reads ignores what stands behind what it knows, so
//! that nodes of neighbouring versions run side by side. Numbers are big-endian. The script that
//! publishes writes the head of a [`Message::Publication`] itself.

use std::sync::Arc;

use campanile_engine::broker::Attendance;
use campanile_engine::broker::remote::Generation;
use campanile_engine::delivery::Event;
use campanile_protocol::{ClientId, ClientInfo, Epoch, Payload, Publication, Tags, UserId};

const VERSION: u8 = 1;

const PUBLICATION: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;

const HAS_INFO: u8 = 1;
const HAS_TAGS: u8 = 2;
const HAS_CONN_INFO: u8 = 1;
const HAS_CHAN_INFO: u8 = 2;

/// What an encoded publication takes beside its payload at least.
pub(super) const PUBLICATION_HEAD_BYTES: usize = 6;

/// It is no message of ours, or of a version that is not known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Undecodable;

/// A publication as it is kept: without its offset, which is the name that it is kept by.
pub(super) fn encode_publication(
    data: &[u8],
    info: Option<&ClientInfo>,
    tags: Option<&Tags>,
) -> Vec<u8> {
    let mut output = Vec::with_capacity(data.len() + 64);
    output.push(VERSION);
    output.push(flags(info.map(|_| HAS_INFO), tags.map(|_| HAS_TAGS)));
    put(&mut output, data);
    if let Some(info) = info {
        put_info(&mut output, info);
    }
    if let Some(tags) = tags {
        put_len(&mut output, tags.len());
        for (name, value) in tags {
            put(&mut output, name.as_bytes());
            put(&mut output, value.as_bytes());
        }
    }
    output
}

/// The publication with `offset` that was kept as `input`.
pub(super) fn decode_publication(offset: u64, input: &[u8]) -> Result<Publication, Undecodable> {
    let mut input = Input::of_version(input)?;
    let flags = input.byte()?;
    Ok(Publication {
        offset,
        data: input.payload()?,
        info: if flags & HAS_INFO == 0 {
            None
        } else {
            Some(Arc::new(input.info()?))
        },
        tags: if flags & HAS_TAGS == 0 {
            None
        } else {
            Some(Box::new(input.tags()?))
        },
    })
}

/// The message about a publication that is kept nowhere.
pub(super) fn encode_passing(publication: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(publication.len() + 32);
    output.extend_from_slice(&[VERSION, PUBLICATION]);
    output.extend_from_slice(&[0; 8 + 8 + 1]);
    put(&mut output, publication);
    put(&mut output, &[]);
    output
}

/// The message about who came or left.
pub(super) fn encode_attendance(attendance: &Attendance) -> Vec<u8> {
    let (kind, info) = match attendance {
        Attendance::Join(info) => (JOIN, info),
        Attendance::Leave(info) => (LEAVE, info),
    };
    let mut output = vec![VERSION, kind];
    put_info(&mut output, info);
    output
}

/// What a message says, and who gave it its offset.
pub(super) fn decode_message(input: &[u8]) -> Result<(Event, Generation), Undecodable> {
    let mut input = Input::of_version(input)?;
    match input.byte()? {
        PUBLICATION => {
            let generation = Generation(input.number()?);
            let offset = input.number()?;
            let epoch = input.epoch()?;
            let publication = Arc::new(decode_publication(offset, input.bytes()?)?);
            let previous = match input.bytes()? {
                [] => None,
                previous => Some(Arc::new(decode_publication(
                    offset.saturating_sub(1),
                    previous,
                )?)),
            };
            let event = Event::Publication {
                publication,
                epoch,
                previous,
            };
            Ok((event, generation))
        }
        JOIN => Ok((Event::Join(Arc::new(input.info()?)), Generation(0))),
        LEAVE => Ok((Event::Leave(Arc::new(input.info()?)), Generation(0))),
        _ => Err(Undecodable),
    }
}

fn flags(first: Option<u8>, second: Option<u8>) -> u8 {
    first.unwrap_or(0) | second.unwrap_or(0)
}

fn put_len(output: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("bodies of requests are much smaller");
    output.extend_from_slice(&len.to_be_bytes());
}

fn put(output: &mut Vec<u8>, bytes: &[u8]) {
    put_len(output, bytes.len());
    output.extend_from_slice(bytes);
}

fn put_info(output: &mut Vec<u8>, info: &ClientInfo) {
    output.extend_from_slice(&info.client.to_bytes());
    put(output, info.user.as_str().as_bytes());
    let (conn, chan) = (&info.conn_info, &info.chan_info);
    let has = |flag, payload: &Option<Payload>| payload.as_ref().map(|_| flag);
    output.push(flags(has(HAS_CONN_INFO, conn), has(HAS_CHAN_INFO, chan)));
    for bytes in conn.iter().chain(chan) {
        put(output, bytes);
    }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn of_version(input: &'a [u8]) -> Result<Self, Undecodable> {
        match input.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            _ => Err(Undecodable),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Undecodable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Undecodable> {
        let bytes = self.take(8)?.try_into().expect("so many were taken");
        Ok(u64::from_be_bytes(bytes))
    }

    fn len(&mut self) -> Result<usize, Undecodable> {
        let bytes = self.take(4)?.try_into().expect("so many were taken");
        usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| Undecodable)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Undecodable> {
        let len = self.len()?;
        self.take(len)
    }

    fn payload(&mut self) -> Result<Payload, Undecodable> {
        Ok(self.bytes()?.into())
    }

    fn text(&mut self) -> Result<&'a str, Undecodable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Undecodable)
    }

    fn epoch(&mut self) -> Result<Epoch, Undecodable> {
        let len = usize::from(self.byte()?);
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| Undecodable)?;
        Ok(Epoch::new(text))
    }

    fn info(&mut self) -> Result<ClientInfo, Undecodable> {
        let client = self.take(16)?.try_into().expect("so many were taken");
        let user = UserId::new(self.text()?);
        let flags = self.byte()?;
        let mut payload = |flag| {
            if flags & flag == 0 {
                Ok(None)
            } else {
                self.payload().map(Some)
            }
        };
        Ok(ClientInfo {
            user,
            client: ClientId::from_bytes(client),
            conn_info: payload(HAS_CONN_INFO)?,
            chan_info: payload(HAS_CHAN_INFO)?,
        })
    }

    fn tags(&mut self) -> Result<Tags, Undecodable> {
        // Read one by one: a count that is not true reserves nothing.
        let mut tags = Tags::new();
        for _ in 0..self.len()? {
            let name = self.text()?.to_owned();
            tags.insert(name, self.text()?.to_owned());
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn payload() -> impl Strategy<Value = Payload> {
        vec(any::<u8>(), 0..40).prop_map(Into::into)
    }

    fn info() -> impl Strategy<Value = ClientInfo> {
        let parts = (
            any::<[u8; 16]>(),
            ".{0,9}",
            option::of(payload()),
            option::of(payload()),
        );
        parts.prop_map(|(client, user, conn_info, chan_info)| ClientInfo {
            user: UserId::new(&user),
            client: ClientId::from_bytes(client),
            conn_info,
            chan_info,
        })
    }

    fn publication() -> impl Strategy<Value = Publication> {
        let tags = option::of(btree_map(".{0,5}", ".{0,5}", 0..4));
        let parts = (any::<u64>(), payload(), option::of(info()), tags);
        parts.prop_map(|(offset, data, info, tags)| Publication {
            offset,
            data,
            info: info.map(Arc::new),
            tags: tags.map(Box::new),
        })
    }

    fn encoded(publication: &Publication) -> Vec<u8> {
        let (info, tags) = (publication.info.as_deref(), publication.tags.as_deref());
        encode_publication(&publication.data, info, tags)
    }

    /// As the script writes it.
    fn message(epoch: &str, generation: u64, offset: u64, parts: [&[u8]; 2]) -> Vec<u8> {
        let mut output = vec![VERSION, PUBLICATION];
        output.extend_from_slice(&generation.to_be_bytes());
        output.extend_from_slice(&offset.to_be_bytes());
        output.push(u8::try_from(epoch.len()).unwrap());
        output.extend_from_slice(epoch.as_bytes());
        parts.iter().for_each(|part| put(&mut output, part));
        output
    }

    proptest! {
        #[test]
        fn a_publication_comes_back(publication in publication(), trailer in vec(any::<u8>(), 0..4)) {
            let mut bytes = encoded(&publication);
            bytes.extend(trailer);
            prop_assert_eq!(decode_publication(publication.offset, &bytes), Ok(publication));
        }

        #[test]
        fn a_message_comes_back(
            (publication, before) in (publication(), publication()),
            generation in any::<u64>(),
            epoch in "[a-z]{0,15}",
        ) {
            let (this, before) = (encoded(&publication), encoded(&before));
            let bytes = message(&epoch, generation, publication.offset, [&this, &before]);
            let (event, by) = decode_message(&bytes).unwrap();
            prop_assert_eq!(by, Generation(generation));
            let Event::Publication { publication: told, epoch: named, previous } = event else {
                panic!("no publication");
            };
            prop_assert_eq!(&*told, &publication);
            prop_assert_eq!(named, Epoch::new(&epoch));
            prop_assert_eq!(previous.unwrap().offset, publication.offset.saturating_sub(1));
        }

        #[test]
        fn attendances_come_back(info in info()) {
            let info = Arc::new(info);
            let bytes = encode_attendance(&Attendance::Join(Arc::clone(&info)));
            let joined = matches!(decode_message(&bytes), Ok((Event::Join(who), _)) if who == info);
            prop_assert!(joined);
            let bytes = encode_attendance(&Attendance::Leave(Arc::clone(&info)));
            let left = matches!(decode_message(&bytes), Ok((Event::Leave(who), _)) if who == info);
            prop_assert!(left);
        }

        #[test]
        fn garbage_never_panics(mut bytes in vec(any::<u8>(), 1..200), kind in 0..5u8) {
            let _ = decode_message(&bytes);
            bytes.insert(0, VERSION);
            bytes.insert(1, kind);
            let _ = decode_message(&bytes);
            let _ = decode_publication(1, &bytes);
        }

        #[test]
        fn what_is_cut_short_is_undecodable(publication in publication(), cut in 1..100usize) {
            let bytes = encoded(&publication);
            let end = bytes.len().saturating_sub(cut);
            prop_assert_eq!(decode_publication(1, &bytes[..end]), Err(Undecodable));
        }
    }

    #[test]
    fn a_publication_that_is_kept_nowhere_has_no_place() {
        let bytes = encode_passing(&encode_publication(b"1", None, None));
        let (event, generation) = decode_message(&bytes).unwrap();
        assert_eq!((event.offset(), generation), (None, Generation(0)));
    }

    #[test]
    fn other_versions_and_kinds_are_undecodable() {
        for bytes in [&[][..], &[2, 1], &[1, 0], &[1, 9]] {
            assert_eq!(decode_message(bytes).unwrap_err(), Undecodable);
        }
    }
}
