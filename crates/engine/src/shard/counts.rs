//! What a shard counts.

use std::collections::BTreeMap;

/// Counts of a shard, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct ShardStats {
    /// Connections of any kind: with live sessions, with others, and such as are about to end.
    pub connections: usize,
    /// Live sessions.
    pub clients: usize,
    /// Users with live sessions here.
    pub users: usize,
    /// Channels with subscribers here.
    pub channels: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

impl ShardStats {
    /// Adds what another shard tells. Users of several shards count in each.
    pub const fn add(&mut self, more: Self) {
        self.connections += more.connections;
        self.clients += more.clients;
        self.users += more.users;
        self.channels += more.channels;
        self.subscriptions += more.subscriptions;
    }
}

/// Counts that only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct ShardTotals {
    /// Publications and announcements put into outboxes.
    pub deliveries: u64,
    /// Messages compressed, however many sessions each of them was for.
    pub compressions: u64,
    /// Commands received.
    pub commands: u64,
    /// Connections closed because they read too slowly.
    pub slow: u64,
    /// History reads that repaired subscribers.
    pub repairs: u64,
    /// Publications missed, counted once for each gap and subscriber that does not watch for gaps.
    pub losses: u64,
    /// Recoveries that made a subscriber whole.
    pub recovered: u64,
    /// Recoveries that did not.
    pub unrecovered: u64,
    /// Sessions that panicked.
    pub panics: u64,
}

/// How often each code was told to clients. Codes of applications are bounded by the protocol's
/// ranges, and so is this.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeTotals {
    /// Connections ended, by the close code.
    pub disconnects: BTreeMap<u16, u64>,
    /// Subscriptions ended, by the unsubscribe code.
    pub unsubscribes: BTreeMap<u32, u64>,
    /// Commands refused, by the error code.
    pub refusals: BTreeMap<u32, u64>,
}

/// Everything that a shard, or several together, can tell about themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(not(feature = "testkit"), non_exhaustive)]
pub struct ShardReport {
    /// What is there now.
    pub stats: ShardStats,
    /// What has happened.
    pub totals: ShardTotals,
    /// What clients were told.
    pub codes: CodeTotals,
}

impl ShardReport {
    /// Adds what another shard tells. Users of several shards count in each.
    pub fn add(&mut self, other: &Self) {
        self.stats.add(other.stats);
        let (totals, more) = (&mut self.totals, other.totals);
        totals.deliveries += more.deliveries;
        totals.compressions += more.compressions;
        totals.commands += more.commands;
        totals.slow += more.slow;
        totals.repairs += more.repairs;
        totals.losses += more.losses;
        totals.recovered += more.recovered;
        totals.unrecovered += more.unrecovered;
        totals.panics += more.panics;
        add_counts(&mut self.codes.disconnects, &other.codes.disconnects);
        add_counts(&mut self.codes.unsubscribes, &other.codes.unsubscribes);
        add_counts(&mut self.codes.refusals, &other.codes.refusals);
    }
}

fn add_counts<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *counts.entry(*key).or_default() += count;
    }
}
