//! Who is in a channel, and how many: what nodes that live have there.

use std::collections::HashMap;
use std::sync::Arc;

use campanile_engine::presence::PresenceStats;
use campanile_protocol::{ClientId, ClientInfo};

use super::entry;
use super::keys::{self, Incarnation};
use super::membership::{Membership, Standing};
use super::purge::page;
use crate::redis::{Failure, Redis, Reply, Script};

static TALLY: Script = Script::new(include_str!("scripts/tally.lua"));
static PAGE: Script = Script::new(include_str!("scripts/page.lua"));

/// Entries read at once: about a millisecond of Redis' time.
const PAGE_LEN: &[u8] = b"1000";

/// Who has sessions in a channel.
struct Tally {
    /// Users of all nodes.
    users: usize,
    /// Nodes and how many sessions each has, and whether it lives.
    nodes: Vec<(Incarnation, usize, Standing)>,
}

impl Tally {
    fn live(&self) -> impl Iterator<Item = (Incarnation, usize)> {
        let live = self
            .nodes
            .iter()
            .filter(|(.., standing)| *standing == Standing::Live);
        live.map(|(node, count, _)| (*node, *count))
    }

    fn clients(&self) -> usize {
        self.live().map(|(_, count)| count).sum()
    }

    fn all_live(&self) -> bool {
        self.live().count() == self.nodes.len()
    }
}

async fn tally(redis: &Redis, membership: &Membership, name: &str) -> Result<Tally, Failure> {
    let (users, nodes) = (keys::users(redis, name), keys::nodes(redis, name));
    let reply = redis
        .run(&TALLY, &[users.as_bytes(), nodes.as_bytes()], &[])
        .await?;
    let (users, nodes) = counts(&reply).ok_or(Failure::Nonsense)?;
    let ids = nodes.iter().map(|(node, _)| *node);
    let standings = membership.standings(redis, ids).await?;
    let nodes = nodes.into_iter().zip(standings);
    let nodes = nodes.map(|((node, count), standing)| (node, count, standing));
    Ok(Tally {
        users,
        nodes: nodes.collect(),
    })
}

fn counts(reply: &Reply) -> Option<(usize, Vec<(Incarnation, usize)>)> {
    let [users, nodes] = reply.list()? else {
        return None;
    };
    let users = usize::try_from(users.integer()?).ok()?;
    let pairs = nodes.list()?.chunks_exact(2);
    let nodes = pairs.map(|pair| {
        let count = usize::try_from(pair[1].integer()?).ok()?;
        Some((Incarnation::read(pair[0].bytes()?)?, count))
    });
    Some((users, nodes.collect::<Option<_>>()?))
}

/// How many are in a channel.
pub(super) async fn stats(
    redis: &Redis,
    membership: &Membership,
    name: &str,
) -> Result<PresenceStats, Failure> {
    let tally = tally(redis, membership, name).await?;
    let clients = tally.clients();
    let users = if tally.all_live() {
        tally.users
    } else if clients == 0 {
        0
    } else {
        users_of_live(redis, &tally, name).await?
    };
    Ok(PresenceStats { clients, users })
}

/// Users that have a session on any node that lives, while others are dead and not purged yet. As
/// many look-ups as there are combinations of nodes that any user is on.
async fn users_of_live(redis: &Redis, tally: &Tally, name: &str) -> Result<usize, Failure> {
    let live: Vec<Incarnation> = tally.live().map(|(node, _)| node).collect();
    let lives = |ids: &[u8]| {
        let mut nodes = ids.chunks_exact(8).filter_map(Incarnation::read);
        nodes.any(|node| live.contains(&node))
    };
    let mut sets = HashMap::new();
    let key = keys::sets(redis, name);
    scan(redis, &key, |ids, count| {
        let count = count
            .integer()
            .and_then(|count| usize::try_from(count).ok());
        if let (Some(ids), Some(count)) = (ids.bytes(), count)
            && lives(ids)
        {
            sets.insert(ids.clone(), count);
        }
        true
    })
    .await?;
    Ok(sets.into_values().sum())
}

/// The sessions in a channel; `None` when they are more than `max`.
pub(super) async fn list(
    redis: &Redis,
    membership: &Membership,
    name: &str,
    max: usize,
) -> Result<Option<Vec<Arc<ClientInfo>>>, Failure> {
    let tally = tally(redis, membership, name).await?;
    if tally.clients() > max {
        return Ok(None);
    }
    let mut found: HashMap<ClientId, Arc<ClientInfo>> = HashMap::new();
    for (node, _) in tally.live() {
        let key = keys::entries(redis, name, node);
        scan(redis, &key, |client, entry| {
            let pair = client.bytes().zip(entry.bytes());
            let info = pair.and_then(|(client, entry)| entry::decode(client, entry));
            if let Some(info) = info {
                found.insert(info.client, info);
            }
            found.len() <= max
        })
        .await?;
    }
    Ok((found.len() <= max).then(|| found.into_values().collect()))
}

/// Reads a hash page by page, as long as `take` wants more. A field may come twice.
async fn scan(
    redis: &Redis,
    key: &str,
    mut take: impl FnMut(&Reply, &Reply) -> bool,
) -> Result<(), Failure> {
    let mut cursor = b"0".to_vec();
    loop {
        let reply = redis
            .run(&PAGE, &[key.as_bytes()], &[&cursor, PAGE_LEN])
            .await?;
        let (next, found) = page(&reply).ok_or(Failure::Nonsense)?;
        for pair in found.chunks_exact(2) {
            if !take(&pair[0], &pair[1]) {
                return Ok(());
            }
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next.to_vec();
    }
}
