//! What a link tells of itself.

use std::borrow::Cow;

use super::NatsLink;
use crate::vitals::{Plain, Vitals};

impl Vitals for NatsLink {
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        let status = self.status();
        let reason = match (status.is_up, status.keeps_history) {
            (false, _) => "NATS does not answer",
            (true, false) => "JetStream cannot be used",
            (true, true) => return None,
        };
        Some(Cow::Borrowed(reason))
    }

    fn gauges(&self) -> Vec<Plain> {
        let status = self.status();
        vec![
            ("nats_up", "Whether NATS answers", status.is_up.into()),
            (
                "nats_channels",
                "Channels that are subscribed to at NATS",
                status.channels as u64,
            ),
            (
                "nats_waiting_bytes",
                "Bytes of publications that wait to be stored in NATS",
                status.waiting_bytes as u64,
            ),
        ]
    }

    fn counters(&self) -> Vec<Plain> {
        let status = self.status();
        vec![
            (
                "nats_connections",
                "Connections to NATS that were made",
                status.connections,
            ),
            (
                "nats_conflicts",
                "Messages that were made again, since another node was faster",
                status.conflicts,
            ),
            (
                "nats_malformed",
                "Messages that were not understood",
                status.malformed,
            ),
        ]
    }
}
