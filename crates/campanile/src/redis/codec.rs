//! What nodes tell each other over Redis, and what is kept there of a publication.
//!
//! Everything begins with a version, and whoever reads ignores what stands behind what it knows, so
//! that nodes of neighbouring versions run side by side. The script that publishes writes the head of
//! a message about a publication itself; its numbers are big-endian, since such are what scripts can
//! write.

use std::sync::Arc;

use campanile_engine::broker::Attendance;
use campanile_engine::broker::remote::Generation;
use campanile_engine::bytes::{Malformed, Reader, put_client_info, put_publication};
use campanile_engine::delivery::Event;
use campanile_protocol::{ClientInfo, Epoch, Publication, Tags};

const VERSION: u8 = 1;

const PUBLICATION: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;

/// What an encoded publication takes beside its payload at least.
pub(super) const PUBLICATION_HEAD_BYTES: usize = 4;

/// A publication as it is kept: without its offset, which is the name that it is kept by.
pub(super) fn encode_publication(
    data: &[u8],
    info: Option<&ClientInfo>,
    tags: Option<&Tags>,
) -> Vec<u8> {
    let mut output = Vec::with_capacity(data.len() + 64);
    output.push(VERSION);
    put_publication(&mut output, data, info, tags);
    output
}

/// The publication with `offset` that was kept as `input`.
pub(super) fn decode_publication(offset: u64, input: &[u8]) -> Result<Publication, Malformed> {
    versioned(input)?.publication(offset)
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
    put_client_info(&mut output, info);
    output
}

/// What a message says, and who gave it its offset.
pub(super) fn decode_message(input: &[u8]) -> Result<(Event, Generation), Malformed> {
    let mut input = versioned(input)?;
    match input.byte()? {
        PUBLICATION => {
            let generation = Generation(u64::from_be_bytes(input.array()?));
            let offset = u64::from_be_bytes(input.array()?);
            let epoch = usize::from(input.byte()?);
            let epoch = std::str::from_utf8(input.take(epoch)?).map_err(|_| Malformed)?;
            let epoch = Epoch::new(epoch);
            let publication = Arc::new(decode_publication(offset, part(&mut input)?)?);
            let previous = match part(&mut input)? {
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
        JOIN => Ok((Event::Join(input.client_info()?.into()), Generation(0))),
        LEAVE => Ok((Event::Leave(input.client_info()?.into()), Generation(0))),
        _ => Err(Malformed),
    }
}

fn versioned(input: &[u8]) -> Result<Reader<'_>, Malformed> {
    let mut input = Reader::new(input);
    match input.byte()? {
        VERSION => Ok(input),
        _ => Err(Malformed),
    }
}

/// As the script does.
fn put(output: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("bodies of requests are much smaller");
    output.extend_from_slice(&len.to_be_bytes());
    output.extend_from_slice(bytes);
}

fn part<'a>(input: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = u32::from_be_bytes(input.array()?);
    input.take(usize::try_from(len).map_err(|_| Malformed)?)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use campanile_protocol::{ClientId, Payload, UserId};

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
            prop_assert_eq!(decode_publication(1, &bytes[..end]), Err(Malformed));
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
            assert_eq!(decode_message(bytes).unwrap_err(), Malformed);
        }
    }
}
