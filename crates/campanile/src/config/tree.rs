//! What the sources said, before anyone asked whether it makes sense.
//!
//! A tree of plain values in which every value remembers where it came from, so that a problem
//! found much later can still point at its line. Knows nothing of keys or types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// Where the byte `offset` of `text` is.
    pub(crate) fn at(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Where a value came from, lowest precedence first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// The relaxed defaults of `--dev`.
    Dev,
    /// The configuration file.
    File {
        /// The file as it was named.
        name: Arc<str>,
        /// The key's place, or the value's in a list. `None` if a parser did not tell.
        position: Option<Position>,
    },
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Dev => f.write_str("--dev"),
            Self::File { name, position } => match position {
                Some(Position { line, column }) => write!(f, "{name}:{line}:{column}"),
                None => f.write_str(name),
            },
            Self::Env(variable) => write!(f, "${variable}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A table; the order of keys means nothing.
pub(crate) type Table = BTreeMap<String, Item>;

/// What TOML, JSON and the environment can say alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Item>),
    Table(Table),
}

/// Values are compared without regard to where they came from.
impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Item {
    pub(crate) fn new(value: Value, origin: Origin) -> Self {
        Self { origin, value }
    }

    /// The value at a dotted path below this table, if every step is a table.
    pub(crate) fn get(&self, path: &str) -> Option<&Self> {
        path.split('.')
            .try_fold(self, |item, key| match &item.value {
                Value::Table(table) => table.get(key),
                _ => None,
            })
    }

    /// [`Self::get`], to change it.
    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.')
            .try_fold(self, |item, key| match &mut item.value {
                Value::Table(table) => table.get_mut(key),
                _ => None,
            })
    }

    /// Puts `item` at a dotted path, making tables on the way. A value that stands where a table
    /// is needed stays, for the check to complain about.
    pub(crate) fn set(&mut self, path: &str, item: Self) {
        let Value::Table(table) = &mut self.value else {
            return;
        };
        match path.split_once('.') {
            None => {
                table.insert(path.to_owned(), item);
            }
            Some((key, rest)) => table
                .entry(key.to_owned())
                .or_insert_with(|| Self::new(Value::Table(Table::new()), item.origin.clone()))
                .set(rest, item),
        }
    }
}

impl Value {
    /// The type's name as an operator would say it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// Whether this is what a setting looks like that was never switched on.
    pub(crate) fn is_inert(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Integer(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Table(table) => {
                let is_disabled = |item: &Item| item.value == Self::Bool(false);
                table.get("enabled").is_some_and(is_disabled)
                    || table.values().all(|item| item.value.is_inert())
            }
        }
    }

    /// The value for `serde`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Table(table) => table
                .iter()
                .map(|(key, item)| (key.clone(), item.value.to_json()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_not_bytes() {
        let text = "a\nüü = 1";
        assert_eq!(Position::at(text, 0), Position { line: 1, column: 1 });
        let equals = text.find('=').unwrap();
        assert_eq!(Position::at(text, equals), Position { line: 2, column: 4 });
        assert_eq!(Position::at(text, 999).line, 2);
    }

    #[test]
    fn a_set_value_is_found_again() {
        let mut root = Item::new(Value::Table(Table::new()), Origin::Default);
        root.set("a.b", Item::new(Value::Bool(true), Origin::Flag("--b")));
        assert_eq!(root.get("a.b").unwrap().value, Value::Bool(true));
        assert!(root.get("a.b.c").is_none());
        root.set("a.b.c", Item::new(Value::Null, Origin::Default));
        assert_eq!(root.get("a.b").unwrap().value, Value::Bool(true));
    }
}
