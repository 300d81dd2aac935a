//! Writes what sessions of this node do to Redis, in batches, and all of it again when Redis may
//! not have it any more.

use std::time::Duration;

use campanile_engine::broker::Attendance;
use campanile_engine::channel::ChannelName;
use campanile_engine::presence::STRIPES;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::sleep;

use super::keys::{self, Incarnation};
use super::membership::Identity;
use super::wishes::{BATCH_MAX, Batch};
use super::{Shared, entry};
use crate::redis::{Failure, Reply, Script};

static WRITE: Script = Script::new(concat!(
    include_str!("scripts/count.lua"),
    include_str!("scripts/write.lua")
));
pub(super) static INDEX: Script = Script::new(include_str!("scripts/index.lua"));

/// Batches under way: each of another channel.
const BATCHES_MAX: usize = 64;

/// Bytes of one batch, or one session.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Sessions that wait to be written again. Between so many there is a pause, so that Redis has time
/// for publications when all nodes write everything again.
const ROUND_MAX: usize = 8 * BATCH_MAX;
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// Sessions that are written again with each beat without a reason, so that nothing that Redis lost
/// unnoticed stays lost.
const AUDIT_MAX: usize = 100;

/// Writes until it is dropped.
pub(super) async fn write(shared: &Shared) {
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < BATCHES_MAX
            && shared.is_reachable()
            && let Some(identity) = shared.membership.identity()
            && let Some(batch) = shared.wishes.take()
        {
            under_way.push(write_batch(shared, identity, batch));
        }
        tokio::select! {
            Some((batch, outcome)) = under_way.next() => settle(shared, batch, outcome),
            () = shared.wishes.noted.notified() => {}
        }
    }
}

fn settle(shared: &Shared, batch: Batch, outcome: Result<(), Failure>) {
    match outcome {
        Ok(()) => shared.wishes.written(batch),
        Err(failure) => {
            shared.wishes.failed(batch);
            shared.lost(&failure);
        }
    }
}

async fn write_batch(
    shared: &Shared,
    identity: Identity,
    mut batch: Batch,
) -> (Batch, Result<(), Failure>) {
    let outcome = try_write(shared, &identity, &mut batch).await;
    (batch, outcome)
}

async fn try_write(shared: &Shared, identity: &Identity, batch: &mut Batch) -> Result<(), Failure> {
    let entries = entries_of(shared, batch);
    // Before: whoever purges finds the channels by the index alone.
    if entries.iter().any(|entry| !entry.is_empty()) && batch.index != Some(identity.own()) {
        index(shared, identity.own(), b"SADD", &batch.channel).await?;
        batch.index = Some(identity.own());
    }
    let reply = send(shared, identity, batch, &entries).await?;
    let [mine, found] = reply.list().ok_or(Failure::Nonsense)? else {
        return Err(Failure::Nonsense);
    };
    if identity.were_mourned {
        welcome_back(shared, batch, found.list().ok_or(Failure::Nonsense)?).await;
    }
    if mine.integer() == Some(0)
        && let Some(owner) = batch.index.take()
    {
        index(shared, owner, b"SREM", &batch.channel).await?;
    }
    Ok(())
}

async fn send(
    shared: &Shared,
    identity: &Identity,
    batch: &Batch,
    entries: &[Vec<u8>],
) -> Result<Reply, Failure> {
    let (redis, name) = (&shared.redis, batch.channel.as_str());
    let mut keys = vec![
        keys::users(redis, name),
        keys::sets(redis, name),
        keys::nodes(redis, name),
    ];
    let lives = identity.lives.iter();
    keys.extend(lives.map(|life| keys::entries(redis, name, *life)));
    let lives = identity.lives.iter();
    let ids: Vec<u8> = lives.flat_map(|life| *life.bytes()).collect();
    let clients = batch.clients.iter().map(|(client, _)| client.to_bytes());
    let clients: Vec<_> = clients.collect();
    let pairs = clients.iter().zip(entries);
    let pairs = pairs.flat_map(|(client, entry)| [&client[..], &entry[..]]);
    let arguments: Vec<&[u8]> = std::iter::once(&ids[..]).chain(pairs).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    redis.run(&WRITE, &keys, &arguments).await
}

/// Tells of sessions that others were told had left, since their node was dead for a while.
async fn welcome_back(shared: &Shared, batch: &Batch, found: &[Reply]) {
    for ((client, wish), found) in batch.clients.iter().zip(found) {
        let was_mourned = wish.is_again && found.integer() == Some(0);
        let info = was_mourned.then(|| shared.mirror.find(&batch.channel, *client));
        if let Some(info) = info.flatten() {
            shared
                .tell(batch.channel.as_str(), Attendance::Join(info))
                .await;
        }
    }
}

/// What is to be in Redis; empty for those who are not to be there. What is too much for one batch
/// is left for the next.
fn entries_of(shared: &Shared, batch: &mut Batch) -> Vec<Vec<u8>> {
    let mut bytes = 0;
    let mut entries = Vec::with_capacity(batch.clients.len());
    for (client, _) in &batch.clients {
        let info = shared.mirror.find(&batch.channel, *client);
        let entry = info.map_or_else(Vec::new, |info| entry::encode(&info));
        bytes += entry.len();
        if bytes > BATCH_BYTES_MAX && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    let rest = batch.clients.split_off(entries.len());
    shared.wishes.put_back(&batch.channel, rest);
    entries
}

async fn index(
    shared: &Shared,
    owner: Incarnation,
    verb: &[u8],
    channel: &ChannelName,
) -> Result<(), Failure> {
    let key = keys::index(&shared.redis, owner);
    let (keys, arguments) = ([key.as_bytes()], [verb, channel.as_str().as_bytes()]);
    shared.redis.run(&INDEX, &keys, &arguments).await?;
    Ok(())
}

/// Has everything written again when it is to be, and a little of it at any time.
pub(super) async fn rewrite(shared: &Shared) {
    let mut audit = Vec::new();
    let mut stripe = 0;
    loop {
        let wait = shared.membership.interval();
        if tokio::time::timeout(wait, shared.rewrite.notified())
            .await
            .is_ok()
        {
            write_again(shared).await;
            continue;
        }
        if !shared.is_reachable() || shared.wishes.count() > 0 {
            continue;
        }
        let mut room = AUDIT_MAX;
        while let Some(channel) = audit.pop() {
            let clients = shared.mirror.clients(&channel);
            shared.wishes.note_again(&channel, &clients, false);
            room = room.saturating_sub(clients.len().max(1));
            if room == 0 {
                break;
            }
        }
        if room > 0 {
            audit = shared.mirror.channels(stripe).unwrap_or_default();
            stripe = (stripe + 1) % STRIPES;
        }
    }
}

async fn write_again(shared: &Shared) {
    for stripe in 0..STRIPES {
        let channels = shared.mirror.channels(stripe).unwrap_or_default();
        for channel in channels {
            let clients = shared.mirror.clients(&channel);
            for some in clients.chunks(BATCH_MAX) {
                while shared.wishes.count() >= ROUND_MAX {
                    sleep(ROUND_PAUSE).await;
                }
                shared.wishes.note_again(&channel, some, true);
            }
        }
    }
}
