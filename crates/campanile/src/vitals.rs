//! What the parts that a server stands on tell about themselves: whether they work, and counts.
//!
//! A part here is what carries and keeps publications and presence. Who asks, a probe or a scrape, is
//! no business of theirs.

use std::borrow::Cow;

use campanile_engine::broker::remote::RemoteBroker;
use campanile_engine::broker::{DiskBroker, DiskStatus};
use campanile_engine::cluster::{Cluster, Standing};

/// A metric without labels: name, help, value.
pub type Plain = (&'static str, &'static str, u64);

/// See the [module](self). Asked at any time, on any thread; nothing of it waits.
pub trait Vitals: Send + Sync {
    /// Why what is published could not be carried or kept, so that clients are better sent elsewhere.
    fn obstacle(&self) -> Option<Cow<'static, str>>;

    /// What goes up and down.
    fn gauges(&self) -> Vec<Plain>;

    /// What only goes up.
    fn counters(&self) -> Vec<Plain>;
}

impl Vitals for DiskBroker {
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        trouble(&self.status()).map(Cow::Borrowed)
    }

    /// What is on disk, how well that goes, and what was found there at the start.
    fn gauges(&self) -> Vec<Plain> {
        let (status, found) = (self.status(), self.recovered());
        let behind = found.clock_went_back.unwrap_or_default().as_millis();
        vec![
            (
                "store_log_bytes",
                "Bytes of the log on disk",
                status.log_bytes,
            ),
            (
                "store_live_bytes",
                "Bytes of the log that are still needed",
                status.live_bytes,
            ),
            ("store_segments", "Files of the log", status.segments),
            (
                "store_cached_bytes",
                "Bytes of publications that are in memory too",
                status.cached_bytes,
            ),
            (
                "store_full",
                "Whether the disk or its limit is full",
                status.is_full.into(),
            ),
            (
                "store_unwritable",
                "Whether the last write failed",
                status.is_unwritable.into(),
            ),
            (
                "store_stalled",
                "Whether the disk stands still",
                status.is_stalled.into(),
            ),
            (
                "store_failed",
                "Whether a sync failed, so that nothing is stored until a restart",
                status.is_failed.into(),
            ),
            (
                "store_start_unclean",
                "Whether the run before this one did not end in good order",
                (!found.was_clean).into(),
            ),
            (
                "store_start_lossy",
                "Whether publications may have been lost before this run",
                found.is_lossy.into(),
            ),
            (
                "store_start_torn_bytes",
                "Bytes of an unfinished write that were dropped at the start",
                found.torn_bytes,
            ),
            (
                "store_start_clock_behind_ms",
                "Milliseconds that the clock was behind the log at the start",
                u64::try_from(behind).unwrap_or(u64::MAX),
            ),
        ]
    }

    fn counters(&self) -> Vec<Plain> {
        let status = self.status();
        vec![
            ("store_commits", "Writes to the log", status.commits),
            ("store_records", "Records in them", status.records),
            ("store_written_bytes", "Bytes in them", status.written_bytes),
            (
                "store_cold_reads",
                "Publications read from disk",
                status.cold_reads,
            ),
            (
                "store_write_errors",
                "Writes that failed",
                status.write_errors,
            ),
            ("store_read_errors", "Reads that failed", status.read_errors),
            (
                "store_damaged",
                "Publications found damaged and forgotten",
                status.damaged,
            ),
            (
                "store_refused_full",
                "Publishes refused for want of room",
                status.refused_full,
            ),
            (
                "store_refused_busy",
                "Publishes refused while the disk stood still",
                status.refused_busy,
            ),
            (
                "store_compacted_segments",
                "Files of the log that were emptied and removed",
                status.compacted_segments,
            ),
            (
                "store_carried",
                "Publications written again to empty a file",
                status.carried,
            ),
        ]
    }
}

impl Vitals for Cluster {
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        let is_cut_off = self.standing() == Standing::CutOff;
        is_cut_off.then_some(Cow::Borrowed("the other nodes cannot be reached"))
    }

    fn gauges(&self) -> Vec<Plain> {
        Vec::new()
    }

    fn counters(&self) -> Vec<Plain> {
        let counts = self.counts();
        vec![
            (
                "node_control_messages_sent",
                "Messages to other nodes",
                counts.sent,
            ),
            (
                "node_control_messages_unsent",
                "Messages to other nodes that could not be sent",
                counts.unsent,
            ),
            (
                "node_control_messages_received",
                "Messages of other nodes",
                counts.received,
            ),
            (
                "node_control_messages_dropped",
                "Messages of other nodes that there was no room for",
                counts.dropped,
            ),
            (
                "node_control_messages_skipped",
                "Messages of other nodes that were not understood",
                counts.skipped,
            ),
            (
                "node_survey_unanswered",
                "Answers of other nodes that were waited for in vain",
                counts.unanswered,
            ),
        ]
    }
}

impl Vitals for RemoteBroker {
    /// Its link tells.
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        None
    }

    fn gauges(&self) -> Vec<Plain> {
        vec![(
            "broker_channels",
            "Channels that are listened to at the broker",
            self.status().channels as u64,
        )]
    }

    fn counters(&self) -> Vec<Plain> {
        let status = self.status();
        vec![
            (
                "broker_lapses",
                "How often shards were told to look for what a channel is missing",
                status.lapses,
            ),
            (
                "broker_skipped_messages",
                "Publications left to be read from history, for want of room",
                status.skipped,
            ),
            (
                "broker_dropped_messages",
                "Publications, joins and leaves lost for want of room",
                status.dropped,
            ),
        ]
    }
}

/// Why publications into histories are refused, the worst first.
const fn trouble(store: &DiskStatus) -> Option<&'static str> {
    if store.is_failed {
        Some("the disk failed to sync: nothing is stored until a restart")
    } else if store.is_stalled {
        Some("the disk stands still")
    } else if store.is_unwritable {
        Some("the data directory cannot be written")
    } else if store.is_full {
        Some("the disk, or what may be used of it, is full")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_takes_nothing_is_an_obstacle_and_the_worst_is_told() {
        let mut status = DiskStatus::default();
        assert_eq!(trouble(&status), None);
        let mut reasons = Vec::new();
        status.is_full = true;
        reasons.extend(trouble(&status));
        status.is_unwritable = true;
        reasons.extend(trouble(&status));
        status.is_stalled = true;
        reasons.extend(trouble(&status));
        status.is_failed = true;
        reasons.extend(trouble(&status));
        reasons.dedup();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[3].contains("restart"));
    }
}
