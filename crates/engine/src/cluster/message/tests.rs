//! Every message comes back as it was, and nothing else does any harm.

use proptest::prelude::*;

use super::*;

fn sender() -> NodeId {
    NodeId::from_random([7; 16])
}

fn info() -> NodeInfo {
    NodeInfo {
        id: sender().to_string(),
        name: "here_8000".into(),
        version: "1.2.3".into(),
        uptime: Duration::from_millis(12_345),
        stats: ShardStats {
            connections: 300,
            clients: 200,
            users: 100,
            channels: 50,
            subscriptions: 400,
        },
    }
}

fn hello() -> Message<'static> {
    Message::Hello {
        incarnation: 3,
        info: info(),
    }
}

fn all<'a>(number: u64, bytes: &'a [u8]) -> [Message<'a>; 5] {
    [
        Message::Hello {
            incarnation: number,
            info: info(),
        },
        Message::Goodbye {
            incarnation: number,
        },
        Message::Question {
            id: number,
            question: bytes,
        },
        Message::Answer {
            id: number,
            part: number / 2,
            is_last: number.is_multiple_of(2),
            reply: Reply::Refused,
            bytes,
        },
        Message::Emulate {
            secret: [9; 16],
            frame: bytes,
        },
    ]
}

proptest! {
    #[test]
    fn messages_come_back_as_they_were(number: u64, bytes: Vec<u8>) {
        for message in all(number, &bytes) {
            let spelled = message.encode(sender());
            prop_assert_eq!(decode(&spelled), Ok((sender(), message)));
        }
    }

    #[test]
    fn what_a_newer_version_adds_is_passed_over(number: u64, bytes: Vec<u8>, more: Vec<u8>) {
        for message in all(number, &bytes) {
            let mut spelled = message.encode(sender());
            spelled.extend(&more);
            prop_assert_eq!(decode(&spelled), Ok((sender(), message)));
        }
    }

    #[test]
    fn any_bytes_will_do(bytes: Vec<u8>, kind in 0..8_u8) {
        let _ = decode(&bytes);
        let mut message = vec![VERSION, kind];
        message.extend([1; 16]);
        message.extend(bytes);
        let _ = decode(&message);
    }

    #[test]
    fn what_is_cut_off_is_no_message(number: u64, bytes: Vec<u8>, cut: prop::sample::Index) {
        for message in all(number, &bytes) {
            let spelled = message.encode(sender());
            let cut = cut.index(spelled.len());
            prop_assert_eq!(decode(&spelled[..cut]), Err(Skip::Malformed));
        }
    }
}

#[test]
fn other_versions_and_kinds_are_unknown() {
    let mut spelled = hello().encode(sender());
    spelled[0] = VERSION + 1;
    assert_eq!(decode(&spelled), Err(Skip::Unknown));
    spelled[0] = VERSION;
    spelled[1] = 200;
    assert_eq!(decode(&spelled), Err(Skip::Unknown));
}

/// The counts are the last field, the number of connections the last of them.
#[test]
fn an_older_hello_without_the_newest_count_is_understood() {
    let mut spelled = hello().encode(sender());
    let connections_bytes = 2;
    spelled.truncate(spelled.len() - connections_bytes);
    let other_counts_bytes = 2 + 1 + 1 + 2;
    let count = spelled.len() - other_counts_bytes - 1;
    assert_eq!(spelled[count], 5);
    spelled[count] = 4;
    let mut expected = info();
    expected.stats.connections = 0;
    let hello = Message::Hello {
        incarnation: 3,
        info: expected,
    };
    assert_eq!(decode(&spelled), Ok((sender(), hello)));
}

#[test]
fn a_name_that_is_too_long_is_cut_where_a_character_ends() {
    let message = Message::Hello {
        incarnation: 1,
        info: NodeInfo {
            name: "ü".repeat(NODE_NAME_BYTES_MAX),
            ..info()
        },
    };
    let spelled = message.encode(sender());
    let Ok((_, Message::Hello { info, .. })) = decode(&spelled) else {
        panic!("it is a hello");
    };
    assert_eq!(info.name, "ü".repeat(NODE_NAME_BYTES_MAX / 2));
}
