//! The rules of one namespace of channels, and the rules by which names are read.
//!
//! Owns plain values only: where they were configured, and how they were spelled there, is the
//! business of the program. Which proxy is asked is not here; the engine knows the application only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use campanile_protocol::codec::json;

use crate::application::Interests;
use crate::broker::Retention;

/// The options of one namespace (client protocol, section 14.2).
///
/// The fields carry the names users know from their configuration, hence one flat struct: a
/// grouping of our own would only add a second vocabulary. [`Default`] is everything off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelOptions {
    /// Keep presence: who is in the channel now.
    pub presence: bool,
    /// Emit an event when a client joins or leaves.
    pub join_leave: bool,
    /// Deliver these events to every subscriber, asked for or not.
    pub force_push_join_leave: bool,
    /// Publications kept per channel; 0 keeps none.
    pub history_size: usize,
    /// How long a publication is kept; zero keeps none.
    pub history_ttl: Duration,
    /// How long a channel's epoch and offset outlive its last publication. The server-wide value
    /// is already filled in where the namespace has none.
    pub history_meta_ttl: Duration,
    /// Every subscription is positioned: the server watches for gaps.
    pub force_positioning: bool,
    /// A client may ask for a positioned subscription.
    pub allow_positioning: bool,
    /// Every subscription is recoverable.
    pub force_recovery: bool,
    /// A client may ask for a recoverable subscription.
    pub allow_recovery: bool,
    /// What recovery returns.
    pub force_recovery_mode: RecoveryMode,
    /// Cache recovery without the client asking for it.
    pub auto_cache_recover: bool,
    /// The delta encodings a client may negotiate.
    pub allowed_delta_types: Vec<DeltaType>,
    /// Treat every publish as one that asks for deltas.
    pub delta_publish: bool,
    /// While the broker cannot be reached, what is published without history reaches the subscribers
    /// on the publisher's node alone, instead of failing.
    pub publish_locally_if_unreachable: bool,
    /// A subscriber may filter publications by their tags.
    pub allow_tags_filter: bool,
    /// A user may subscribe without a subscription token.
    pub allow_subscribe_for_client: bool,
    /// So may an anonymous user.
    pub allow_subscribe_for_anonymous: bool,
    /// Any client may publish.
    pub allow_publish_for_client: bool,
    /// A subscriber may publish.
    pub allow_publish_for_subscriber: bool,
    /// The two options above hold for anonymous users too.
    pub allow_publish_for_anonymous: bool,
    /// Any client may read presence.
    pub allow_presence_for_client: bool,
    /// A subscriber may read presence.
    pub allow_presence_for_subscriber: bool,
    /// The two options above hold for anonymous users too.
    pub allow_presence_for_anonymous: bool,
    /// Any client may read history.
    pub allow_history_for_client: bool,
    /// A subscriber may read history.
    pub allow_history_for_subscriber: bool,
    /// The two options above hold for anonymous users too.
    pub allow_history_for_anonymous: bool,
    /// Names such as `dialog#42,43` list the users who may subscribe.
    pub allow_user_limited_channels: bool,
    /// Replaces the rule that names are ASCII; matched against the name after `namespace:`.
    pub channel_regex: Option<NameMatcher>,
    /// What a publication's data must be. The server-wide value is already filled in where the
    /// namespace has none.
    pub publication_data_format: DataFormat,
    /// What the application is not asked about these channels, of what it wants to be asked.
    pub unasked: Interests,
}

impl ChannelOptions {
    /// How long and how much history is kept; `None` when none is.
    #[must_use]
    pub fn retention(&self) -> Option<Retention> {
        (self.history_size > 0 && !self.history_ttl.is_zero()).then_some(Retention {
            size: self.history_size,
            ttl: self.history_ttl,
            meta_ttl: self.history_meta_ttl.max(self.history_ttl),
        })
    }
}

/// What recovery returns (`force_recovery_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Every missed publication, in order.
    #[default]
    Stream,
    /// Only the latest publication.
    Cache,
}

/// A delta encoding (`allowed_delta_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaType {
    /// The Fossil delta format (section 10.4).
    Fossil,
}

impl DeltaType {
    /// The encoding that clients and configurations call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (name == "fossil").then_some(Self::Fossil)
    }
}

/// What a publication's data must be (`publication_data_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// Anything but nothing.
    #[default]
    NotEmpty,
    /// Any JSON value.
    Json,
    /// A JSON object.
    JsonObject,
    /// Any bytes, also none.
    Binary,
}

impl DataFormat {
    /// Whether a publication may have this data.
    #[must_use]
    pub fn accepts(self, data: &[u8]) -> bool {
        match self {
            Self::NotEmpty => !data.is_empty(),
            Self::Json => json::is_json(data),
            Self::JsonObject => {
                data.trim_ascii_start().first() == Some(&b'{') && json::is_json(data)
            }
            Self::Binary => true,
        }
    }
}

/// Decides whether a channel's name is allowed.
///
/// A boxed predicate rather than a regular expression: the engine does not care how names are
/// matched, and so needs no regular expressions. Two matchers are equal if their sources are,
/// which is what a reload compares.
#[derive(Clone)]
pub struct NameMatcher {
    source: Arc<str>,
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl NameMatcher {
    /// A matcher that `source` describes, for people and for comparison.
    pub fn new(
        source: impl Into<Arc<str>>,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: source.into(),
            matches: Arc::new(matches),
        }
    }

    /// Whether `name` is allowed.
    pub fn matches(&self, name: &str) -> bool {
        (self.matches)(name)
    }

    /// The text this matcher was made from.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for NameMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NameMatcher").field(&self.source).finish()
    }
}

impl PartialEq for NameMatcher {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for NameMatcher {}

/// How the name of a channel is read (section 14.1). An empty marker switches its rule off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRules {
    /// The longest name a client may subscribe to, in bytes.
    pub max_length: usize,
    /// Marks a channel whose subscription needs a token.
    pub private_prefix: String,
    /// Ends the namespace.
    pub namespace_boundary: String,
    /// Begins the list of users who may subscribe.
    pub user_boundary: String,
    /// Stands between the users of that list.
    pub user_separator: String,
}

impl Default for NameRules {
    fn default() -> Self {
        Self {
            max_length: 255,
            private_prefix: "$".into(),
            namespace_boundary: ":".into(),
            user_boundary: "#".into(),
            user_separator: ",".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_equal_when_their_sources_are() {
        let digits =
            |source: &str| NameMatcher::new(source, |n| n.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(digits("^[0-9]*$"), digits("^[0-9]*$"));
        assert_ne!(digits("^[0-9]*$"), digits("digits"));
        assert!(digits("d").matches("42"));
        assert!(!digits("d").matches("4x"));
    }
}
