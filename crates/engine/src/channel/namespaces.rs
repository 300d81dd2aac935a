//! All namespaces of a server, and how the name of a channel finds its own: section 14.1 of the
//! client protocol.

use std::collections::HashMap;
use std::sync::Arc;

use super::ChannelName;
use super::options::{ChannelOptions, NameRules};

/// The namespaces of a server.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    rules: NameRules,
    without_namespace: Arc<ChannelOptions>,
    named: HashMap<String, Arc<ChannelOptions>>,
}

/// A name that was found to belong to a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a> {
    rules: &'a NameRules,
    name: &'a str,
    /// The name behind the namespace's boundary; the whole name where there is none.
    rest: &'a str,
    /// Its namespace; empty for none.
    pub namespace: &'a str,
    /// The rules of its namespace.
    pub options: &'a Arc<ChannelOptions>,
}

impl Namespaces {
    /// Namespaces by name, beside the options of channels without one.
    #[must_use]
    pub fn new(
        rules: NameRules,
        without_namespace: ChannelOptions,
        named: impl IntoIterator<Item = (String, ChannelOptions)>,
    ) -> Self {
        let named = named
            .into_iter()
            .map(|(name, options)| (name, Arc::new(options)));
        Self {
            rules,
            without_namespace: Arc::new(without_namespace),
            named: named.collect(),
        }
    }

    /// Finds the namespace of `name`; `None` when it is not configured or the name is empty.
    #[must_use]
    pub fn resolve<'a>(&'a self, name: &'a str) -> Option<Resolved<'a>> {
        if name.is_empty() {
            return None;
        }
        let public = strip_marker(name, &self.rules.private_prefix).unwrap_or(name);
        let boundary = self.rules.namespace_boundary.as_str();
        let (namespace, options, rest) = match public.split_once(boundary) {
            Some((namespace, rest)) if !boundary.is_empty() && !namespace.is_empty() => {
                (namespace, self.named.get(namespace)?, rest)
            }
            _ => ("", &self.without_namespace, name),
        };
        Some(Resolved {
            rules: &self.rules,
            name,
            rest,
            namespace,
            options,
        })
    }

    /// Whether clients may use a name as long as `name`, whatever its namespace.
    #[must_use]
    pub fn allows_length_of(&self, name: &str) -> bool {
        name.len() <= self.rules.max_length
    }

    /// The name of the personal channel of `user` in `namespace`, which may be empty.
    #[must_use]
    pub fn personal_channel(&self, namespace: &str, user: &str) -> String {
        let boundary = if namespace.is_empty() {
            ""
        } else {
            &self.rules.namespace_boundary
        };
        format!("{namespace}{boundary}{}{user}", self.rules.user_boundary)
    }
}

/// `text` behind `marker`, when the marker is switched on and there.
fn strip_marker<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    if marker.is_empty() {
        None
    } else {
        text.strip_prefix(marker)
    }
}

impl Resolved<'_> {
    /// The name, now known to have a namespace.
    #[must_use]
    pub fn channel(&self) -> ChannelName {
        ChannelName::trusted(self.name)
    }

    /// Whether clients may use a name of this length.
    #[must_use]
    pub fn is_short_enough(&self) -> bool {
        self.name.len() <= self.rules.max_length
    }

    /// Whether clients may use a name of these characters.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        match &self.options.channel_regex {
            Some(regex) => regex.matches(self.rest),
            None => self.name.is_ascii(),
        }
    }

    /// Whether a subscription needs a token.
    #[must_use]
    pub fn is_private(&self) -> bool {
        strip_marker(self.name, &self.rules.private_prefix).is_some()
    }

    /// Whether the name itself lists who may subscribe.
    #[must_use]
    pub fn is_user_limited(&self) -> bool {
        self.allowed_users().is_some()
    }

    /// Whether the name's list of users has `user`.
    #[must_use]
    pub fn lists_user(&self, user: &str) -> bool {
        let separator = self.rules.user_separator.as_str();
        self.allowed_users().is_some_and(|users| {
            if separator.is_empty() {
                users == user
            } else {
                users.split(separator).any(|u| u == user)
            }
        })
    }

    fn allowed_users(&self) -> Option<&str> {
        let boundary = self.rules.user_boundary.as_str();
        if boundary.is_empty() || !self.options.allow_user_limited_channels {
            return None;
        }
        self.name.rsplit_once(boundary).map(|(_, users)| users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::options::NameMatcher;

    fn namespaces() -> Namespaces {
        let limited = ChannelOptions {
            allow_user_limited_channels: true,
            ..ChannelOptions::default()
        };
        let digits = ChannelOptions {
            channel_regex: Some(NameMatcher::new("digits", |name| {
                name.bytes().all(|byte| byte.is_ascii_digit())
            })),
            presence: true,
            ..ChannelOptions::default()
        };
        Namespaces::new(NameRules::default(), limited, [("chat".into(), digits)])
    }

    #[test]
    fn the_text_before_the_first_boundary_names_the_namespace() {
        let namespaces = namespaces();
        for (name, has_presence) in [
            ("chat:1", true),
            ("$chat:1", true),
            ("chat", false),
            (":chat:1", false),
        ] {
            let resolved = namespaces.resolve(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(resolved.options.presence, has_presence, "{name}");
        }
        for name in ["", "nope:1", "$nope:chat:1", "chats:1"] {
            assert!(namespaces.resolve(name).is_none(), "{name}");
        }
    }

    #[test]
    fn names_are_ascii_unless_a_regex_says_otherwise() {
        let namespaces = namespaces();
        for (name, well_formed) in [
            ("chat:12", true),
            ("chat:é", false),
            ("a b", true),
            ("é", false),
            ("$chat:7", true),
        ] {
            assert_eq!(
                namespaces.resolve(name).unwrap().is_well_formed(),
                well_formed,
                "{name}"
            );
        }
        assert!(
            namespaces
                .resolve(&"x".repeat(255))
                .unwrap()
                .is_short_enough()
        );
        assert!(
            !namespaces
                .resolve(&"x".repeat(256))
                .unwrap()
                .is_short_enough()
        );
    }

    #[test]
    fn a_user_limited_name_lists_its_users_behind_the_last_boundary() {
        let namespaces = namespaces();
        let resolved = namespaces.resolve("dialog#7#42,43").unwrap();
        assert!(resolved.is_user_limited());
        assert!(resolved.lists_user("42") && resolved.lists_user("43"));
        assert!(!resolved.lists_user("7") && !resolved.lists_user("4"));
        assert!(
            !namespaces.resolve("chat:1#42").unwrap().is_user_limited(),
            "the option is off"
        );
    }

    #[test]
    fn an_empty_marker_switches_its_rule_off() {
        let rules = NameRules {
            private_prefix: String::new(),
            namespace_boundary: String::new(),
            user_boundary: String::new(),
            ..NameRules::default()
        };
        let namespaces = Namespaces::new(rules, ChannelOptions::default(), []);
        let resolved = namespaces.resolve("$nope:x#1").unwrap();
        assert!(!resolved.is_private() && !resolved.is_user_limited());
    }

    #[test]
    fn the_personal_channel_of_a_user_may_have_a_namespace() {
        assert_eq!(namespaces().personal_channel("", "42"), "#42");
        assert_eq!(namespaces().personal_channel("chat", "42"), "chat:#42");
    }
}
