//! What a server's operator decides about sessions: plain values, resolved elsewhere.

use std::time::Duration;

use crate::application::Interests;

/// Rules that hold for every session. [`Default`] is what Centrifugo's defaults are.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// The version told to clients; never empty.
    pub version: String,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// Time to answer one; shorter than the interval.
    pub pong_timeout: Duration,
    /// Time to send a connect command.
    pub stale_close_delay: Duration,
    /// Time after a connection's expiry to bring new credentials.
    pub expired_close_delay: Duration,
    /// The same for a subscription.
    pub expired_sub_close_delay: Duration,
    /// How long a channel may be quiet before its position is compared with the broker's: at the
    /// next ping of any subscriber who watches for gaps. `None` for never.
    pub position_check_delay: Option<Duration>,
    /// Subscriptions of one session.
    pub channel_limit: usize,
    /// Bytes waiting to be written to one client; beyond it is too slow.
    pub queue_bytes_max: usize,
    /// Bytes from which on a message is compressed for clients who agreed to that.
    pub compression_bytes_min: usize,
    /// How hard it is tried, 1 to 9.
    pub compression_level: u8,
    /// Publications in one answer to a client's history command.
    pub history_publications_max: usize,
    /// Publications that a recovery may bring.
    pub recovery_publications_max: usize,
    /// Commands of one session that may wait for their answers at the same time; at least 1.
    pub concurrency: usize,
    /// Connections of one user on this node; `None` for no limit.
    pub user_connection_limit: Option<usize>,
    /// Whether a user's new connection ends the others.
    pub has_one_connection: bool,
    /// Whether there are no permissions and no expiry at all.
    pub is_insecure: bool,
    /// Whether sessions without a token may connect as the anonymous user.
    pub allows_anonymous: bool,
    /// Whether tokens without a user are refused.
    pub refuses_anonymous_tokens: bool,
    /// Whether the connect result carries the server's time.
    pub tells_time: bool,
    /// The namespace of the channel that every user is subscribed to from the start; empty for
    /// none, and no such channels at all without a value.
    pub personal_channel_namespace: Option<String>,
    /// What the application wants to be asked and told; see
    /// [`Application::interests`](crate::application::Application::interests).
    pub interests: Interests,
    /// Headers that clients may emulate by naming them in their connect commands, in lower case.
    /// Others that they name are dropped.
    pub emulated_headers: Box<[Box<str>]>,
    /// Whether sessions keep their headers as long as they live, for
    /// [`Caller::headers`](crate::application::Caller::headers).
    pub keeps_headers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            position_check_delay: Some(Duration::from_secs(40)),
            channel_limit: 128,
            queue_bytes_max: 1024 * 1024,
            compression_bytes_min: 512,
            compression_level: 1,
            history_publications_max: 300,
            recovery_publications_max: 300,
            concurrency: 1,
            user_connection_limit: None,
            has_one_connection: false,
            is_insecure: false,
            allows_anonymous: false,
            refuses_anonymous_tokens: false,
            tells_time: false,
            personal_channel_namespace: None,
            interests: Interests::NONE,
            emulated_headers: Box::default(),
            keeps_headers: false,
        }
    }
}

impl Settings {
    /// Bytes of publications in one reply: half a queue, so that a reply alone never makes a client
    /// too slow.
    #[must_use]
    pub const fn reply_bytes_max(&self) -> usize {
        self.queue_bytes_max / 2
    }
}
