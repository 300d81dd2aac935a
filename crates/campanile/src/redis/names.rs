//! Names of keys and channels, unambiguous whatever is in the name of a channel.

use std::fmt::Write as _;

/// `{prefix}.{kind}.{channel}`, with the channel in braces: a cluster keeps keys together that have
/// the same text there. Braces in the channel's name, which would end that, are written as `%7B` and
/// `%7D`, and a percent sign as `%25`.
pub(super) fn key(prefix: &str, kind: &str, channel: &str) -> String {
    let mut key = String::with_capacity(prefix.len() + kind.len() + channel.len() + 4);
    key.push_str(prefix);
    key.push('.');
    key.push_str(kind);
    key.push_str(".{");
    for char in channel.chars() {
        match char {
            '{' | '}' | '%' => write!(key, "%{:02X}", u32::from(char)).expect("a string takes all"),
            char => key.push(char),
        }
    }
    key.push('}');
    key
}

/// The channel in a name that [`key`] made of this prefix and kind; `None` when it did not.
pub(super) fn channel<'a>(
    prefix: &str,
    kind: &str,
    name: &'a str,
) -> Option<std::borrow::Cow<'a, str>> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
    let rest = rest.strip_prefix(kind)?.strip_prefix(".{")?;
    let escaped = rest.strip_suffix('}')?;
    if !escaped.contains('%') {
        return Some(escaped.into());
    }
    let name = percent_encoding::percent_decode_str(escaped);
    name.decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redis::slots::slot;

    #[test]
    fn odd_names_stay_apart_and_together() {
        assert_eq!(key("p", "s", "news"), "p.s.{news}");
        assert_eq!(key("p", "s", "{a}%7B"), "p.s.{%7Ba%7D%257B}");
        for name in ["a", "}", "{", "{}", "a}b{c", "%", "%7D", "ä\n \u{0}"] {
            assert_eq!(
                slot(key("p", "s", name).as_bytes()),
                slot(key("p", "other", name).as_bytes()),
                "{name:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn names_come_back(name in ".{1,40}") {
            let key = key("p", "c", &name);
            let back = channel("p", "c", &key);
            prop_assert_eq!(back.as_deref(), Some(&*name));
        }
    }
}
