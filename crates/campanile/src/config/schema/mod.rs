//! Which keys there are: name, type, default and meaning of every setting, as data.
//!
//! The check, the environment, `config show` and `config default` all read this one table, so a
//! setting is documented by the act of adding it. What the values mean together is not known
//! here.

mod engine;
mod foreign;
mod kind;
mod namespace;
mod nats;
mod proxy;
mod redis;
mod sections;
mod shape;

pub(crate) use kind::Kind;
use namespace::NAMESPACE_OPTIONS;
pub(crate) use sections::SECTIONS;
pub(crate) use shape::{FILE, NAMED, Named, Shape, TRANSFORMS, foreign_variable};

use super::tree::{Origin, Value};

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The last step of its path.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// In the notation of the environment.
    pub(crate) default: &'static str,
    /// For people, one line.
    pub(crate) doc: &'static str,
    /// False if it is read and kept, but nothing acts on it yet.
    pub(crate) is_ready: bool,
    /// True if Centrifugo has no such key.
    pub(crate) is_ours: bool,
}

/// The settings of one table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// Dotted; empty for the table that a shape is about.
    pub(crate) path: &'static str,
    pub(crate) settings: &'static [Setting],
}

impl Section {
    const fn new(path: &'static str, settings: &'static [Setting]) -> Self {
        Self { path, settings }
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

impl Setting {
    const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            doc,
            is_ready: true,
            is_ours: false,
        }
    }

    /// What it is where nobody said anything.
    pub(crate) fn default_value(&self) -> Value {
        let value = self.kind.parse(self.default, &Origin::Default);
        value.expect("a test reads every default")
    }

    const fn flag(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Bool, "false", doc)
    }

    const fn count(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Count, default, doc)
    }

    const fn size(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Size, default, doc)
    }

    const fn duration(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Duration, default, doc)
    }

    const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Text, default, doc)
    }

    const fn secret(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Secret, "", doc)
    }

    const fn list(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::TextList, "", doc)
    }

    const fn one_of(
        name: &'static str,
        choices: &'static [&'static str],
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(name, Kind::OneOf(choices), default, doc)
    }

    const fn regex(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Regex, "", doc)
    }

    const fn not_yet(mut self) -> Self {
        self.is_ready = false;
        self
    }

    const fn ours(mut self) -> Self {
        self.is_ours = true;
        self
    }
}

/// The key that an unknown one at `path` in the table `parent` most likely stands for.
///
/// A near name of the same table wins; else the whole path of a key that ends in these words is
/// named, which catches the flat keys of Centrifugo 3 to 5 and settings put in a wrong table.
pub(crate) fn nearest(parent: &str, name: &str, siblings: &[&'static str]) -> Option<String> {
    /// Below this Jaro-Winkler similarity a guess confuses more than it helps.
    const SIMILAR: f64 = 0.85;
    let near = siblings
        .iter()
        .map(|sibling| (strsim::jaro_winkler(sibling, name), *sibling))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, sibling)| sibling.to_owned());
    near.or_else(|| {
        all_paths()
            .filter(|path| !path.starts_with("channel.without_namespace.") || parent.is_empty())
            .find(|path| {
                let flat = path.replace('.', "_");
                flat.strip_suffix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
            })
    })
}

fn all_paths() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|section| {
        section
            .settings
            .iter()
            .map(move |setting| format!("{}.{}", section.path, setting.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_sections() -> impl Iterator<Item = &'static Section> {
        let named = NAMED.iter().map(|named| &named.shape);
        let shapes = named.chain([&FILE, &TRANSFORMS]);
        shapes.flat_map(|shape| shape.sections)
    }

    #[test]
    fn every_default_is_a_value_of_its_type() {
        for section in all_sections() {
            for setting in section.settings {
                let value = setting.default_value();
                assert_eq!(setting.kind.check(&value), Ok(()), "{}", setting.name);
            }
        }
    }

    #[test]
    fn no_path_is_listed_twice_or_is_also_foreign() {
        let mut paths: Vec<_> = all_paths().collect();
        for path in &paths {
            assert!(FILE.foreign(path).is_none(), "{path}");
        }
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn every_setting_is_documented_in_one_line() {
        for setting in all_sections().flat_map(|s| s.settings) {
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
            assert!(!setting.doc.contains('\n'), "{}", setting.name);
        }
    }

    #[test]
    fn the_nearest_key_is_named() {
        let children = FILE.children("client");
        for (name, near) in [
            ("ping_intervall", Some("ping_interval")),
            ("allowed_origin", Some("allowed_origins")),
            ("tokens", Some("token")),
            ("bogus", None),
        ] {
            assert_eq!(nearest("client", name, &children).as_deref(), near);
        }
    }

    #[test]
    fn flat_keys_of_older_versions_are_recognised() {
        let top = FILE.children("");
        for (name, near) in [
            ("token_hmac_secret_key", "client.token.hmac_secret_key"),
            ("allowed_origins", "client.allowed_origins"),
            ("history_size", "channel.without_namespace.history_size"),
            ("address", "http_server.address"),
        ] {
            assert_eq!(nearest("", name, &top).as_deref(), Some(near));
        }
    }
}
