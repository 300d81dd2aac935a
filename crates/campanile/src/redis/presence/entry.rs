//! A session as it is kept in Redis: a byte with the version of the form, then user, connection's
//! info and channel's info, each with its length before it. What follows is for later versions.
//!
//! The scripts read the user, at the same place in every version.

use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, Payload, UserId};

const VERSION: u8 = 1;

/// Stands for the length of what is not there.
const ABSENT: u32 = u32::MAX;

/// What is kept of `info`, beside the client's id.
pub(super) fn encode(info: &ClientInfo) -> Vec<u8> {
    let parts = [
        Some(info.user.as_str().as_bytes()),
        info.conn_info.as_deref(),
        info.chan_info.as_deref(),
    ];
    let bytes: usize = parts.iter().flatten().map(|part| part.len()).sum();
    let mut entry = Vec::with_capacity(1 + 4 * parts.len() + bytes);
    entry.push(VERSION);
    for part in parts {
        let len = part.map_or(ABSENT, |part| {
            u32::try_from(part.len()).expect("it came in one message")
        });
        entry.extend_from_slice(&len.to_be_bytes());
        entry.extend_from_slice(part.unwrap_or_default());
    }
    entry
}

/// The session that `entry` tells of; `None` when it tells of none.
pub(super) fn decode(client: &[u8], entry: &[u8]) -> Option<Arc<ClientInfo>> {
    let client = ClientId::from_bytes(client.try_into().ok()?);
    let (_version, mut rest) = entry.split_first()?;
    let user = part(&mut rest)??;
    let conn_info = part(&mut rest)?.map(Payload::from);
    let chan_info = part(&mut rest)?.map(Payload::from);
    Some(Arc::new(ClientInfo {
        user: UserId::new(std::str::from_utf8(user).ok()?),
        client,
        conn_info,
        chan_info,
    }))
}

/// Takes one part; the inner `None` where there is none.
fn part<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (len, behind) = rest.split_first_chunk()?;
    *rest = behind;
    let len = match u32::from_be_bytes(*len) {
        ABSENT => return Some(None),
        len => usize::try_from(len).ok()?,
    };
    let (part, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ClientInfo {
        ClientInfo {
            user: UserId::new("\u{fc}\0"),
            client: ClientId::from_random([3; 16], 1),
            conn_info: Some((*b"").into()),
            chan_info: None,
        }
    }

    #[test]
    fn an_entry_says_all_of_a_session_and_may_say_more() {
        let info = info();
        let mut entry = encode(&info);
        let client = info.client.to_bytes();
        assert_eq!(decode(&client, &entry).as_deref(), Some(&info));
        entry.extend_from_slice(b"of a later version");
        assert_eq!(decode(&client, &entry).as_deref(), Some(&info));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        let whole = encode(&info());
        let client = info().client.to_bytes();
        for len in 0..whole.len() {
            assert_eq!(decode(&client, &whole[..len]), None, "{len}");
        }
        assert_eq!(decode(&client[1..], &whole), None);
        assert_eq!(decode(&client, &[1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), None);
    }
}
