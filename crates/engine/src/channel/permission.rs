//! Who may do what in a channel: the matrix of section 14.5 of the client protocol.
//!
//! Knows options and facts, never sessions: each question is a pure function of both.

use super::Resolved;

/// The facts about a session that permissions depend on.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// Its user id; empty for an anonymous one.
    pub user: &'a str,
    /// Whether the server runs without any protection.
    pub is_insecure: bool,
    /// Whether it is subscribed to the channel, or about to be.
    pub is_subscribed: bool,
}

impl Requester<'_> {
    /// Whether it may subscribe without a token.
    #[must_use]
    pub fn may_subscribe(&self, channel: &Resolved<'_>) -> bool {
        let options = channel.options;
        if channel.is_user_limited() {
            return channel.lists_user(self.user) || self.is_insecure;
        }
        self.is_insecure
            || (options.allow_subscribe_for_client
                && self.is_known(options.allow_subscribe_for_anonymous))
    }

    /// Whether it may publish.
    #[must_use]
    pub fn may_publish(&self, channel: &Resolved<'_>) -> bool {
        let options = channel.options;
        self.may(
            options.allow_publish_for_client,
            options.allow_publish_for_subscriber,
            options.allow_publish_for_anonymous,
        )
    }

    /// Whether it may see who is there.
    #[must_use]
    pub fn may_read_presence(&self, channel: &Resolved<'_>) -> bool {
        let options = channel.options;
        self.may(
            options.allow_presence_for_client,
            options.allow_presence_for_subscriber,
            options.allow_presence_for_anonymous,
        )
    }

    /// Whether it may read past publications.
    #[must_use]
    pub fn may_read_history(&self, channel: &Resolved<'_>) -> bool {
        let options = channel.options;
        self.may(
            options.allow_history_for_client,
            options.allow_history_for_subscriber,
            options.allow_history_for_anonymous,
        )
    }

    fn may(&self, for_client: bool, for_subscriber: bool, for_anonymous: bool) -> bool {
        let by_option = for_client || (for_subscriber && self.is_subscribed);
        self.is_insecure || (by_option && self.is_known(for_anonymous))
    }

    fn is_known(&self, anonymous_is_fine: bool) -> bool {
        anonymous_is_fine || !self.user.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Namespaces;
    use crate::channel::options::{ChannelOptions, NameRules};

    fn asks<T>(options: ChannelOptions, name: &str, ask: impl FnOnce(&Resolved<'_>) -> T) -> T {
        let namespaces = Namespaces::new(NameRules::default(), options, []);
        ask(&namespaces.resolve(name).unwrap())
    }

    const USER: Requester<'static> = Requester {
        user: "42",
        is_insecure: false,
        is_subscribed: false,
    };
    const ANONYMOUS: Requester<'static> = Requester { user: "", ..USER };
    const INSECURE: Requester<'static> = Requester {
        is_insecure: true,
        ..ANONYMOUS
    };
    const SUBSCRIBER: Requester<'static> = Requester {
        is_subscribed: true,
        ..USER
    };

    #[test]
    fn nothing_is_allowed_by_default_but_to_an_insecure_server() {
        asks(ChannelOptions::default(), "c", |c| {
            for requester in [USER, ANONYMOUS, SUBSCRIBER] {
                assert!(!requester.may_subscribe(c) && !requester.may_publish(c));
                assert!(!requester.may_read_presence(c) && !requester.may_read_history(c));
            }
            assert!(INSECURE.may_subscribe(c) && INSECURE.may_publish(c));
            assert!(INSECURE.may_read_presence(c) && INSECURE.may_read_history(c));
        });
    }

    #[test]
    fn anonymous_sessions_need_their_own_option() {
        let options = |anonymous| ChannelOptions {
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: anonymous,
            allow_publish_for_client: true,
            allow_publish_for_anonymous: anonymous,
            ..ChannelOptions::default()
        };
        asks(options(false), "c", |c| {
            assert!(USER.may_subscribe(c) && USER.may_publish(c));
            assert!(!ANONYMOUS.may_subscribe(c) && !ANONYMOUS.may_publish(c));
        });
        asks(options(true), "c", |c| {
            assert!(ANONYMOUS.may_subscribe(c) && ANONYMOUS.may_publish(c));
        });
    }

    #[test]
    fn subscribers_may_what_is_allowed_to_subscribers() {
        let options = ChannelOptions {
            allow_publish_for_subscriber: true,
            allow_presence_for_subscriber: true,
            allow_history_for_subscriber: true,
            ..ChannelOptions::default()
        };
        asks(options, "c", |c| {
            assert!(SUBSCRIBER.may_publish(c) && SUBSCRIBER.may_read_presence(c));
            assert!(SUBSCRIBER.may_read_history(c));
            assert!(!USER.may_publish(c) && !USER.may_read_history(c));
        });
    }

    #[test]
    fn a_user_limited_channel_is_for_the_users_it_lists() {
        let options = ChannelOptions {
            allow_user_limited_channels: true,
            allow_subscribe_for_client: true,
            ..ChannelOptions::default()
        };
        asks(options, "c#42", |c| {
            assert!(USER.may_subscribe(c));
            assert!(!Requester { user: "43", ..USER }.may_subscribe(c));
            assert!(INSECURE.may_subscribe(c));
        });
    }
}
