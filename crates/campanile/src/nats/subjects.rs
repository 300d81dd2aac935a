//! How channels are spelled as subjects, and what else has a name at the server.
//!
//! The tokens of a subject hold neither spaces nor dots, wildcards or control characters; names of
//! channels do. Everything but letters, digits and a few signs is written as `%` and two digits.

use campanile_engine::channel::ChannelName;
use campanile_engine::cluster::NodeId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is escaped. `$` is not among the signs that stay, although it may be in a token: subjects
/// that begin with it are the server's own.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b':')
    .remove(b'/')
    .remove(b'#')
    .remove(b'@')
    .remove(b'=');

/// The subjects of one system, which all begin with its prefix.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: Box<str>,
}

impl Subjects {
    /// `prefix` is one token, and good as the beginning of a stream's name.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// Where everything is heard that happens in a channel.
    pub(super) fn heard(&self, channel: &ChannelName) -> String {
        format!("{}.c.{}", self.prefix, token(channel.as_str()))
    }

    /// Where a channel's history is written to, in one life of its stream.
    pub(super) fn kept(&self, life: &str, channel: &ChannelName) -> String {
        format!("{}.h.{life}.{}", self.prefix, token(channel.as_str()))
    }

    /// Where publications with a key are written to that no history keeps.
    pub(super) fn keyed(&self, channel: &ChannelName) -> String {
        format!("{}.k.{}", self.prefix, token(channel.as_str()))
    }

    /// All that are heard.
    pub(super) fn all_heard(&self) -> String {
        format!("{}.c.>", self.prefix)
    }

    /// All that the stream of histories takes, in one of its lives.
    pub(super) fn all_kept(&self, life: &str) -> String {
        format!("{}.h.{life}.>", self.prefix)
    }

    /// All that the stream of keys takes.
    pub(super) fn all_keyed(&self) -> String {
        format!("{}.k.>", self.prefix)
    }

    /// The life in what [`Subjects::all_kept`] made.
    pub(super) fn life<'a>(&self, all_kept: &'a str) -> Option<&'a str> {
        let rest = all_kept.strip_prefix(&*self.prefix)?;
        let life = rest.strip_prefix(".h.")?.strip_suffix(".>")?;
        (!life.is_empty() && !life.contains('.')).then_some(life)
    }

    /// Where one connection says something to itself.
    pub(super) fn probe(&self, word: &str) -> String {
        format!("{}.probe.{word}", self.prefix)
    }

    /// Where all nodes are spoken to.
    pub(super) fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Where one node is.
    pub(super) fn node(&self, id: NodeId) -> String {
        format!("{}.node.{id}", self.prefix)
    }

    /// The stream of histories.
    pub(super) fn histories(&self) -> String {
        format!("{}_histories", self.prefix)
    }

    /// The stream of keys.
    pub(super) fn keys(&self) -> String {
        format!("{}_keys", self.prefix)
    }
}

/// One word for an idempotency key of a channel, as a header can hold it.
pub(super) fn key(channel: &ChannelName, key: &str) -> String {
    // A dot is in neither half.
    format!("{}.{}", token(channel.as_str()), token(key))
}

fn token(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_engine::testkit::channel;

    #[test]
    fn channels_are_told_apart_whatever_is_in_their_names() {
        let subjects = Subjects::new("p");
        let names = [
            "a.b",
            "a b",
            "a%20b",
            "a*",
            "a>",
            "a\u{7f}",
            "a\n",
            "ä",
            "a",
            "%2e",
            "$a",
            "news:a#1,2",
        ];
        let mut spelled: Vec<_> = names
            .iter()
            .map(|name| subjects.heard(&channel(name)))
            .collect();
        let is_token = |text: &str| {
            let token = text.strip_prefix("p.c.").expect("it begins so");
            !token.contains(['.', ' ', '*', '>', '$'])
                && token.bytes().all(|b| b.is_ascii_graphic())
        };
        assert!(spelled.iter().all(|text| is_token(text)), "{spelled:?}");
        spelled.sort();
        spelled.dedup();
        assert_eq!(spelled.len(), names.len());
        assert_eq!(subjects.heard(&channel("news:a#1")), "p.c.news:a#1");
    }

    #[test]
    fn keys_of_channels_cannot_be_mixed_up() {
        assert_ne!(key(&channel("a"), "b.c"), key(&channel("a.b"), "c"));
    }

    #[test]
    fn a_life_is_found_in_the_subjects_of_its_stream() {
        let subjects = Subjects::new("p");
        assert_eq!(subjects.life(&subjects.all_kept("xyz")), Some("xyz"));
        for foreign in ["p.h.>", "q.h.x.>", "p.h.x.y.>", "p.h.x"] {
            assert_eq!(subjects.life(foreign), None, "{foreign}");
        }
    }
}
