//! Redis as the sequencer of all nodes.
//!
//! Whatever touches a stream is one script, so that it is done whole or not at all, and in one order
//! for everybody: the scripts are where the rules of streams are. Here is what goes into them and
//! what comes out.

use std::sync::{Arc, Once};
use std::time::Duration;

use campanile_engine::broker::remote::{Accepted, Generation, Hearing, Link, Sighting};
use campanile_engine::broker::{
    Attendance, BoxFuture, BrokerError, HistoryPage, HistoryQuery, IDEMPOTENCY_TTL, NewPublication,
    Published, Retention, random_epoch,
};
use campanile_engine::channel::ChannelName;
use campanile_engine::limits::{IDEMPOTENCY_KEYS_MAX, PUBLICATION_OVERHEAD_BYTES};
use campanile_protocol::{Epoch, Position, Publication};

use super::codec;
use super::ears::{CHANNEL, Ears};
use super::{Failure, Redis, Reply, Script};

static PUBLISH: Script = Script::new(concat!(
    include_str!("scripts/stream.lua"),
    include_str!("scripts/publish.lua")
));

static HISTORY: Script = Script::new(concat!(
    include_str!("scripts/stream.lua"),
    include_str!("scripts/history.lua")
));

/// Publications of one page at most, whatever is asked for.
const PAGE_MAX: usize = 100_000;

/// Redis as the sequencer of all nodes.
pub struct RedisLink {
    redis: Redis,
    ears: Ears,
    /// How long an era lasts at most.
    era_ttl: String,
}

impl RedisLink {
    /// A link over `redis` that brings what it hears to `hearing`. `meta_ttl_min` is the shortest
    /// lifetime of metadata that any channel is configured with.
    #[must_use]
    pub fn open(redis: &Redis, hearing: Hearing, meta_ttl_min: Duration) -> Self {
        Self {
            redis: redis.clone(),
            ears: Ears::open(redis, hearing),
            era_ttl: millis(meta_ttl_min),
        }
    }

    pub(super) const fn redis(&self) -> &Redis {
        &self.redis
    }

    pub(super) const fn ears(&self) -> &Ears {
        &self.ears
    }

    async fn publish_in_script(
        &self,
        new: &NewPublication,
        seen: Option<Sighting>,
    ) -> Result<Accepted, BrokerError> {
        let keys = Keys::of(&self.redis, &new.channel);
        let outcomes = self.redis.key("k", new.channel.as_str());
        let ages = self.redis.key("a", new.channel.as_str());
        let publication =
            codec::encode_publication(&new.data, new.info.as_deref(), new.tags.as_deref());
        let told = self.redis.key(CHANNEL, new.channel.as_str());
        let seen = Seen::of(seen);
        let retention = Kept::of(new.retention);
        let version = new.version.as_ref();
        // With leading zeros, since a script's numbers are not as long.
        let number = version.map_or_else(String::new, |version| format!("{:020}", version.number));
        let (fresh, key_ttl) = (random_epoch(), millis(IDEMPOTENCY_TTL));
        let keys_max = IDEMPOTENCY_KEYS_MAX.to_string();
        let arguments: [&[u8]; 17] = [
            fresh.as_str().as_bytes(),
            seen.epoch.as_bytes(),
            seen.offset.as_bytes(),
            seen.generation.as_bytes(),
            self.era_ttl.as_bytes(),
            retention.size.as_bytes(),
            retention.ttl.as_bytes(),
            retention.meta_ttl.as_bytes(),
            &publication,
            flag(new.wants_delta),
            new.idempotency_key
                .as_deref()
                .unwrap_or_default()
                .as_bytes(),
            key_ttl.as_bytes(),
            keys_max.as_bytes(),
            number.as_bytes(),
            version.map_or(&b""[..], |version| version.epoch.as_bytes()),
            self.redis.publish_verb(),
            told.as_bytes(),
        ];
        let keys = [
            keys.metadata.as_bytes(),
            keys.stream.as_bytes(),
            keys.era.as_bytes(),
            outcomes.as_bytes(),
            ages.as_bytes(),
        ];
        // While a slot is moved, a script is put off that names what is not there.
        let keys = if new.idempotency_key.is_some() {
            &keys[..]
        } else {
            &keys[..3]
        };
        let reply = self.redis.run_safely(&PUBLISH, keys, &arguments).await?;
        accepted(&reply).ok_or(Failure::Nonsense)?
    }

    async fn publish_passing(&self, new: &NewPublication) -> Result<Accepted, BrokerError> {
        let publication =
            codec::encode_publication(&new.data, new.info.as_deref(), new.tags.as_deref());
        self.tell(&new.channel, &codec::encode_passing(&publication))
            .await?;
        Ok(Accepted {
            published: Published {
                position: None,
                is_suppressed: false,
            },
            sighting: None,
        })
    }

    async fn tell(&self, channel: &ChannelName, message: &[u8]) -> Result<(), BrokerError> {
        let told = self.redis.key(CHANNEL, channel.as_str());
        let parts = [self.redis.publish_verb(), told.as_bytes(), message];
        self.redis.ask(&parts).await?;
        Ok(())
    }

    async fn read(
        &self,
        channel: &ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> Result<(HistoryPage, Sighting), BrokerError> {
        let keys = Keys::of(&self.redis, channel);
        let (from, to) = range(query);
        let is_known = seen.is_some();
        let seen = Seen::of(seen);
        let overhead = PUBLICATION_OVERHEAD_BYTES - codec::PUBLICATION_HEAD_BYTES;
        let (fresh, overhead) = (random_epoch(), overhead.to_string());
        let (limit, bytes) = (
            query.limit.min(PAGE_MAX).to_string(),
            query.bytes.to_string(),
        );
        let arguments: [&[u8]; 12] = [
            fresh.as_str().as_bytes(),
            seen.epoch.as_bytes(),
            seen.offset.as_bytes(),
            seen.generation.as_bytes(),
            self.era_ttl.as_bytes(),
            from.as_bytes(),
            to.as_bytes(),
            flag(query.reverse),
            limit.as_bytes(),
            bytes.as_bytes(),
            overhead.as_bytes(),
            flag(is_known),
        ];
        let keys = [
            keys.metadata.as_bytes(),
            keys.stream.as_bytes(),
            keys.era.as_bytes(),
        ];
        let reply = self.redis.run(&HISTORY, &keys, &arguments).await?;
        Ok(page(&reply).ok_or(Failure::Nonsense)?)
    }
}

impl Link for RedisLink {
    fn publish(
        &self,
        new: NewPublication,
        seen: Option<Sighting>,
    ) -> BoxFuture<'_, Result<Accepted, BrokerError>> {
        Box::pin(async move {
            if new.retention.is_none() && new.idempotency_key.is_none() {
                self.publish_passing(&new).await
            } else {
                self.publish_in_script(&new, seen).await
            }
        })
    }

    fn announce<'a>(
        &'a self,
        channel: &'a ChannelName,
        attendance: Attendance,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let message = codec::encode_attendance(&attendance);
            self.tell(channel, &message).await
        })
    }

    fn listen<'a>(&'a self, channel: &'a ChannelName) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move { Ok(self.ears.listen(channel).await?) })
    }

    fn ignore(&self, channel: &ChannelName) {
        self.ears.ignore(channel);
    }

    fn history<'a>(
        &'a self,
        channel: &'a ChannelName,
        query: HistoryQuery,
        seen: Option<Sighting>,
    ) -> BoxFuture<'a, Result<(HistoryPage, Sighting), BrokerError>> {
        Box::pin(self.read(channel, query, seen))
    }

    fn remove_history<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let stream = self.redis.key("s", channel.as_str());
            self.redis.ask(&[b"UNLINK", stream.as_bytes()]).await?;
            Ok(())
        })
    }
}

/// The keys of a channel that every script wants.
struct Keys {
    metadata: String,
    stream: String,
    era: String,
}

impl Keys {
    fn of(redis: &Redis, channel: &ChannelName) -> Self {
        let metadata = redis.key("m", channel.as_str());
        Self {
            stream: redis.key("s", channel.as_str()),
            era: redis.key_beside("e", &metadata),
            metadata,
        }
    }
}

/// What was seen, as scripts want it.
#[derive(Default)]
struct Seen {
    epoch: String,
    offset: String,
    generation: String,
}

impl Seen {
    fn of(seen: Option<Sighting>) -> Self {
        seen.map_or_else(Self::default, |seen| Self {
            epoch: seen.position.epoch.as_str().to_owned(),
            offset: seen.position.offset.to_string(),
            generation: format!("{:013x}", seen.generation.0),
        })
    }
}

/// A retention, as scripts want it.
struct Kept {
    size: String,
    ttl: String,
    meta_ttl: String,
}

impl Kept {
    fn of(retention: Option<Retention>) -> Self {
        let zero = || "0".to_owned();
        Self {
            size: retention.map_or_else(zero, |retention| retention.size.to_string()),
            ttl: retention.map_or_else(zero, |retention| millis(retention.ttl)),
            meta_ttl: retention.map_or_else(zero, |retention| millis(retention.meta_ttl)),
        }
    }
}

/// At least one, since Redis takes a lifetime of nothing for a mistake.
fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

const fn flag(is_set: bool) -> &'static [u8] {
    if is_set { b"1" } else { b"0" }
}

/// The first and the last id that a query wants, in its order.
fn range(query: HistoryQuery) -> (String, String) {
    let id = |offset: u64| format!("{offset}-0");
    if query.reverse {
        let before = |since: u64| id(since.saturating_sub(1));
        (
            query.since.map_or_else(|| "+".to_owned(), before),
            "-".to_owned(),
        )
    } else {
        let behind = |since: u64| id(since.saturating_add(1));
        (
            query.since.map_or_else(|| "-".to_owned(), behind),
            "+".to_owned(),
        )
    }
}

/// What the script says that became of a publish.
fn accepted(reply: &Reply) -> Option<Result<Accepted, BrokerError>> {
    let parts = reply.list()?;
    let [status, generation, ..] = parts else {
        return None;
    };
    let status = status.integer()?;
    if status == 3 {
        return Some(Err(BrokerError::TooManyKeys));
    }
    let generation = read_generation(generation)?;
    let outcome = read_position(parts.get(2)?, parts.get(3)?)?;
    let now = match parts.get(4..6) {
        Some([epoch, offset]) => read_position(epoch, offset)?,
        _ => Position::default(),
    };
    let named = |position: Position| (!position.epoch.is_empty()).then_some(position);
    Some(Ok(Accepted {
        published: Published {
            position: named(outcome),
            is_suppressed: status != 0,
        },
        sighting: named(now).map(|position| Sighting {
            position,
            generation,
        }),
    }))
}

/// What the script says that is in a history.
fn page(reply: &Reply) -> Option<(HistoryPage, Sighting)> {
    let [generation, epoch, offset, entries @ ..] = reply.list()? else {
        return None;
    };
    let top = read_position(epoch, offset)?;
    let mut publications = Vec::with_capacity(entries.len() / 2);
    for entry in entries.chunks_exact(2) {
        let (offset, _) = entry[0].text()?.split_once('-')?;
        let publication: Publication =
            codec::decode_publication(offset.parse().ok()?, entry[1].bytes()?).ok()?;
        publications.push(Arc::new(publication));
    }
    let sighting = Sighting {
        position: top,
        generation: read_generation(generation)?,
    };
    Some((HistoryPage { publications, top }, sighting))
}

fn read_generation(reply: &Reply) -> Option<Generation> {
    static WARNING: Once = Once::new();
    let number = u64::from_str_radix(reply.text()?, 16).ok()?;
    if number == 0 {
        WARNING.call_once(|| {
            tracing::warn!(
                "redis does not tell its replication id to this user, who lacks the permission for \
                 INFO: what a failover loses is noticed only if nothing was published since"
            );
        });
    }
    Some(Generation(number))
}

fn read_position(epoch: &Reply, offset: &Reply) -> Option<Position> {
    Some(Position {
        epoch: Epoch::new(epoch.text()?),
        offset: u64::try_from(offset.integer()?).ok()?,
    })
}
