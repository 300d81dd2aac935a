//! Holds what the sources said against the schema.
//!
//! Finds every unknown key, wrong type and value out of range, not only the first; what is right
//! is laid over the defaults. What settings mean together is checked later, in `resolve`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::problem::{Problem, ProblemKind, Severity};
use super::schema::{self, NAMESPACE_OPTIONS, NAMESPACES, SECTIONS, Setting};
use super::source;
use super::tree::{Item, Origin, Table, Value};

static NAMESPACE_NAME: LazyLock<Regex> = LazyLock::new(|| {
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

/// A complete tree: every setting has a value of its type. `channel.namespaces` is a list of
/// `{name, options}` there, whichever of its two forms the file chose.
pub(crate) struct Checked {
    pub(crate) tree: Item,
    pub(crate) problems: Vec<Problem>,
}

/// Checks `root` and lays it over `defaults`.
pub(crate) fn check(root: &Item, defaults: Item, unknown: Unknown) -> Checked {
    let mut checker = Checker {
        tree: defaults,
        unknown,
        problems: Vec::new(),
    };
    if let Value::Table(table) = &root.value {
        checker.table("", table);
    }
    Checked {
        tree: checker.tree,
        problems: checker.problems,
    }
}

/// The tree in which nothing was set.
pub(crate) fn defaults() -> Item {
    let mut tree = source::empty();
    for section in SECTIONS {
        for setting in section.settings {
            let path = format!("{}.{}", section.path, setting.name);
            tree.set(&path, default_of(setting));
        }
    }
    let none = Item::new(Value::List(Vec::new()), Origin::Default);
    tree.set(NAMESPACES, none);
    tree
}

fn default_of(setting: &Setting) -> Item {
    let value = setting.kind.parse(setting.default);
    Item::new(value.expect("a test parses every default"), Origin::Default)
}

struct Checker {
    tree: Item,
    unknown: Unknown,
    problems: Vec<Problem>,
}

impl Checker {
    fn table(&mut self, path: &str, table: &Table) {
        let section = schema::section(path);
        for (name, item) in table {
            let key = join(path, name);
            if key == NAMESPACES {
                self.namespaces(item);
            } else if let Some(setting) = section.and_then(|section| section.setting(name)) {
                if let Some(item) = self.setting(setting, &key, item) {
                    self.tree.set(&key, item);
                }
            } else if schema::has_sections_at(&key) || schema::has_foreign_below(&key) {
                match &item.value {
                    Value::Table(table) => self.table(&key, table),
                    Value::Null => {}
                    other => self.wrong_type(item, &key, "a table", other),
                }
            } else if let Some(foreign) = schema::foreign(&key) {
                self.problems
                    .extend(foreign.problem(&item.origin, &key, &item.value));
            } else {
                let siblings = schema::children(path);
                self.unknown(item, key, schema::nearest(path, name, &siblings));
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
            self.problems
                .push(match schema::foreign_value(key, &item.value) {
                    Some(kind) => Problem::warning(origin, key, kind),
                    None => Problem::error(origin, key, kind),
                });
            return None;
        }
        if !setting.is_ready && item.value != default_of(setting).value {
            let kind = ProblemKind::Unsupported("");
            let problem = Problem::warning(item.origin.clone(), key, kind);
            self.problems.push(problem);
        }
        Some(item.clone())
    }

    fn namespaces(&mut self, item: &Item) {
        let mut first_uses = BTreeMap::new();
        let mut namespaces = Vec::new();
        match &item.value {
            Value::Null => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{NAMESPACES}[{index}]");
                    namespaces.extend(self.listed_namespace(&key, item, &mut first_uses));
                }
            }
            Value::Table(table) => {
                for (name, item) in table {
                    let key = format!("{NAMESPACES}.{name}");
                    self.namespace_name(&key, name, &item.origin);
                    namespaces.extend(self.namespace(&key, name, item));
                }
            }
            other => self.wrong_type(item, NAMESPACES, "a list, or tables by name", other),
        }
        let list = Item::new(Value::List(namespaces), item.origin.clone());
        self.tree.set(NAMESPACES, list);
    }

    fn listed_namespace(
        &mut self,
        key: &str,
        item: &Item,
        first_uses: &mut BTreeMap<String, Origin>,
    ) -> Option<Item> {
        let Some(name_item) = item.get("name") else {
            if matches!(item.value, Value::Table(_)) {
                self.invalid(&item.origin, key, "a namespace needs a name");
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
        self.namespace_name(&name_key, name, &name_item.origin);
        if let Some(first) = first_uses.get(name) {
            let reason = format!("namespace {name:?} was already defined at {first}");
            self.invalid(&name_item.origin, &name_key, &reason);
        }
        first_uses.insert(name.clone(), name_item.origin.clone());
        self.namespace(key, name, item)
    }

    fn namespace_name(&mut self, key: &str, name: &str, origin: &Origin) {
        if !NAMESPACE_NAME.is_match(name) {
            let reason =
                format!("{name:?} is no name of a namespace: two or more of a-z A-Z 0-9 - _ .");
            self.invalid(origin, key, &reason);
        }
    }

    fn namespace(&mut self, key: &str, name: &str, item: &Item) -> Option<Item> {
        let Value::Table(table) = &item.value else {
            self.wrong_type(item, key, "a table", &item.value);
            return None;
        };
        let mut options: Table = NAMESPACE_OPTIONS
            .iter()
            .map(|setting| (setting.name.to_owned(), default_of(setting)))
            .collect();
        for (option, item) in table {
            let key = format!("{key}.{option}");
            let setting = NAMESPACE_OPTIONS.iter().find(|s| s.name == option);
            if let Some(setting) = setting {
                let item = self.setting(setting, &key, item);
                options.extend(item.map(|item| (option.clone(), item)));
            } else if let Some(foreign) = schema::foreign_option(option) {
                self.problems
                    .extend(foreign.problem(&item.origin, &key, &item.value));
            } else if option != "name" {
                let siblings: Vec<_> = NAMESPACE_OPTIONS.iter().map(|s| s.name).collect();
                self.unknown(item, key, schema::nearest(NAMESPACES, option, &siblings));
            } else if item.value != Value::Text(name.to_owned()) {
                self.invalid(&item.origin, &key, "differs from the name of the table");
            }
        }
        let name = Item::new(Value::Text(name.to_owned()), item.origin.clone());
        let options = Item::new(Value::Table(options), item.origin.clone());
        let namespace = [("name".to_owned(), name), ("options".to_owned(), options)];
        Some(Item::new(
            Value::Table(namespace.into()),
            item.origin.clone(),
        ))
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

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
