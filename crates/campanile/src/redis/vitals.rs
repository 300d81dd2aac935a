//! How it stands with Redis, for probes and scrapes.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;

use super::link::RedisLink;
use crate::vitals::{Plain, Vitals};

impl Vitals for RedisLink {
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        let obstacle = self.redis().obstacle();
        obstacle.or_else(|| self.ears().obstacle()).map(Cow::Owned)
    }

    fn gauges(&self) -> Vec<Plain> {
        let lanes = self.redis().lanes();
        let shards = self.redis().shards().len();
        let proofs = self.ears().proofs();
        let up = lanes.iter().filter(|lane| lane.is_up()).count();
        let round_trip = proofs.iter().map(|proof| proof.round_trip()).max();
        let round_trip = round_trip.unwrap_or_default().as_micros();
        let under_way: usize = lanes.iter().map(|lane| lane.under_way()).sum();
        vec![
            ("redis_shards", "Primaries that are known", shards as u64),
            (
                "redis_lines_down",
                "Connections for requests that are not there",
                (lanes.len() - up) as u64,
            ),
            (
                "redis_under_way_bytes",
                "Bytes of requests that wait for an answer, with 1024 more for each",
                under_way as u64,
            ),
            (
                "redis_probe_round_trip_us",
                "Microseconds that the last message to itself took over the slowest shard",
                u64::try_from(round_trip).unwrap_or(u64::MAX),
            ),
        ]
    }

    fn counters(&self) -> Vec<Plain> {
        let lanes = self.redis().lanes();
        let counts = self.ears().counts();
        let reconnects: u64 = lanes.iter().map(|lane| lane.reconnects()).sum();
        let deaf: u64 = self
            .ears()
            .proofs()
            .iter()
            .map(|proof| proof.failures())
            .sum();
        vec![
            (
                "redis_reconnects",
                "Connections for requests that were made again",
                reconnects,
            ),
            (
                "redis_sub_reconnects",
                "Connections for subscriptions that were made again",
                counts.reconnects.load(Relaxed),
            ),
            (
                "redis_resumed_channels",
                "Channels that were subscribed to again",
                counts.resumed.load(Relaxed),
            ),
            (
                "redis_messages",
                "Messages that came over subscriptions",
                counts.heard.load(Relaxed),
            ),
            (
                "broker_redis_pub_sub_errors",
                "Messages that made no sense",
                counts.undecodable.load(Relaxed),
            ),
            (
                "redis_probe_failures",
                "Messages to itself that did not come back in time",
                deaf,
            ),
        ]
    }
}
