//! Removes what dead nodes have left, a piece at a time, and has it told that their sessions left.
//!
//! Whoever removes an entry tells of it: the entry is removed once, so it is told once, whoever else
//! purges at the same time. If the one that purges dies, the leaves of one step are told by nobody.

use campanile_engine::broker::Attendance;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use tokio::time::sleep;

use super::keys::{self, Incarnation};
use super::writer::INDEX;
use super::{Shared, entry};
use crate::redis::{Failure, Reply, Script};

static PURGE: Script = Script::new(concat!(
    include_str!("scripts/count.lua"),
    include_str!("scripts/purge.lua")
));
static NAMES: Script = Script::new(include_str!("scripts/names.lua"));

/// Entries removed at once: about a millisecond of Redis' time.
const STEP: &[u8] = b"150";

/// Channels whose names are read at once.
const NAMES_PAGE: &[u8] = b"256";

/// Channels that are purged at the same time.
const CHANNELS_MAX: usize = 8;

/// Purges, while this node is the one that does, until it is dropped.
pub(super) async fn purge(shared: &Shared) {
    loop {
        sleep(shared.membership.interval()).await;
        for dead in shared.membership.to_purge() {
            if let Err(failure) = purge_node(shared, dead).await {
                tracing::debug!(node = %dead, %failure, "a dead node is not purged yet");
            }
        }
    }
}

pub(super) async fn purge_node(shared: &Shared, dead: Incarnation) -> Result<(), Failure> {
    let index = keys::index(&shared.redis, dead);
    let mut cursor = b"0".to_vec();
    let mut is_empty = true;
    loop {
        let arguments = [&cursor[..], NAMES_PAGE];
        let reply = shared
            .redis
            .run(&NAMES, &[index.as_bytes()], &arguments)
            .await?;
        let (next, names) = page(&reply).ok_or(Failure::Nonsense)?;
        let names = names.iter().filter_map(Reply::text);
        let names: Vec<String> = names.map(str::to_owned).collect();
        is_empty &= names.is_empty();
        let channels = names.iter().map(|name| purge_channel(shared, dead, name));
        // Collected, or the compiler does not see that it may be sent to another thread.
        let channels: Vec<_> = channels.collect();
        let all = iter(channels).buffer_unordered(CHANNELS_MAX);
        all.try_collect::<()>().await?;
        if !names.is_empty() {
            let names = names.iter().map(String::as_bytes);
            let arguments: Vec<&[u8]> = std::iter::once(&b"SREM"[..]).chain(names).collect();
            shared
                .redis
                .run(&INDEX, &[index.as_bytes()], &arguments)
                .await?;
        }
        cursor = next.to_vec();
        if cursor == b"0" {
            break;
        }
        if !shared.membership.to_purge().contains(&dead) {
            return Ok(());
        }
    }
    if is_empty {
        shared.membership.bury(&shared.redis, dead).await?;
    }
    Ok(())
}

async fn purge_channel(shared: &Shared, dead: Incarnation, name: &str) -> Result<(), Failure> {
    let redis = &shared.redis;
    let keys = [
        keys::users(redis, name),
        keys::sets(redis, name),
        keys::nodes(redis, name),
        keys::entries(redis, name, dead),
    ];
    let keys = keys.each_ref().map(String::as_bytes);
    let mut cursor = b"0".to_vec();
    loop {
        let reply = redis
            .run(&PURGE, &keys, &[dead.bytes(), &cursor, STEP])
            .await?;
        let [next, left, gone] = reply.list().ok_or(Failure::Nonsense)? else {
            return Err(Failure::Nonsense);
        };
        let gone = gone.list().ok_or(Failure::Nonsense)?;
        for pair in gone.chunks_exact(2) {
            let info = pair[0].bytes().zip(pair[1].bytes());
            let info = info.and_then(|(client, entry)| entry::decode(client, entry));
            if let Some(info) = info {
                shared.tell(name, Attendance::Leave(info)).await;
            }
        }
        shared.count_purged(gone.len() / 2);
        cursor = next.bytes().ok_or(Failure::Nonsense)?.to_vec();
        if cursor == b"0" && left.integer() == Some(0) {
            return Ok(());
        }
    }
}

/// What a scan answers: where to go on, and what it has found.
pub(super) fn page(reply: &Reply) -> Option<(&[u8], &[Reply])> {
    let [cursor, found] = reply.list()? else {
        return None;
    };
    Some((cursor.bytes()?, found.list()?))
}
