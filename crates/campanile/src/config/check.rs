//! Holds what the sources said against the schema.
//!
//! Finds every unknown key, wrong type and value out of range, not only the first; what is right
//! is laid over the defaults. What settings mean together is checked later, in `resolve`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::problem::{Problem, ProblemKind, Severity};
use super::schema::{self, FILE, Kind, Named, Setting, Shape, TRANSFORMS};
use super::tree::{Item, Origin, Table, Value};

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^[-a-zA-Z0-9_.]{2,}$").expect("a constant expression that a test compiles")
});

/// How much an unknown key matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// A server that runs beats a perfect file.
    #[default]
    Warn,
    /// A checked file should say what it means.
    Refuse,
}

/// A complete tree: every setting has a value of its type. Where names are free there is a list of
/// `{name, options}`, whichever of its two forms the file chose.
pub(crate) struct Checked {
    pub(crate) tree: Item,
    pub(crate) problems: Vec<Problem>,
}

/// Checks `root` and lays it over `defaults`.
pub(crate) fn check(root: &Item, defaults: Item, unknown: Unknown) -> Checked {
    let mut checker = Checker {
        unknown,
        problems: Vec::new(),
    };
    let mut tree = defaults;
    let whole = Place {
        shape: &FILE,
        prefix: "",
    };
    if let Value::Table(table) = &root.value {
        checker.table(whole, "", table, &mut tree);
    }
    Checked {
        tree,
        problems: checker.problems,
    }
}

/// The tree in which nothing was set.
pub(crate) fn defaults() -> Item {
    defaults_of(&FILE, &Origin::Default)
}

/// The table of this shape in which nothing was set; itself it stands at `origin`.
fn defaults_of(shape: &Shape, origin: &Origin) -> Item {
    let mut tree = Item::new(Value::Table(Table::new()), origin.clone());
    for section in shape.sections {
        for setting in section.settings {
            let item = Item::new(setting.default_value(), Origin::Default);
            tree.set(&join(section.path, setting.name), item);
        }
    }
    for named in shape.named {
        let none = Item::new(Value::List(Vec::new()), Origin::Default);
        tree.set(named.path, none);
    }
    tree
}

/// What is checked: something of a shape, and how its own path is told.
#[derive(Clone, Copy)]
struct Place<'a> {
    shape: &'static Shape,
    prefix: &'a str,
}

struct Checker {
    unknown: Unknown,
    problems: Vec<Problem>,
}

impl Checker {
    /// Checks the table at `path` in `place`, and lays it over `into`, which is the whole of
    /// `place`.
    fn table(&mut self, place: Place<'_>, path: &str, table: &Table, into: &mut Item) {
        let Place { shape, prefix } = place;
        let section = shape.section(path);
        for (name, item) in table {
            let below = join(path, name);
            let key = join(prefix, &below);
            if let Some(named) = shape.named(&below) {
                into.set(&below, self.named(named, item));
            } else if let Some(setting) = section.and_then(|section| section.setting(name)) {
                if let Some(item) = self.setting(setting, &key, item) {
                    into.set(&below, item);
                }
            } else if shape.is_table(&below) {
                match &item.value {
                    Value::Table(table) => self.table(place, &below, table, into),
                    Value::Null => {}
                    other => self.wrong_type(item, &key, "a table", other),
                }
            } else if let Some(foreign) = shape.foreign(&below) {
                self.problems
                    .extend(foreign.problem(&item.origin, &key, &item.value));
            } else {
                let near = schema::nearest(&join(prefix, path), name, &shape.children(path));
                self.unknown(item, key, near);
            }
        }
    }

    /// The item, if it is one for this setting. Null is how JSON says "not set".
    fn setting(&mut self, setting: &Setting, key: &str, item: &Item) -> Option<Item> {
        if item.value == Value::Null {
            return None;
        }
        if let Err(kind) = setting.kind.check(&item.value) {
            let origin = item.origin.clone();
            self.problems.push(Problem::error(origin, key, kind));
            return None;
        }
        if !setting.is_ready && item.value != setting.default_value() {
            let kind = ProblemKind::Unsupported("");
            let problem = Problem::warning(item.origin.clone(), key, kind);
            self.problems.push(problem);
        }
        if setting.kind == Kind::Transforms {
            return Some(self.transforms(key, item));
        }
        Some(item.clone())
    }

    /// Every table of the list, complete.
    fn transforms(&mut self, key: &str, item: &Item) -> Item {
        let Value::List(items) = &item.value else {
            return item.clone();
        };
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let mut transform = defaults_of(&TRANSFORMS, &item.origin);
            let place = Place {
                shape: &TRANSFORMS,
                prefix: &format!("{key}[{index}]"),
            };
            if let Value::Table(table) = &item.value {
                self.table(place, "", table, &mut transform);
            }
            list.push(transform);
        }
        Item::new(Value::List(list), item.origin.clone())
    }

    /// A list of `{name, options}`.
    fn named(&mut self, named: &'static Named, item: &Item) -> Item {
        let path = named.path;
        let mut first_uses = BTreeMap::new();
        let mut entries = Vec::new();
        match &item.value {
            Value::Null => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{path}[{index}]");
                    entries.extend(self.listed_entry(named, &key, item, &mut first_uses));
                }
            }
            Value::Table(table) => {
                for (name, item) in table {
                    let key = format!("{path}.{name}");
                    self.name(named, &key, name, &item.origin);
                    entries.extend(self.entry(named, &key, name, item));
                }
            }
            other => self.wrong_type(item, path, "a list, or tables by name", other),
        }
        Item::new(Value::List(entries), item.origin.clone())
    }

    fn listed_entry(
        &mut self,
        named: &'static Named,
        key: &str,
        item: &Item,
        first_uses: &mut BTreeMap<String, Origin>,
    ) -> Option<Item> {
        let Some(name_item) = item.get("name") else {
            if matches!(item.value, Value::Table(_)) {
                let reason = format!("{} needs a name", named.noun);
                self.invalid(&item.origin, key, &reason);
            } else {
                self.wrong_type(item, key, "a table", &item.value);
            }
            return None;
        };
        let name_key = format!("{key}.name");
        let Value::Text(name) = &name_item.value else {
            self.wrong_type(name_item, &name_key, "a string", &name_item.value);
            return None;
        };
        self.name(named, &name_key, name, &name_item.origin);
        if let Some(first) = first_uses.get(name) {
            let (_, noun) = named.noun.split_once(' ').unwrap_or_default();
            let reason = format!("{noun} {name:?} was already defined at {first}");
            self.invalid(&name_item.origin, &name_key, &reason);
        }
        first_uses.insert(name.clone(), name_item.origin.clone());
        self.entry(named, key, name, item)
    }

    fn name(&mut self, named: &Named, key: &str, name: &str, origin: &Origin) {
        let noun = named.noun;
        if !NAME.is_match(name) {
            let reason = format!("{name:?} is no name of {noun}: two or more of a-z A-Z 0-9 - _ .");
            self.invalid(origin, key, &reason);
        } else if name == named.reserved {
            let reason =
                format!("{name:?} means what stands in a section; {noun} needs another name");
            self.invalid(origin, key, &reason);
        }
    }

    fn entry(&mut self, named: &'static Named, key: &str, name: &str, item: &Item) -> Option<Item> {
        let Value::Table(table) = &item.value else {
            self.wrong_type(item, key, "a table", &item.value);
            return None;
        };
        let mut table = table.clone();
        let name = Value::Text(name.to_owned());
        if let Some(stated) = table.remove("name").filter(|stated| stated.value != name) {
            let key = format!("{key}.name");
            self.invalid(&stated.origin, &key, "differs from the name of the table");
        }
        let mut options = defaults_of(&named.shape, &item.origin);
        let place = Place {
            shape: &named.shape,
            prefix: key,
        };
        self.table(place, "", &table, &mut options);
        let name = Item::new(name, item.origin.clone());
        let entry = [("name".to_owned(), name), ("options".to_owned(), options)];
        Some(Item::new(Value::Table(entry.into()), item.origin.clone()))
    }

    fn unknown(&mut self, item: &Item, key: String, near: Option<String>) {
        self.problems.push(Problem {
            severity: match self.unknown {
                Unknown::Warn => Severity::Warning,
                Unknown::Refuse => Severity::Error,
            },
            origin: item.origin.clone(),
            key,
            kind: ProblemKind::UnknownKey(near),
        });
    }

    fn wrong_type(&mut self, item: &Item, key: &str, expected: &str, found: &Value) {
        let kind = ProblemKind::WrongType {
            expected: expected.to_owned(),
            found: found.type_name(),
        };
        self.problems
            .push(Problem::error(item.origin.clone(), key, kind));
    }

    fn invalid(&mut self, origin: &Origin, key: &str, reason: &str) {
        let kind = ProblemKind::Invalid(reason.to_owned());
        self.problems
            .push(Problem::error(origin.clone(), key, kind));
    }
}

/// A dotted path from two, either of which may be empty.
pub(super) fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", path) | (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}
