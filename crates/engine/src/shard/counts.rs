//! What a shard counts.

/// Counts of a shard, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardStats {
    /// Live sessions.
    pub clients: usize,
    /// Users with live sessions here.
    pub users: usize,
    /// Channels with subscribers here.
    pub channels: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

/// Counts that only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardTotals {
    /// Publications and announcements put into outboxes.
    pub deliveries: u64,
    /// Commands received.
    pub commands: u64,
    /// Connections closed because they read too slowly.
    pub slow: u64,
    /// History reads that repaired subscribers.
    pub repairs: u64,
    /// Recoveries that made a subscriber whole.
    pub recovered: u64,
    /// Recoveries that did not.
    pub unrecovered: u64,
    /// Sessions that panicked.
    pub panics: u64,
}

impl std::ops::Add for ShardStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            clients: self.clients + other.clients,
            users: self.users + other.users,
            channels: self.channels + other.channels,
            subscriptions: self.subscriptions + other.subscriptions,
        }
    }
}

impl std::ops::Add for ShardTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            deliveries: self.deliveries + other.deliveries,
            commands: self.commands + other.commands,
            slow: self.slow + other.slow,
            repairs: self.repairs + other.repairs,
            recovered: self.recovered + other.recovered,
            unrecovered: self.unrecovered + other.unrecovered,
            panics: self.panics + other.panics,
        }
    }
}
