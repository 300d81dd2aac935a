//! Which questions are put to the application at all.

use std::ops::BitOr;

/// A set of questions and notices.
///
/// What is not in it costs nothing: nobody is asked, and nothing is kept for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interests(u16);

macro_rules! interests {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Interests {
            $(
                $(#[$doc])*
                pub const $name: Self = Self(1 << $bit);
            )*
            /// Everything.
            pub const ALL: Self = Self(0 $(| 1 << $bit)*);
        }
    };
}

interests! {
    /// [`Application::connecting`](super::Application::connecting).
    CONNECTING = 0;
    /// [`Application::connected`](super::Application::connected).
    CONNECTED = 1;
    /// [`Application::refresh`](super::Application::refresh): connections are renewed by the
    /// server, and no longer by their clients.
    REFRESH = 2;
    /// [`Application::subscribe`](super::Application::subscribe).
    SUBSCRIBE = 3;
    /// [`Application::sub_refresh`](super::Application::sub_refresh): likewise for subscriptions.
    SUB_REFRESH = 4;
    /// [`Application::publish`](super::Application::publish).
    PUBLISH = 5;
    /// [`Application::rpc`](super::Application::rpc).
    RPC = 6;
    /// [`Application::message`](super::Application::message).
    MESSAGE = 7;
    /// [`Application::presence`](super::Application::presence).
    PRESENCE = 8;
    /// [`Application::history`](super::Application::history).
    HISTORY = 9;
    /// [`Application::disconnected`](super::Application::disconnected).
    DISCONNECTED = 10;
}

impl Interests {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Whether any of `others` is in it.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// What is in it, but not in `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

impl BitOr for Interests {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_and_taken_apart() {
        let both = Interests::RPC | Interests::REFRESH;
        assert!(both.has(Interests::RPC) && both.has(Interests::REFRESH | Interests::PUBLISH));
        assert!(!both.has(Interests::PUBLISH) && !both.has(Interests::NONE));
        assert_eq!(both.without(Interests::RPC), Interests::REFRESH);
        assert_eq!(Interests::ALL.without(Interests::ALL), Interests::NONE);
    }
}
