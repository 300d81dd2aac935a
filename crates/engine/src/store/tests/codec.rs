//! Records come back as they were, take few bytes, and nothing else is a record.

use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, Tags, UserId};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::broker::Version;
use crate::channel::ChannelName;

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    RecordRef::from(record).encode(&mut bytes);
    bytes
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..300_u64, Just(u64::MAX)]
}

fn epochs() -> impl Strategy<Value = Epoch> {
    "[a-zA-Z0-9]{0,15}".prop_map(|text| Epoch::new(&text))
}

fn payloads() -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 0..200).prop_map(Into::into)
}

fn infos() -> impl Strategy<Value = ClientInfo> {
    let of = ".{0,9}";
    let parts = (
        of,
        any::<[u8; 16]>(),
        option::of(payloads()),
        option::of(payloads()),
    );
    parts.prop_map(|(user, client, conn_info, chan_info)| ClientInfo {
        user: UserId::new(&user),
        client: ClientId::from_bytes(client),
        conn_info,
        chan_info,
    })
}

fn states() -> impl Strategy<Value = StreamState> {
    let version = (numbers(), ".{0,9}").prop_map(|(number, epoch)| Version {
        number,
        epoch: epoch.into(),
    });
    let expiries = (numbers(), option::of(numbers()));
    let parts = (
        epochs(),
        numbers(),
        numbers(),
        expiries,
        option::of(version),
    );
    parts.prop_map(|(epoch, top, floor, expiries, version)| StreamState {
        epoch,
        top,
        floor,
        history_expires: expiries.0,
        meta_expires: expiries.1,
        version,
    })
}

fn publications() -> impl Strategy<Value = Publication> {
    let tags = btree_map(".{0,9}", ".{0,9}", 0..4).prop_map(|tags: Tags| Box::new(tags));
    let parts = (numbers(), payloads(), option::of(infos()), option::of(tags));
    parts.prop_map(|(offset, data, info, tags)| Publication {
        offset,
        data,
        info: info.map(Arc::new),
        tags,
    })
}

fn keys() -> impl Strategy<Value = KeyRecord> {
    let parts = (".{0,9}", option::of(numbers()), numbers());
    parts.prop_map(|(key, offset, expires)| KeyRecord {
        key: key.into(),
        offset,
        expires,
    })
}

fn records() -> impl Strategy<Value = Record> {
    let eras =
        (epochs(), numbers(), any::<bool>()).prop_map(|(epoch, ends, is_rebirth)| Record::Era {
            epoch,
            ends,
            is_rebirth,
        });
    let parts = (
        ".{0,20}",
        states(),
        option::of(publications()),
        vec(keys(), 0..4),
    );
    let channels = parts.prop_map(|(channel, state, publication, keys)| Record::Channel {
        channel: ChannelName::trusted(&channel),
        state,
        publication,
        keys,
    });
    prop_oneof![1 => eras, 9 => channels]
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(record in records()) {
        prop_assert_eq!(Record::decode(&encoded(&record)), Ok(record));
    }

    #[test]
    fn a_record_that_is_cut_or_continued_is_none(record in records(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encoded(&record);
        prop_assert_eq!(Record::decode(&bytes[..cut.index(bytes.len())]), Err(Malformed));
        bytes.push(0);
        prop_assert_eq!(Record::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn any_bytes_are_no_record_or_the_only_spelling_of_one(
        bytes in vec(prop_oneof![any::<u8>(), 0..4_u8], 0..60),
    ) {
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&record), bytes);
        }
    }

    #[test]
    fn a_damaged_record_is_none_or_another(record in records(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = encoded(&record);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&other), bytes);
        }
    }
}

#[test]
fn a_publication_takes_forty_bytes_beside_channel_and_payload() {
    let now = 1_760_000_000_000;
    let state = StreamState {
        epoch: Epoch::new("AbCdEfGh"),
        top: 1_000_000,
        floor: 999_001,
        history_expires: now + 300_000,
        meta_expires: Some(now + 30 * 86_400_000),
        version: None,
    };
    let publication = Publication {
        offset: state.top,
        data: vec![b'x'; 128].into(),
        info: None,
        tags: None,
    };
    let channel = "news";
    let slot = Group::new().push(RecordRef::Channel {
        channel,
        state: &state,
        publication: Some(&publication),
        keys: &[],
    });
    let overhead = usize::try_from(slot.length).unwrap() - channel.len() - publication.data.len();
    assert_eq!(overhead, 37, "nine of them the epoch, eight the frame");
}

#[test]
fn a_count_that_nothing_follows_takes_no_memory() {
    let keys = KeyRecord {
        key: "k".into(),
        offset: None,
        expires: 0,
    };
    let Record::Channel { channel, state, .. } = record(1) else {
        panic!("it is one of a channel");
    };
    let mut bytes = encoded(&Record::Channel {
        channel,
        state,
        publication: None,
        keys: vec![keys],
    });
    // The key is 1 + 1 + 1 + 1 bytes, and in front of it is how many there are.
    bytes.truncate(bytes.len() - 5);
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(Record::decode(&bytes), Err(Malformed));
}
